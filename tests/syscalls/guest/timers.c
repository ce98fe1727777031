/* Interval timers, POSIX timers and timer descriptors: arguments, states and what they send. */
#include "guest.h"

#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>

static volatile sig_atomic_t count, code, value, overrun, number;

static void on_timer(int signal, siginfo_t *info, void *context) {
    (void)context;
    number = signal;
    code = info->si_code;
    value = info->si_value.sival_int;
    overrun = info->si_overrun;
    count++;
}

static void install(int signal) {
    struct sigaction action = {0};
    action.sa_sigaction = on_timer;
    action.sa_flags = SA_SIGINFO;
    sigaction(signal, &action, NULL);
}

static void interval(void) {
    install(SIGALRM);
    install(SIGVTALRM);
    install(SIGPROF);
    struct itimerval set = {{0, 0}, {0, 20000}}, old;
    for (int which = 0; which < 3; which++) {
        T("which", setitimer, which, &(struct itimerval){{0, 0}, {100, 0}}, NULL);
        T("which", getitimer, which, &old);
        say("getitimer", "which", "armed=%d", old.it_value.tv_sec > 90);
        T("off", setitimer, which, &(struct itimerval){{0, 0}, {0, 0}}, &old);
    }
    T("bad_which", setitimer, 3, &set, NULL);
    T("bad_which", getitimer, -1, &old);
    T("efault", setitimer, ITIMER_REAL, BAD, NULL);
    T("efault_old", setitimer, ITIMER_REAL, &set, BAD);
    T("efault", getitimer, ITIMER_REAL, BAD);
    T("bad_micro", setitimer, ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 1000000}}, NULL);
    T("negative", setitimer, ITIMER_REAL, &(struct itimerval){{0, 0}, {-1, 0}}, NULL);
    T("null", setitimer, ITIMER_REAL, NULL, &old);
    count = 0;
    setitimer(ITIMER_REAL, &set, NULL);
    while (!count) pause();
    say("setitimer", "real", "signal=%d code=%d", number, code);
    count = 0;
    setitimer(ITIMER_VIRTUAL, &set, NULL);
    while (!count) {}
    say("setitimer", "virtual", "signal=%d code=%d", number, code);
    count = 0;
    setitimer(ITIMER_PROF, &(struct itimerval){{0, 10000}, {0, 10000}}, NULL);
    while (count < 3) {}
    setitimer(ITIMER_PROF, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    say("setitimer", "profile", "signal=%d", number);
    T("first", alarm, 100);
    T("second", alarm, 0);
    T("third", alarm, 0);
    if (fork() == 0) {
        alarm(100);
        if (fork() == 0) {
            T("inherited", alarm, 0);
            _exit(0);
        }
        wait(NULL);
        _exit(0);
    }
    wait(NULL);
}

static long created(const char *tag, clockid_t clock, int notify, int signal) {
    static int timer;
    struct sigevent event = {0};
    event.sigev_notify = notify;
    event.sigev_signo = signal;
    event.sigev_value.sival_int = 55;
    long r = TOK(tag, timer_create, clock, &event, &timer);
    return r == 0 ? timer : r;
}

static void posix(void) {
    install(SIGUSR1);
    install(SIGRTMIN);
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM, 99, -1};
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        char tag[32];
        snprintf(tag, sizeof tag, "clock_%d", clocks[i]);
        created(tag, clocks[i], SIGEV_SIGNAL, SIGUSR1);
    }
    created("none", CLOCK_MONOTONIC, SIGEV_NONE, 0);
    created("bad_notify", CLOCK_MONOTONIC, 77, SIGUSR1);
    created("bad_signal", CLOCK_MONOTONIC, SIGEV_SIGNAL, 99);
    created("thread_id", CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGUSR1);
    int timer;
    T("efault_event", timer_create, CLOCK_MONOTONIC, BAD, &timer);
    T("efault_timer", timer_create, CLOCK_MONOTONIC, NULL, BAD);
    int id = (int)created("usr1", CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1);
    struct itimerspec set = {{0, 0}, {0, 10000000}}, now;
    T("disarmed", timer_gettime, id, &now);
    say("timer_gettime", "disarmed", "%ld %ld", (long)now.it_value.tv_sec, now.it_value.tv_nsec);
    count = 0;
    T("once", timer_settime, id, 0, &set, NULL);
    while (!count) pause();
    say("timer_settime", "once", "signal=%d code=%d value=%d overrun=%d", number, code, value, overrun);
    T("overrun", timer_getoverrun, id);
    T("efault", timer_settime, id, 0, BAD, NULL);
    T("bad_nano", timer_settime, id, 0, &(struct itimerspec){{0, 0}, {0, 1000000000}}, NULL);
    T("negative", timer_settime, id, 0, &(struct itimerspec){{0, 0}, {-1, 0}}, NULL);
    T("bad_id", timer_settime, 9999, 0, &set, NULL);
    T("bad_id", timer_gettime, 9999, &now);
    T("bad_id", timer_getoverrun, 9999);
    T("bad_id", timer_delete, 9999);
    T("efault", timer_gettime, id, BAD);
    T("past", timer_settime, id, TIMER_ABSTIME, &(struct itimerspec){{0, 0}, {0, 1}}, NULL);
    millis(20);
    say("timer_settime", "past", "count=%d", count);
    struct itimerspec old;
    T("long", timer_settime, id, 0, &(struct itimerspec){{5, 0}, {100, 0}}, NULL);
    T("old", timer_settime, id, 0, &(struct itimerspec){{0, 0}, {0, 0}}, &old);
    say("timer_settime", "old", "interval=%ld left=%d", (long)old.it_interval.tv_sec, old.it_value.tv_sec > 90);
    /* Expirations while the signal is blocked are counted. */
    uint64_t mask = 1UL << (SIGUSR1 - 1);
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &mask, NULL, 8);
    syscall(SYS_timer_settime, id, 0, &(struct itimerspec){{0, 1000000}, {0, 1000000}}, NULL);
    millis(50);
    siginfo_t info;
    long got = syscall(SYS_rt_sigtimedwait, &mask, &info, &(struct timespec){1, 0}, 8);
    say("rt_sigtimedwait", "overrun", "%ld code=%d some=%d", got, info.si_code, info.si_overrun > 5);
    T("delete", timer_delete, id);
    T("deleted", timer_gettime, id, &now);
    int inherited = (int)created("inherited", CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN);
    if (fork() == 0) {
        T("child", timer_gettime, inherited, &now);
        _exit(0);
    }
    wait(NULL);
}

