/* What a handled signal does to every call that waits: EINTR, or going on under SA_RESTART. */
#include "guest.h"

#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>

static volatile sig_atomic_t first, second;

static void on_first(int signal) {
    (void)signal;
    first = 1;
}

static void on_second(int signal) {
    (void)signal;
    second = 1;
}

static int pipes[2], full[2], pair[2], filled[2], listener, locked, queue, full_queue, messages, full_messages, semaphores, master, datagrams;
static struct sockaddr_un place = {AF_UNIX, "\0caisson-interrupt"}, letters = {AF_UNIX, "\0caisson-int-dgram"}, path = {AF_UNIX, "/work/int-dgram"};
static char byte[4096];

static long w_read(void) { return syscall(SYS_read, pipes[0], byte, 1); }
static long w_readv(void) { return syscall(SYS_readv, pipes[0], &(struct iovec){byte, 1}, 1); }
static long w_write(void) { return syscall(SYS_write, full[1], byte, sizeof byte); }
static long w_recvfrom(void) { return syscall(SYS_recvfrom, pair[0], byte, 1, 0, NULL, NULL); }
static long w_recvmsg(void) { return syscall(SYS_recvmsg, pair[0], &(struct msghdr){NULL, 0, &(struct iovec){byte, 1}, 1, NULL, 0, 0}, 0); }
static long w_recvmmsg(void) { return syscall(SYS_recvmmsg, pair[0], &(struct mmsghdr){{NULL, 0, &(struct iovec){byte, 1}, 1, NULL, 0, 0}, 0}, 1, 0, NULL); }
static long w_send(void) { return syscall(SYS_sendto, filled[0], byte, sizeof byte, 0, NULL, 0); }
static long w_sendmsg(void) { return syscall(SYS_sendmsg, filled[0], &(struct msghdr){NULL, 0, &(struct iovec){byte, 1}, 1, NULL, 0, 0}, 0); }
static long w_sendto_name(void) { return syscall(SYS_sendto, socket(AF_UNIX, SOCK_DGRAM, 0), byte, 1, 0, &letters, 2 + 18); }
static long w_sendmsg_name(void) { return syscall(SYS_sendmsg, socket(AF_UNIX, SOCK_DGRAM, 0), &(struct msghdr){&letters, 2 + 18, &(struct iovec){byte, 1}, 1, NULL, 0, 0}, 0); }
static long w_sendmsg_path(void) { return syscall(SYS_sendmsg, socket(AF_UNIX, SOCK_DGRAM, 0), &(struct msghdr){&path, sizeof path, &(struct iovec){byte, 1}, 1, NULL, 0, 0}, 0); }
static long w_accept(void) { return syscall(SYS_accept, listener, NULL, NULL); }
static long w_connect(void) { return syscall(SYS_connect, socket(AF_UNIX, SOCK_STREAM, 0), &place, 2 + 18); }
static long w_poll(void) { return syscall(SYS_poll, &(struct pollfd){pipes[0], POLLIN, 0}, 1, -1); }
static long w_ppoll(void) { return syscall(SYS_ppoll, &(struct pollfd){pipes[0], POLLIN, 0}, 1, NULL, NULL, 8); }
static long w_select(void) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pipes[0], &set);
    return syscall(SYS_select, pipes[0] + 1, &set, NULL, NULL, NULL);
}
static long w_epoll(void) {
    int fd = epoll_create1(0);
    epoll_ctl(fd, EPOLL_CTL_ADD, pipes[0], &(struct epoll_event){EPOLLIN, {0}});
    struct epoll_event event;
    return syscall(SYS_epoll_wait, fd, &event, 1, -1);
}
static long w_pause(void) { return syscall(SYS_pause); }
static long w_sigsuspend(void) { return syscall(SYS_rt_sigsuspend, &(uint64_t){0}, 8); }
static long w_sigtimedwait(void) { return syscall(SYS_rt_sigtimedwait, &(uint64_t){1UL << (SIGUSR2 - 1)}, NULL, &(struct timespec){1, 0}, 8); }
static long w_nanosleep(void) { return syscall(SYS_nanosleep, &(struct timespec){1, 0}, NULL); }
static long w_clock_nanosleep(void) { return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &(struct timespec){1, 0}, NULL); }
static long w_wait4(void) {
    if (fork() == 0) { millis(1000); _exit(0); }
    return syscall(SYS_wait4, -1, NULL, 0, NULL);
}
static long w_waitid(void) {
    if (fork() == 0) { millis(1000); _exit(0); }
    return syscall(SYS_waitid, P_ALL, 0, NULL, WEXITED, NULL);
}
static long w_futex(void) { return syscall(SYS_futex, &(int){0}, FUTEX_WAIT, 0, NULL, NULL, 0); }
static long w_futex_timed(void) { return syscall(SYS_futex, &(int){0}, FUTEX_WAIT, 0, &(struct timespec){1, 0}, NULL, 0); }
static long w_flock(void) { return syscall(SYS_flock, open("/work/int-lock", O_RDWR), LOCK_EX); }
static long w_setlkw(void) { return syscall(SYS_fcntl, open("/work/int-lock", O_RDWR), F_SETLKW, &(struct flock){F_WRLCK, SEEK_SET, 0, 0, 0}); }
static long w_ofd(void) { return syscall(SYS_fcntl, open("/work/int-lock", O_RDWR), F_OFD_SETLKW, &(struct flock){F_WRLCK, SEEK_SET, 0, 0, 0}); }
static long w_fifo_read(void) { return syscall(SYS_open, "/work/int-fifo", O_RDONLY); }
static long w_fifo_write(void) { return syscall(SYS_openat, AT_FDCWD, "/work/int-fifo2", O_WRONLY); }
static long w_msgrcv(void) { return syscall(SYS_msgrcv, messages, byte, 1, 0L, 0); }
static long w_msgsnd(void) { return syscall(SYS_msgsnd, full_messages, &(struct { long type; char text[4096]; }){1, {0}}, 4096L, 0); }
static long w_semop(void) { return syscall(SYS_semop, semaphores, &(struct sembuf){0, -1, 0}, 1); }
static long w_semtimedop(void) { return syscall(SYS_semtimedop, semaphores, &(struct sembuf){0, -1, 0}, 1, &(struct timespec){1, 0}); }
static long w_mq_receive(void) { return syscall(SYS_mq_timedreceive, queue, byte, 64, NULL, NULL); }
static long w_mq_send(void) { return syscall(SYS_mq_timedsend, full_queue, byte, 1, 0, NULL); }
static long w_eventfd(void) { return syscall(SYS_read, eventfd(0, 0), byte, 8); }
static long w_signalfd(void) { return syscall(SYS_read, (int)syscall(SYS_signalfd4, -1, &(uint64_t){1UL << (SIGUSR2 - 1)}, 8, 0), byte, 128); }
static long w_timerfd(void) {
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(fd, 0, &(struct itimerspec){{0, 0}, {1, 0}}, NULL);
    return syscall(SYS_read, fd, byte, 8);
}
static long w_inotify(void) { return syscall(SYS_read, inotify_init(), byte, 64); }
static long w_terminal(void) { return syscall(SYS_read, master, byte, 1); }
static long w_getrandom(void) { return syscall(SYS_getrandom, byte, 16, 0); }
static long w_recv_timeout(void) {
    int own[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, own);
    setsockopt(own[0], SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){1, 0}, sizeof(struct timeval));
    return syscall(SYS_recvfrom, own[0], byte, 1, 0, NULL, NULL);
}

