#include "guest.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <arpa/inet.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/socket.h>
#include <sys/uio.h>

static char big[1 << 20];

/* What is in the pipe, taken out of it. */
static void content(const char *call, const char *tag, int pipe_end) {
    char text[64] = {0};
    struct pollfd ready = {pipe_end, POLLIN, 0};
    ssize_t n = poll(&ready, 1, 0) == 1 ? read(pipe_end, text, sizeof text - 1) : -2;
    say(call, tag, "%zd [%s]", n, n > 0 ? text : "");
}

static void from_files(void) {
    put("/work/s", "0123456789");
    int p[2], file = open("/work/s", O_RDWR), dir = open("/work", O_RDONLY), path = open("/work/s", O_PATH), wronly = open("/work/s", O_WRONLY);
    if (pipe(p)) return;
    T("nothing", splice, file, 0, p[1], 0, 0, 0);
    T("nothing_bad", splice, 99, 0, 98, 0, 0, 0);
    T("some", splice, file, 0, p[1], 0, 4, 0);
    content("splice", "some", p[0]);
    T("position", lseek, file, 0, SEEK_CUR);
    loff_t at = 2;
    T("offset", splice, file, &at, p[1], 0, 3, SPLICE_F_MOVE);
    say("splice", "offset_after", "%ld", (long)at);
    content("splice", "offset", p[0]);
    T("position_still", lseek, file, 0, SEEK_CUR);
    at = 8;
    T("short", splice, file, &at, p[1], 0, 100, SPLICE_F_MORE);
    content("splice", "short", p[0]);
    T("end", splice, file, &at, p[1], 0, 100, 0);
    at = 100;
    T("behind_end", splice, file, &at, p[1], 0, 100, 0);
    at = -1;
    T("negative", splice, file, &at, p[1], 0, 4, 0);
    T("bad_offset", splice, file, BAD, p[1], 0, 4, 0);
    T("pipe_offset", splice, file, 0, p[1], &at, 4, 0);
    T("bad_flags", splice, file, 0, p[1], 0, 4, 0x10);
    T("directory", splice, dir, 0, p[1], 0, 4, 0);
    T("path", splice, path, 0, p[1], 0, 4, 0);
    T("unreadable", splice, wronly, 0, p[1], 0, 4, 0);
    T("from_epoll", splice, epoll_create1(0), 0, p[1], 0, 4, 0);
    T("from_event", splice, eventfd(0, 0), 0, p[1], 0, 4, 0);
    T("into_read_end", splice, file, 0, p[0], 0, 4, 0);
    T("directory_into_read_end", splice, dir, 0, p[0], 0, 4, 0);
    T("out_of_write_end", splice, p[1], 0, file, 0, 4, 0);
    T("wrong_ends", tee, p[1], p[0], 4, 0);
    T("into_read_end", tee, p[0], p[0], 4, 0);
    T("ebadf_in", splice, 99, 0, p[1], 0, 4, 0);
    T("ebadf_out", splice, file, 0, 99, 0, 4, 0);
    T("wrong_end", splice, file, 0, p[0], 0, 4, 0);
    T("no_pipe", splice, file, 0, wronly, 0, 4, 0);
    memset(big, 'b', sizeof big);
    int large = open("/work/large", O_RDWR | O_CREAT | O_TRUNC, 0644);
    T("large", write, large, big, sizeof big);
    at = 0;
    T("fills", splice, large, &at, p[1], 0, sizeof big, 0);
    T("full", splice, large, &at, p[1], 0, 1, SPLICE_F_NONBLOCK);
    say("splice", "filled_after", "%ld", (long)at);
    fcntl(p[1], F_SETFL, O_NONBLOCK);
    T("full_nonblock", splice, large, &at, p[1], 0, 1, 0);
    close(p[0]);
    signal(SIGPIPE, SIG_IGN);
    T("broken", splice, file, &at, p[1], 0, 1, 0);
    close(p[1]);
    int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY);
    if (pipe(p)) return;
    T("device", splice, zero, 0, p[1], 0, 100, 0);
    T("into_device", splice, p[0], 0, null, 0, 100, 0);
    T("device_much", splice, zero, 0, p[1], 0, 9081, 0);
    T("device_much_out", splice, p[0], 0, null, 0, 1 << 20, 0);
    int fresh[2];
    if (pipe(fresh)) return;
    T("device_fresh", splice, zero, 0, fresh[1], 0, 9081, 0);
    T("device_fresh_read", read, fresh[0], big, sizeof big);
}

