/* Reading, writing and moving bytes on descriptors. */
#include "guest.h"

#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

static void read_write(void) {
    char buffer[64] = {0};
    put("/work/io", "0123456789");
    int fd = open("/work/io", O_RDWR), reader = open("/work/io", O_RDONLY), dir = open("/work/dir", O_RDONLY), path = open("/work/io", O_PATH);
    T("five", read, fd, buffer, 5);
    T("rest", read, fd, buffer, 64);
    T("end", read, fd, buffer, 64);
    T("zero", read, fd, buffer, 0);
    T("efault", read, reader, BAD, 5);
    T("dir", read, dir, buffer, 5);
    T("ebadf", read, 99, buffer, 5);
    T("path", read, path, buffer, 5);
    T("huge", read, reader, buffer, 1UL << 63);
    T("five", write, fd, "abcde", 5);
    T("reader", write, reader, "abcde", 5);
    T("efault", write, fd, BAD, 5);
    T("ebadf", write, 99, "x", 1);
    T("at2", pread64, fd, buffer, 4, 2L);
    T("negative", pread64, fd, buffer, 4, -1L);
    T("at20", pwrite64, fd, "zz", 2, 20L);
    T("negative", pwrite64, fd, "zz", 2, -1L);
    T("set", lseek, fd, 3L, SEEK_SET);
    T("cur", lseek, fd, 2L, SEEK_CUR);
    T("end", lseek, fd, 0L, SEEK_END);
    T("data", lseek, fd, 0L, SEEK_DATA);
    T("hole_beyond", lseek, fd, 1000L, SEEK_HOLE);
    T("whence", lseek, fd, 0L, 99);
    T("negative", lseek, fd, -1L, SEEK_SET);
    T("ebadf", lseek, 99, 0L, SEEK_SET);
    struct iovec parts[2] = {{"ab", 2}, {"cd", 2}}, bad[1] = {{BAD, 4}};
    lseek(fd, 0, SEEK_SET);
    T("two", writev, fd, parts, 2);
    T("efault_part", writev, fd, bad, 1);
    T("efault", writev, fd, BAD, 2);
    T("too_many", writev, fd, parts, 5000);
    T("negative", writev, fd, parts, -1);
    struct iovec into[2] = {{buffer, 3}, {buffer + 3, 3}};
    lseek(fd, 0, SEEK_SET);
    T("two", readv, fd, into, 2);
    T("two", preadv, fd, into, 2, 1L, 0);
    T("two", pwritev, fd, parts, 2, 1L, 0);
    T("two", preadv2, fd, into, 2, 1L, 0, 0);
    T("flags", preadv2, fd, into, 2, 1L, 0, 0x10000);
    T("two", pwritev2, fd, parts, 2, 1L, 0, 0);
    int pipes[2];
    if (pipe(pipes)) return;
    T("pipe", lseek, pipes[0], 0L, SEEK_SET);
    T("pipe", pread64, pipes[0], buffer, 1, 0L);
    close(pipes[0]);
    T("epipe", write, pipes[1], "x", 1);
    int full = open("/dev/full", O_WRONLY);
    T("enospc", write, full, "x", 1);
    T("flags", pipe2, pipes, O_CLOEXEC | O_NONBLOCK);
    T("empty", read, pipes[0], buffer, 1);
    T("efault", pipe, BAD);
    T("bad_flags", pipe2, pipes, 0x1000000);
    T("plain", pipe, pipes);
}

static void moving(void) {
    put("/work/from", "0123456789");
    int from = open("/work/from", O_RDONLY), to = open("/work/to", O_RDWR | O_CREAT, 0600), pipes[2];
    if (pipe(pipes)) return;
    long offset = 2, target = 1;
    T("all", sendfile, to, from, NULL, 100);
    T("offset", sendfile, to, from, &offset, 4);
    say("sendfile", "offset_after", "%ld", offset);
    T("efault", sendfile, to, from, BAD, 4);
    T("ebadf", sendfile, 99, from, NULL, 4);
    offset = 0;
    T("offset", copy_file_range, from, &offset, to, &target, 5, 0);
    say("copy_file_range", "after", "%ld %ld", offset, target);
    T("flags", copy_file_range, from, NULL, to, NULL, 5, 1);
    T("ebadf", copy_file_range, 99, NULL, to, NULL, 5, 0);
    T("pipe", copy_file_range, pipes[0], NULL, to, NULL, 5, 0);
    T("grow", fallocate, to, 0, 0L, 8192L);
    T("negative", fallocate, to, 0, -1L, 10L);
    T("reader", fallocate, from, 0, 0L, 10L);
    T("advise", fadvise64, from, 0L, 10L, 1);
    T("ahead", readahead, from, 0L, 10);
    T("shrink", ftruncate, to, 100L);
    T("reader", ftruncate, from, 3L);
    T("negative", ftruncate, to, -1L);
    T("ebadf", ftruncate, 99, 3L);
    char bytes[32];
    T("bytes", getrandom, bytes, 32, 0);
    T("flags", getrandom, bytes, 32, 99);
    T("efault", getrandom, BAD, 32, 0);
    T("file", fsync, to);
    T("ebadf", fsync, 99);
    T("file", fdatasync, to);
    T("file", syncfs, to);
    T("range", sync_file_range, to, 0L, 10L, 7);
    T("pipe", fsync, pipes[0]);
}