static const struct { const char *call, *tag; long (*wait)(void); } calls[] = {
    {"read", "pipe", w_read}, {"readv", "pipe", w_readv}, {"write", "pipe", w_write}, {"recvfrom", "unix", w_recvfrom}, {"recvmsg", "unix", w_recvmsg},
    {"recvmmsg", "unix", w_recvmmsg}, {"sendto", "full", w_send}, {"sendmsg", "full", w_sendmsg}, {"sendto", "name", w_sendto_name}, {"sendmsg", "name", w_sendmsg_name},
    {"sendmsg", "path", w_sendmsg_path}, {"accept", "unix", w_accept}, {"connect", "unix", w_connect}, {"poll", "pipe", w_poll}, {"ppoll", "pipe", w_ppoll},
    {"select", "pipe", w_select}, {"epoll_wait", "pipe", w_epoll}, {"pause", "forever", w_pause}, {"rt_sigsuspend", "forever", w_sigsuspend},
    {"rt_sigtimedwait", "other", w_sigtimedwait}, {"nanosleep", "second", w_nanosleep}, {"clock_nanosleep", "second", w_clock_nanosleep},
    {"wait4", "child", w_wait4}, {"waitid", "child", w_waitid}, {"futex", "wait", w_futex}, {"futex", "timed", w_futex_timed}, {"flock", "exclusive", w_flock},
    {"fcntl", "setlkw", w_setlkw}, {"fcntl", "ofd_setlkw", w_ofd}, {"open", "fifo_read", w_fifo_read}, {"openat", "fifo_write", w_fifo_write},
    {"msgrcv", "empty", w_msgrcv}, {"msgsnd", "full", w_msgsnd}, {"semop", "zero", w_semop}, {"semtimedop", "zero", w_semtimedop},
    {"mq_timedreceive", "empty", w_mq_receive}, {"mq_timedsend", "full", w_mq_send}, {"read", "eventfd", w_eventfd}, {"read", "signalfd", w_signalfd},
    {"read", "timerfd", w_timerfd}, {"read", "inotify", w_inotify}, {"read", "terminal", w_terminal}, {"getrandom", "ready", w_getrandom},
    {"recvfrom", "timeout", w_recv_timeout},
};
enum { CALLS = sizeof calls / sizeof *calls };