static void descriptors(void) {
    static const int clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_PROCESS_CPUTIME_ID, CLOCK_TAI, CLOCK_REALTIME_ALARM, 99};
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        char tag[32];
        snprintf(tag, sizeof tag, "clock_%d", clocks[i]);
        TOK(tag, timerfd_create, clocks[i], 0);
    }
    T("bad_flags", timerfd_create, CLOCK_MONOTONIC, 1);
    int fd = (int)TOK("nonblock", timerfd_create, CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    say("fcntl", "flags", "%d %d", fcntl(fd, F_GETFD), !!(fcntl(fd, F_GETFL) & O_NONBLOCK));
    uint64_t times = 0;
    T("disarmed", read, fd, &times, 8);
    T("short", read, fd, &times, 4);
    struct itimerspec set = {{0, 5000000}, {0, 5000000}}, now;
    T("armed", timerfd_settime, fd, 0, &set, NULL);
    T("armed", timerfd_gettime, fd, &now);
    say("timerfd_gettime", "armed", "interval=%ld", now.it_interval.tv_nsec);
    struct pollfd ready = {fd, POLLIN, 0};
    T("ready", poll, &ready, 1, 1000);
    millis(20);
    T("times", read, fd, &times, 8);
    say("read", "times", "some=%d", times >= 2);
    T("off", timerfd_settime, fd, 0, &(struct itimerspec){{0, 0}, {0, 0}}, &now);
    T("write", write, fd, &times, 8);
    T("bad_flags", timerfd_settime, fd, 99, &set, NULL);
    T("bad_nano", timerfd_settime, fd, 0, &(struct itimerspec){{0, 0}, {0, -1}}, NULL);
    T("efault", timerfd_settime, fd, 0, BAD, NULL);
    T("efault", timerfd_gettime, fd, BAD);
    T("ebadf", timerfd_settime, 99, 0, &set, NULL);
    T("other", timerfd_settime, 1, 0, &set, NULL);
    T("other", timerfd_gettime, 1, &now);
    T("past", timerfd_settime, fd, TFD_TIMER_ABSTIME, &(struct itimerspec){{0, 0}, {0, 1}}, NULL);
    T("past", read, fd, &times, 8);
    say("read", "past", "%lu", (unsigned long)times);
    int real = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
    T("cancel", timerfd_settime, real, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &(struct itimerspec){{0, 0}, {1L << 40, 0}}, NULL);
    T("seek", lseek, fd, 0, SEEK_SET);
    say("read", "fdinfo", "%d", strstr(get("/proc/self/fdinfo/1"), "pos:") != NULL);
}

static void clocks(void) {
    struct timespec at;
    for (int clock = -1; clock < 14; clock++) {
        char tag[32];
        snprintf(tag, sizeof tag, "clock_%d", clock);
        T(tag, clock_gettime, clock, &at);
        T(tag, clock_getres, clock, &at);
        /* A process does not use its own time while it sleeps. */
        if (clock != CLOCK_PROCESS_CPUTIME_ID) T(tag, clock_nanosleep, clock, 0, &(struct timespec){0, 1}, NULL);
        T(tag, clock_nanosleep, clock, TIMER_ABSTIME, &(struct timespec){0, 1}, NULL);
    }
    T("bad_nano", clock_nanosleep, CLOCK_MONOTONIC, 0, &(struct timespec){0, 1000000000}, NULL);
    T("negative", clock_nanosleep, CLOCK_MONOTONIC, 0, &(struct timespec){-1, 0}, NULL);
    T("efault", clock_nanosleep, CLOCK_MONOTONIC, 0, BAD, NULL);
    T("efault", clock_gettime, CLOCK_MONOTONIC, KERNEL_POINTER);
    T("null", clock_getres, CLOCK_MONOTONIC, NULL);
    T("process", clock_gettime, (~getpid() << 3) | 2, &at);
    T("other_process", clock_gettime, (~1 << 3) | 2, &at);
    T("no_process", clock_gettime, (~999999 << 3) | 2, &at);
    T("bad_nano", nanosleep, &(struct timespec){0, -1}, NULL);
    T("efault", nanosleep, BAD, NULL);
    T("zero", nanosleep, &(struct timespec){0, 0}, NULL);
}

FAMILY(timers) {
    SECTION(interval);
    SECTION(posix);
    SECTION(descriptors);
    SECTION(clocks);
}