static void control(void) {
    int fd = open("/work/io2", O_RDWR | O_CREAT, 0600), pipes[2];
    if (pipe(pipes)) return;
    T("dupfd", fcntl, fd, F_DUPFD, 30);
    T("dupfd_cloexec", fcntl, fd, F_DUPFD_CLOEXEC, 30);
    T("getfd", fcntl, 31, F_GETFD);
    T("getfl", fcntl, fd, F_GETFL);
    T("setfl", fcntl, fd, F_SETFL, O_APPEND | O_NONBLOCK);
    T("getfl_after", fcntl, fd, F_GETFL);
    T("ebadf", fcntl, 99, F_GETFD);
    T("unknown", fcntl, fd, 7777);
    T("pipe_size", fcntl, pipes[0], F_GETPIPE_SZ);
    T("owner", fcntl, pipes[0], F_SETOWN, getpid());
    T("owner_none", fcntl, pipes[0], F_SETOWN, 99999);
    struct flock lock = {F_WRLCK, SEEK_SET, 0, 10, 0};
    T("setlk", fcntl, fd, F_SETLK, &lock);
    pid_t child = fork();
    if (child == 0) {
        T("setlk_taken", fcntl, fd, F_SETLK, &lock);
        T("getlk", fcntl, fd, F_GETLK, &lock);
        say("fcntl", "getlk", "type=%d owner_is_parent=%d", lock.l_type, lock.l_pid == getppid());
        _exit(0);
    }
    waitpid(child, NULL, 0);
    T("efault", fcntl, fd, F_SETLK, BAD);
    int other = open("/work/io2", O_RDWR);
    T("exclusive", flock, fd, LOCK_EX);
    T("would_block", flock, other, LOCK_EX | LOCK_NB);
    T("unlock", flock, fd, LOCK_UN);
    T("bad", flock, fd, 99);
    T("ebadf", flock, 99, LOCK_EX);
    T("lease", fcntl, fd, F_GETLEASE);
    T("seals", fcntl, fd, 1034, 0);
}

static void flags_of(const char *tag, long fd) {
    if (fd < 0) return;
    int flags = fcntl((int)fd, F_GETFL);
    say("fcntl", tag, "flags=%#o fdflags=%d", (unsigned)flags, fcntl((int)fd, F_GETFD));
}

static void descriptor_calls(void) {
    int fd = open("/work/file", O_RDONLY);
    T("fd", dup, fd);
    T("ebadf", dup, 99);
    T("to50", dup2, fd, 50);
    T("same", dup2, fd, fd);
    T("ebadf", dup2, 99, 51);
    T("negative", dup2, fd, -1);
    T("cloexec", dup3, fd, 52, O_CLOEXEC);
    flags_of("dup3", 52);
    T("same", dup3, fd, fd, 0);
    T("flags", dup3, fd, 53, O_RDWR);
    T("fd", close, 50);
    T("twice", close, 50);
    T("negative", close, -1);
    T("range", close_range, 40, 60, 0);
    T("range_inverted", close_range, 60, 40, 0);
    T("closed", dup, 52);
    T("range_cloexec", close_range, fd, fd, 4);
    flags_of("range_cloexec", fd);
    T("range_flags", close_range, 40, 60, 1 << 10);
    T("lowest_first", openat, AT_FDCWD, "/work/file", O_RDONLY);
    T("lowest_next", openat, AT_FDCWD, "/work/file", O_RDONLY);
    close(fd);
    T("lowest_reused", openat, AT_FDCWD, "/work/file", O_RDONLY);
}

static int compare(const void *a, const void *b) { return strcmp(a, b); }

static void getdents_calls(void) {
    struct { uint64_t ino; int64_t off; uint16_t len; uint8_t type; char name[]; } *entry;
    int fd = open("/work/list", O_RDONLY | O_DIRECTORY);
    static char buffer[65536], names[64][80];
    int count = 0;
    for (;;) {
        long n = syscall(SYS_getdents64, fd, buffer, 200);
        if (n <= 0) {
            say("getdents64", "end", "%ld", n);
            break;
        }
        for (long at = 0; at < n && count < 64; at += entry->len) {
            entry = (void *)(buffer + at);
            snprintf(names[count++], 80, "%s:%d", entry->name, entry->type);
        }
    }
    qsort(names, (size_t)count, sizeof *names, compare);
    for (int i = 0; i < count; i++) say("getdents64", "entry", "%s", names[i]);
    T("small", getdents64, fd, buffer, 1);
    lseek(fd, 0, SEEK_SET);
    T("small_rewound", getdents64, fd, buffer, 1);
    T("efault", getdents64, fd, BAD, 4096);
    T("ebadf", getdents64, 99, buffer, 4096);
    T("file", getdents64, open("/work/file", O_RDONLY), buffer, 4096);
    T("opath", getdents64, open("/work/list", O_PATH), buffer, 4096);
    lseek(fd, 0, SEEK_SET);
    TOK("old", getdents, fd, buffer, 4096);
    T("old_end", getdents, fd, buffer, 4096);
    T("ebadf", getdents, 99, buffer, 4096);
    /* /proc/self/fd as directory */
    fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
    count = 0;
    long n = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
    for (long at = 0; at < n && count < 64; at += entry->len) {
        entry = (void *)(buffer + at);
        snprintf(names[count++], 80, "%s:%d", entry->name, entry->type);
    }
    qsort(names, (size_t)count, sizeof *names, compare);
    for (int i = 0; i < count; i++) say("getdents64", "proc_fd", "%s", names[i]);
}

static void events(void) {
    int counter = (int)T("semaphore", eventfd2, 3, EFD_SEMAPHORE | EFD_NONBLOCK);
    uint64_t value = 0;
    T("eventfd", read, counter, &value, 8);
    say("eventfd2", "value", "%lu", value);
    T("old", eventfd, 0);
    T("flags", eventfd2, 0, 0x1000000);
}

FAMILY(io) {
    SECTION(read_write);
    SECTION(moving);
    SECTION(control);
    SECTION(descriptor_calls);
    SECTION(getdents_calls);
    SECTION(events);
}