struct outcome {
    long value;
    int error, first, second;
};

static void prepare(void) {
    /* Names of this section alone: whoever holds the locks below keeps the sockets of the last one. */
    snprintf(place.sun_path + 1, 18, "caisson-int-%05d", getpid() % 100000);
    snprintf(letters.sun_path + 1, 18, "caisson-dgr-%05d", getpid() % 100000);
    if (pipe(pipes) || pipe(full) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || socketpair(AF_UNIX, SOCK_STREAM, 0, filled)) _exit(1);
    fcntl(full[1], F_SETFL, O_NONBLOCK);
    while (write(full[1], byte, sizeof byte) > 0) {}
    fcntl(full[1], F_SETFL, 0);
    while (send(filled[0], byte, sizeof byte, MSG_DONTWAIT) > 0) {}
    while (send(filled[0], byte, 1, MSG_DONTWAIT) > 0) {}
    int busy = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(busy, (void *)&place, 2 + 18);
    listen(busy, 0);
    for (int i = 0; i < 2; i++) connect(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), (void *)&place, 2 + 18);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un quiet = {AF_UNIX, ""};
    snprintf(quiet.sun_path + 1, 18, "caisson-qui-%05d", getpid() % 100000);
    bind(listener, (void *)&quiet, 2 + 18);
    listen(listener, 1);
    datagrams = socket(AF_UNIX, SOCK_DGRAM, 0);
    bind(datagrams, (void *)&letters, 2 + 18);
    unlink(path.sun_path);
    bind(socket(AF_UNIX, SOCK_DGRAM, 0), (void *)&path, sizeof path);
    int sender = socket(AF_UNIX, SOCK_DGRAM, 0);
    while (sendto(sender, byte, 1, MSG_DONTWAIT, (void *)&letters, 2 + 18) > 0) {}
    while (sendto(sender, byte, 1, MSG_DONTWAIT, (void *)&path, sizeof path) > 0) {}
    put("/work/int-lock", "lock");
    unlink("/work/int-fifo");
    mkfifo("/work/int-fifo", 0600);
    unlink("/work/int-fifo2");
    mkfifo("/work/int-fifo2", 0600);
    messages = msgget(IPC_PRIVATE, 0600);
    full_messages = msgget(IPC_PRIVATE, 0600);
    struct { long type; char text[4096]; } message = {1, {0}};
    while (msgsnd(full_messages, &message, 4096, IPC_NOWAIT) == 0) {}
    semaphores = semget(IPC_PRIVATE, 1, 0600);
    struct mq_attr attributes = {0, 1, 64, 0, {0}};
    syscall(SYS_mq_unlink, "caisson-int");
    syscall(SYS_mq_unlink, "caisson-int-full");
    queue = (int)syscall(SYS_mq_open, "caisson-int", O_RDWR | O_CREAT, 0600, &attributes);
    full_queue = (int)syscall(SYS_mq_open, "caisson-int-full", O_RDWR | O_CREAT, 0600, &attributes);
    syscall(SYS_mq_timedsend, full_queue, byte, 1, 0, NULL);
    master = posix_openpt(O_RDWR | O_NOCTTY);
    grantpt(master);
    unlockpt(master);
    open(ptsname(master), O_RDWR | O_NOCTTY);
    /* Whoever holds the locks for all of the time. */
    if (fork() == 0) {
        int fd = open("/work/int-lock", O_RDWR);
        flock(fd, LOCK_EX);
        fcntl(fd, F_SETLK, &(struct flock){F_WRLCK, SEEK_SET, 0, 0, 0});
        millis(3000);
        _exit(0);
    }
    millis(100);
}