static void into_files(void) {
    int p[2], file = open("/work/into", O_RDWR | O_CREAT | O_TRUNC, 0644), append = open("/work/into", O_WRONLY | O_APPEND), reader = open("/work/into", O_RDONLY);
    if (pipe(p)) return;
    T("filled", write, p[1], "abcdefghij", 10);
    T("out", splice, p[0], 0, file, 0, 3, 0);
    T("position", lseek, file, 0, SEEK_CUR);
    loff_t at = 6;
    T("out_offset", splice, p[0], 0, file, &at, 2, 0);
    say("splice", "out_offset_after", "%ld", (long)at);
    at = -1;
    T("out_negative", splice, p[0], 0, file, &at, 2, 0);
    T("append", splice, p[0], 0, append, 0, 2, 0);
    T("reader", splice, p[0], 0, reader, 0, 2, 0);
    T("in_offset", splice, p[0], &at, file, 0, 2, 0);
    T("wrong_end", splice, p[1], 0, file, 0, 2, 0);
    struct rlimit limit, low = {10, RLIM_INFINITY};
    getrlimit(RLIMIT_FSIZE, &limit);
    low.rlim_max = limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &low);
    signal(SIGXFSZ, SIG_IGN);
    at = 9;
    T("over_limit", splice, p[0], 0, file, &at, 5, 0);
    T("at_limit", splice, p[0], 0, file, &at, 5, 0);
    setrlimit(RLIMIT_FSIZE, &limit);
    T("rest", splice, p[0], 0, file, 0, 100, 0);
    T("empty", splice, p[0], 0, file, 0, 100, SPLICE_F_NONBLOCK);
    close(p[1]);
    T("end", splice, p[0], 0, file, 0, 100, 0);
    say("splice", "result", "%s", get("/work/into"));
}

static void between_pipes(void) {
    int a[2], b[2];
    if (pipe(a) || pipe(b)) return;
    T("fill", write, a[1], "abcdef", 6);
    T("tee", tee, a[0], b[1], 4, 0);
    content("tee", "copy", b[0]);
    T("move", splice, a[0], 0, b[1], 0, 100, 0);
    content("splice", "moved", b[0]);
    T("tee_empty", tee, a[0], b[1], 4, SPLICE_F_NONBLOCK);
    T("empty", splice, a[0], 0, b[1], 0, 4, SPLICE_F_NONBLOCK);
    T("same", splice, a[0], 0, a[1], 0, 4, 0);
    T("tee_same", tee, a[0], a[1], 4, 0);
    T("tee_file", tee, open("/work/s", O_RDONLY), a[1], 4, 0);
    T("tee_into_file", tee, a[0], open("/work/s", O_WRONLY), 4, 0);
    T("tee_flags", tee, a[0], b[1], 4, 0x100);
    T("tee_ebadf", tee, a[0], 99, 4, 0);
    T("tee_nothing", tee, a[0], b[1], 0, 0);
    T("tee_ends", tee, a[1], b[0], 4, 0);
    close(a[1]);
    T("tee_end", tee, a[0], b[1], 4, 0);
    T("end", splice, a[0], 0, b[1], 0, 4, 0);
    close(b[0]);
    signal(SIGPIPE, SIG_DFL);
}

static int wait_pipe[2], wait_out[2];

static void writer_later(void) {
    millis(60);
    _exit(write(wait_pipe[1], "later", 5) != 5);
}

static void on_signal(int signal) { (void)signal; }