static void wait_once(size_t index, void (*handler)(int), int flags, struct outcome *outcome) {
    struct sigaction action = {0};
    action.sa_handler = handler;
    action.sa_flags = flags;
    sigaction(SIGUSR1, &action, NULL);
    action.sa_handler = on_second;
    action.sa_flags = 0;
    sigaction(SIGALRM, &action, NULL);
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, 0, &(struct itimerspec){{0, 0}, {0, 200000000}}, NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 600000}}, NULL);
    errno = 0;
    long value = calls[index].wait();
    *outcome = (struct outcome){value, errno, first, second};
}

static void all(const char *how, void (*handler)(int), int flags) {
    struct outcome *outcomes = mmap(NULL, sizeof *outcomes * CALLS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t children[CALLS];
    for (size_t i = 0; i < CALLS; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            wait_once(i, handler, flags, &outcomes[i]);
            _exit(0);
        }
    }
    for (size_t i = 0; i < CALLS; i++) {
        int status;
        waitpid(children[i], &status, 0);
        char tag[64];
        snprintf(tag, sizeof tag, "%s_%s", how, calls[i].tag);
        say(calls[i].call, tag, "ret=%s errno=%s handled=%d restarted=%d %s", outcomes[i].value < 0 ? "-1" : "ok", errname(outcomes[i].value < 0 ? outcomes[i].error : 0), outcomes[i].first, outcomes[i].second, status ? ended(status) : "");
    }
}

static void plain(void) {
    prepare();
    all("plain", on_first, 0);
}

static void restart(void) {
    prepare();
    all("restart", on_first, SA_RESTART);
}

/* Signals that are ignored, and then one that is not: only that one ends a call. */
static void ignored(void) {
    prepare();
    all("ignored", SIG_IGN, 0);
}

/* Calls with a time, in milliseconds. */
enum { WAITS = 400 };
static struct timespec some_time = {0, WAITS * 1000000};

static long t_epoll(void) {
    struct epoll_event event;
    return syscall(SYS_epoll_wait, epoll_create1(0), &event, 1, WAITS);
}
static long t_epoll2(void) {
    struct epoll_event event;
    return syscall(SYS_epoll_pwait2, epoll_create1(0), &event, 1, &some_time, NULL, 8);
}
static long t_sigtimedwait(void) { return syscall(SYS_rt_sigtimedwait, &(uint64_t){1UL << (SIGUSR2 - 1)}, NULL, &some_time, 8); }
static long t_semtimedop(void) { return syscall(SYS_semtimedop, semaphores, &(struct sembuf){0, -1, 0}, 1, &some_time); }
static long t_poll(void) { return syscall(SYS_poll, NULL, 0, WAITS); }
static long t_receive(void) {
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){0, WAITS * 1000}, sizeof(struct timeval));
    return syscall(SYS_read, pair[0], byte, 1);
}
static long t_send(void) {
    setsockopt(filled[0], SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){0, WAITS * 1000}, sizeof(struct timeval));
    return syscall(SYS_write, filled[0], byte, 1);
}

/* Without a time: what is waited for comes, after some of the signals. */
static int comes_late(void) {
    int ends[2];
    if (pipe(ends)) _exit(1);
    if (fork() == 0) {
        millis(WAITS);
        if (write(ends[1], "x", 1) != 1) _exit(1);
        _exit(0);
    }
    return ends[0];
}
static long t_endless(void) {
    struct epoll_event event = {EPOLLIN, {0}};
    int fd = epoll_create1(0);
    epoll_ctl(fd, EPOLL_CTL_ADD, comes_late(), &event);
    return syscall(SYS_epoll_wait, fd, &event, 1, -1);
}
static long t_inotify(void) {
    int fd = inotify_init();
    inotify_add_watch(fd, "/work/int-lock", IN_OPEN);
    if (fork() == 0) {
        millis(WAITS);
        _exit(open("/work/int-lock", O_RDONLY) < 0);
    }
    return syscall(SYS_read, fd, byte, sizeof byte);
}

static const struct { const char *call, *tag; long (*wait)(void); } timed[] = {
    {"epoll_wait", "timed", t_epoll}, {"epoll_pwait2", "timed", t_epoll2}, {"rt_sigtimedwait", "timed", t_sigtimedwait},
    {"semtimedop", "timed", t_semtimedop}, {"poll", "timed", t_poll}, {"read", "timed", t_receive}, {"write", "timed", t_send},
    {"epoll_wait", "endless", t_endless}, {"read", "inotify_late", t_inotify},
};

/* Signals that are ignored by default come all the time: a call takes the time that it was given, not less nor for ever. */
static void ignored_often(void) {
    prepare();
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGWINCH};
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, 0, &(struct itimerspec){{0, 30000000}, {0, 30000000}}, NULL);
    for (size_t i = 0; i < sizeof timed / sizeof *timed; i++) {
        struct timespec begun, ended;
        clock_gettime(CLOCK_MONOTONIC, &begun);
        errno = 0;
        long value = timed[i].wait();
        int error = errno;
        clock_gettime(CLOCK_MONOTONIC, &ended);
        long took = (ended.tv_sec - begun.tv_sec) * 1000 + (ended.tv_nsec - begun.tv_nsec) / 1000000;
        say(timed[i].call, timed[i].tag, "ret=%ld errno=%s early=%d late=%d", value, errname(value < 0 ? error : 0), took < WAITS - 1, took > WAITS * 4);
    }
}

/* Who was there first is served while those that came later make calls without a pause. */
static void crowded(void) {
    enum { CROWD = 24, CALLS_OF_OURS = 20 };
    pid_t children[CROWD];
    for (int i = 0; i < CROWD; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            alarm(20);
            for (;;) access("/work/file", R_OK);
        }
    }
    struct timespec begun, ended;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    for (int i = 0; i < CALLS_OF_OURS; i++) access("/work/file", R_OK);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    for (int i = 0; i < CROWD; i++) kill(children[i], SIGKILL);
    for (int i = 0; i < CROWD; i++) waitpid(children[i], NULL, 0);
    say("access", "crowded", "late=%d", ended.tv_sec - begun.tv_sec > 10);
}

static void ignore(void) {
    prepare();
    /* Signals that nobody handles interrupt nothing: SIGWINCH is ignored unless it is asked for. */
    pid_t child = fork();
    if (child == 0) {
        T("ignored", connect, socket(AF_UNIX, SOCK_STREAM, 0), &place, 2 + 18);
        _exit(0);
    }
    millis(60);
    kill(child, SIGWINCH);
    kill(child, SIGCHLD);
    kill(child, SIGURG);
    millis(60);
    kill(child, SIGSTOP);
    millis(60);
    kill(child, SIGCONT);
    millis(60);
    int status;
    say("connect", "still", "%d", waitpid(child, &status, WNOHANG));
    kill(child, SIGTERM);
    waitpid(child, &status, 0);
    say("connect", "killed", "%s", ended(status));
}

static int failures;

static void no_end(long value) {
    if (value < 0 && errno == EINTR) failures++;
}

static void handle(int signal, int flags) {
    struct sigaction action = {.sa_handler = on_first, .sa_flags = flags};
    sigaction(signal, &action, NULL);
}