static void waiting(void) {
    if (pipe(wait_pipe) || pipe(wait_out)) return;
    pid_t child = fork();
    if (child == 0) writer_later();
    T("waits", splice, wait_pipe[0], 0, wait_out[1], 0, 100, 0);
    waitpid(child, NULL, 0);
    content("splice", "waited", wait_out[0]);
    child = fork();
    if (child == 0) writer_later();
    T("tee_waits", tee, wait_pipe[0], wait_out[1], 100, 0);
    waitpid(child, NULL, 0);
    content("tee", "waited", wait_out[0]);
    content("tee", "source", wait_pipe[0]);
    int pair[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    child = fork();
    if (child == 0) {
        millis(60);
        _exit(write(pair[1], "socket", 6) != 6);
    }
    T("socket_waits", splice, pair[0], 0, wait_out[1], 0, 100, 0);
    waitpid(child, NULL, 0);
    content("splice", "from_socket", wait_out[0]);
    T("socket_nonblock", splice, pair[0], 0, wait_out[1], 0, 100, SPLICE_F_NONBLOCK);
    T("more", write, wait_pipe[1], "to the socket", 13);
    T("into_socket", splice, wait_pipe[0], 0, pair[0], 0, 6, 0);
    content("splice", "into_socket", pair[1]);
    T("socket_offset", splice, pair[0], &(loff_t){0}, wait_out[1], 0, 100, 0);
    close(pair[1]);
    T("socket_end", splice, pair[0], 0, wait_out[1], 0, 100, 0);
    T("socket_broken", splice, wait_pipe[0], 0, pair[0], 0, 3, 0);
    content("splice", "left", wait_pipe[0]);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval soon = {{0, 20000}, {0, 20000}};
    setitimer(ITIMER_REAL, &soon, NULL);
    T("interrupted", splice, wait_pipe[0], 0, wait_out[1], 0, 100, 0);
    T("tee_interrupted", tee, wait_pipe[0], wait_out[1], 100, 0);
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
}

static void broken(void) {
    int p[2];
    if (pipe(p)) return;
    close(p[0]);
    signal(SIGPIPE, SIG_DFL);
    loff_t at = 0;
    syscall(SYS_splice, open("/work/s", O_RDONLY), &at, p[1], NULL, 4, 0);
    _exit(0);
}

static void broken_memory(void) {
    int p[2];
    if (pipe(p)) return;
    close(p[0]);
    signal(SIGPIPE, SIG_DFL);
    struct iovec part = {big, 4};
    syscall(SYS_vmsplice, p[1], &part, 1, 0);
    _exit(0);
}

static void signals(void) {
    say("splice", "sigpipe", "%s", ended(in_child(broken)));
    say("vmsplice", "sigpipe", "%s", ended(in_child(broken_memory)));
}

static void from_memory(void) {
    int p[2];
    if (pipe(p)) return;
    char first[] = "first ", second[] = "second", target[4] = {0}, rest[20] = {0};
    struct iovec parts[2] = {{first, 6}, {second, 6}}, bad = {BAD, 4}, both[2] = {{target, 3}, {rest, 19}};
    T("gather", vmsplice, p[1], parts, 2, 0);
    T("scatter", vmsplice, p[0], both, 2, 0);
    say("vmsplice", "scattered", "[%s][%s]", target, rest);
    void *fixed = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct iovec unwritable = {fixed, 6};
    T("again", vmsplice, p[1], parts, 2, 0);
    T("unwritable", vmsplice, p[0], &unwritable, 1, 0);
    T("still_there", vmsplice, p[0], both, 2, 0);
    T("none", vmsplice, p[1], parts, 0, 0);
    T("bad_part", vmsplice, p[1], &bad, 1, 0);
    T("bad_list", vmsplice, p[1], BAD, 1, 0);
    T("many", vmsplice, p[1], parts, 1025, 0);
    T("flags", vmsplice, p[1], parts, 1, 0x20);
    T("ebadf", vmsplice, 99, parts, 1, 0);
    T("file", vmsplice, open("/work/s", O_RDONLY), parts, 1, 0);
    T("empty", vmsplice, p[0], both, 1, SPLICE_F_NONBLOCK);
    struct iovec lots = {big, sizeof big};
    TOK("fills", vmsplice, p[1], &lots, 1, SPLICE_F_NONBLOCK);
    T("full", vmsplice, p[1], &lots, 1, SPLICE_F_NONBLOCK);
    while (poll(&(struct pollfd){p[0], POLLIN, 0}, 1, 0) == 1 && read(p[0], big, sizeof big) > 0) continue;
    close(p[1]);
    T("end", vmsplice, p[0], both, 1, 0);
}

FAMILY(splice) {
    SECTION(from_files);
    SECTION(into_files);
    SECTION(between_pipes);
    SECTION(waiting);
    SECTION(signals);
    SECTION(from_memory);
}