static void calls_of_names(void) {
    struct stat stat;
    char name[64];
    no_end(syscall(SYS_stat, "/work", &stat));
    no_end(syscall(SYS_access, "/work", R_OK));
    no_end(syscall(SYS_chdir, "/work"));
    no_end(syscall(SYS_getcwd, name, sizeof name));
    no_end(syscall(SYS_readlink, "/work/int-link", name, sizeof name));
    no_end(syscall(SYS_mkdir, "/work/int-dir", 0700));
    no_end(syscall(SYS_rename, "/work/int-dir", "/work/int-dir2"));
    no_end(syscall(SYS_rmdir, "/work/int-dir2"));
    int fd = open("/work", O_RDONLY | O_DIRECTORY);
    no_end(fd);
    close(fd);
}

/* What Linux never ends with EINTR, while signals come whose handlers do not restart. */
static void never(void) {
    handle(SIGCHLD, 0);
    failures = 0;
    for (int i = 0; i < 300; i++) {
        pid_t child = fork();
        no_end(child);
        if (child == 0) _exit(0);
        calls_of_names();
        while (waitpid(-1, NULL, WNOHANG) > 0) {}
    }
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {}
    say("fork", "children_end", "%d ended, handled=%d", failures, first);
    handle(SIGALRM, 0);
    failures = first = 0;
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 700}, {0, 700}}, NULL);
    for (int i = 0; i < 300; i++) {
        calls_of_names();
        pid_t child = i % 8 ? 0 : vfork();
        no_end(child);
        if (child == 0 && i % 8 == 0) _exit(0);
    }
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    say("stat", "timer", "%d ended, handled=%d", failures, first);
}

static volatile sig_atomic_t begun, done;

static void *call_names(void *unused) {
    (void)unused;
    calls_of_names();
    begun = 1;
    for (int i = 0; i < 300; i++) calls_of_names();
    done = 1;
    return NULL;
}

/* The same for threads that others have given the handler. */
static void inherited(void) {
    handle(SIGUSR1, 0);
    failures = first = 0;
    pthread_t thread;
    if (pthread_create(&thread, NULL, call_names, NULL)) _exit(1);
    while (!begun) millis(1);
    for (; !done; usleep(500)) pthread_kill(thread, SIGUSR1);
    pthread_join(thread, NULL);
    say("stat", "thread", "%d ended, handled=%d", failures, first);

    handle(SIGALRM, 0);
    pid_t child = fork();
    if (child == 0) {
        failures = first = 0;
        calls_of_names();
        setitimer(ITIMER_REAL, &(struct itimerval){{0, 700}, {0, 700}}, NULL);
        for (int i = 0; i < 300; i++) calls_of_names();
        setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
        say("stat", "heir", "%d ended, handled=%d", failures, first);
        _exit(0);
    }
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
}

/* The same process is stopped, goes on and executes a program as any other. */
static void unrestarting(void) {
    int ready[2], status;
    if (pipe(ready)) _exit(1);
    pid_t child = fork();
    if (child == 0) {
        handle(SIGUSR1, 0);
        put("/work/int-here", "");
        if (write(ready[1], "r", 1) != 1) _exit(1);
        T("handled", pause);
        T("again", pause);
        handle(SIGCHLD, 0);
        if (fork() == 0) _exit(0);
        while (waitpid(-1, NULL, 0) < 0 && errno == EINTR) {}
        execl("/bin/sh", "sh", "-c", "kill -KILL $$", NULL);
        _exit(1);
    }
    if (read(ready[0], byte, 1) != 1) _exit(1);
    kill(child, SIGSTOP);
    waitpid(child, &status, WUNTRACED);
    say("kill", "stop", "stopped=%d by %d", WIFSTOPPED(status), WSTOPSIG(status));
    kill(child, SIGCONT);
    waitpid(child, &status, WCONTINUED);
    say("kill", "continue", "%d", WIFCONTINUED(status));
    millis(50);
    kill(child, SIGUSR1);
    millis(100);
    millis(50);
    kill(child, SIGUSR1);
    waitpid(child, &status, 0);
    say("execve", "end", "%s", ended(status));
}

FAMILY(interrupt) {
    SECTION(plain);
    SECTION(restart);
    SECTION(ignored);
    SECTION(ignored_often);
    SECTION(crowded);
    SECTION(ignore);
    SECTION(never);
    SECTION(inherited);
    SECTION(unrestarting);
}
