/* Sending, blocking and waiting for signals. */
#include "guest.h"

#include <pthread.h>
#include <sys/signalfd.h>

static volatile int caught, caught_code, caught_value;
static volatile pid_t caught_pid;

static void handler(int signal, siginfo_t *info, void *context) {
    (void)context;
    caught = signal;
    caught_code = info->si_code;
    caught_pid = info->si_pid;
    caught_value = info->si_value.sival_int;
}

static void install(int signal, int flags) {
    struct sigaction action = {0};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | flags;
    sigaction(signal, &action, NULL);
}

static void kills(void) {
    install(SIGUSR1, 0);
    T("self", kill, getpid(), SIGUSR1);
    say("kill", "caught", "%d code=%d own=%d", caught, caught_code, caught_pid == getpid());
    T("probe", kill, getpid(), 0);
    T("none", kill, 99999, 0);
    T("bad", kill, getpid(), 99);
    T("init", kill, 1, 0);
    T("no_group", kill, -99999, SIGTERM);
    T("self", tkill, gettid(), SIGUSR1);
    T("none", tkill, 99999, SIGUSR1);
    T("negative", tkill, -1, SIGUSR1);
    T("self", tgkill, getpid(), gettid(), SIGUSR1);
    say("tgkill", "caught", "%d code=%d", caught, caught_code);
    T("mismatch", tgkill, 1, gettid(), SIGUSR1);
    T("zero", tgkill, 0, gettid(), SIGUSR1);
    siginfo_t info = {0};
    info.si_signo = SIGUSR1;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_value.sival_int = 77;
    T("self", rt_sigqueueinfo, getpid(), SIGUSR1, &info);
    say("rt_sigqueueinfo", "caught", "%d code=%d value=%d", caught, caught_code, caught_value);
    T("efault", rt_sigqueueinfo, getpid(), SIGUSR1, BAD);
    T("none", rt_sigqueueinfo, 99999, SIGUSR1, &info);
    T("self", rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, &info);
    T("efault", rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, BAD);
    info.si_code = SI_KERNEL;
    T("forged", rt_sigqueueinfo, getppid(), 0, &info);
    pid_t child = fork();
    if (child == 0) {
        for (;;) pause();
    }
    T("child", kill, child, SIGTERM);
    int status;
    waitpid(child, &status, 0);
    say("kill", "child", "%s", ended(status));
    child = fork();
    if (child == 0) {
        setpgid(0, 0);
        signal(SIGUSR2, SIG_IGN);
        T("own_group", kill, 0, SIGUSR2);
        _exit(0);
    }
    waitpid(child, &status, 0);
}

static void masks(void) {
    uint64_t set = 1UL << (SIGUSR1 - 1), old = 0;
    install(SIGUSR1, 0);
    T("block", rt_sigprocmask, SIG_BLOCK, &set, &old, 8);
    kill(getpid(), SIGUSR1);
    T("pending", rt_sigpending, &old, 8);
    say("rt_sigpending", "set", "%lx", old);
    T("size", rt_sigprocmask, SIG_BLOCK, &set, &old, 4);
    T("how", rt_sigprocmask, 9, &set, &old, 8);
    T("efault", rt_sigprocmask, SIG_BLOCK, BAD, &old, 8);
    siginfo_t info;
    struct timespec zero = {0, 0};
    T("take", rt_sigtimedwait, &set, &info, &zero, 8);
    T("timeout", rt_sigtimedwait, &set, &info, &zero, 8);
    T("unblock", rt_sigprocmask, SIG_UNBLOCK, &set, NULL, 8);
    struct sigaction action;
    T("efault", rt_sigaction, SIGUSR1, BAD, NULL, 8);
    T("kill", rt_sigaction, SIGKILL, NULL, &action, 8);
    T("bad", rt_sigaction, 99, NULL, &action, 8);
    stack_t stack = {0};
    T("query", sigaltstack, NULL, &stack);
    say("sigaltstack", "flags", "%d", stack.ss_flags);
    stack.ss_sp = malloc(16);
    stack.ss_size = 16;
    stack.ss_flags = 0;
    T("small", sigaltstack, &stack, NULL);
}

static void *interrupter(void *thread) {
    millis(60);
    pthread_kill(*(pthread_t *)thread, SIGUSR1);
    return NULL;
}

/* A handled signal must interrupt a call that waits in the application kernel as it does in Linux. */
static void interrupted(const char *tag, int flags, int which) {
    install(SIGUSR1, flags);
    pthread_t self = pthread_self(), thread;
    pthread_create(&thread, NULL, interrupter, &self);
    caught = 0;
    if (which == 0) {
        long fd = T(tag, open, "/work/fifo", O_RDONLY);
        (void)fd;
    } else {
        struct timespec t = {0, 200000000};
        T(tag, nanosleep, &t, NULL);
    }
    say("kill", tag, "caught=%d", caught == SIGUSR1);
    pthread_join(thread, NULL);
}

static void interruption(void) {
    interrupted("fifo_eintr", 0, 0);
    interrupted("sleep_eintr", 0, 1);
}

static void *late_writer(void *argument) {
    (void)argument;
    millis(200);
    int fd = open("/work/fifo", O_WRONLY);
    millis(50);
    close(fd);
    return NULL;
}

static void restarted(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, late_writer, NULL);
    interrupted("fifo_restart", SA_RESTART, 0);
    pthread_join(thread, NULL);
}

static void death_in_open(void) {
    pid_t child = fork();
    if (child == 0) {
        open("/work/fifo", O_RDONLY);
        _exit(1);
    }
    millis(80);
    kill(child, SIGKILL);
    int status;
    waitpid(child, &status, 0);
    say("kill", "in_open", "%s", ended(status));
    child = fork();
    if (child == 0) {
        open("/work/fifo", O_RDONLY);
        _exit(1);
    }
    millis(80);
    kill(child, SIGTERM);
    waitpid(child, &status, 0);
    say("kill", "term_in_open", "%s", ended(status));
}

static void storm(void) {
    /* Signals arriving all the time must not lose or repeat calls. */
    struct sigaction action = {0};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigaction(SIGUSR1, &action, NULL);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        for (int i = 0; i < 2000; i++) kill(parent, SIGUSR1);
        _exit(0);
    }
    int bad = 0;
    for (int i = 0; i < 500; i++) {
        if (mkdir("/work/storm", 0700)) bad++;
        if (rmdir("/work/storm")) bad++;
    }
    int status;
    while (waitpid(child, &status, 0) < 0) {}
    say("kill", "storm", "bad=%d", bad);
}

static void descriptors(void) {
    uint64_t mask = 1UL << (SIGUSR1 - 1);
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &mask, NULL, 8);
    int signals = (int)T("usr1", signalfd4, -1, &mask, 8, SFD_NONBLOCK);
    kill(getpid(), SIGUSR1);
    struct signalfd_siginfo info = {0};
    T("signalfd", read, signals, &info, sizeof info);
    say("signalfd4", "info", "signo=%u pid_self=%d uid=%u", info.ssi_signo, (int)info.ssi_pid == getpid(), info.ssi_uid);
    T("old", signalfd, -1, &mask, 8);
    T("efault", signalfd4, -1, BAD, 8, 0);
}

static void noop(int signal) { (void)signal; }

static void suspended(void) {
    signal(SIGALRM, noop);
    alarm(1);
    T("alarm", pause);
    alarm(1);
    uint64_t none = 0;
    T("alarm", rt_sigsuspend, &none, 8);
    T("efault", rt_sigsuspend, BAD, 8);
    pid_t child = fork();
    if (child == 0) {
        for (;;) pause();
    }
    int fd = (int)syscall(SYS_pidfd_open, child, 0);
    T("probe", pidfd_send_signal, fd, 0, NULL, 0);
    T("term", pidfd_send_signal, fd, SIGTERM, NULL, 0);
    int status;
    waitpid(child, &status, 0);
    say("pidfd_send_signal", "child", "%s", ended(status));
}

/* Who may signal whom is decided by the users inside, whoever they are outside. */
static pid_t sleeper(uid_t uid) {
    int ready[2];
    char byte;
    if (pipe(ready)) return -1;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGTERM, SIG_DFL);
        if (uid) syscall(SYS_setresuid, uid, uid, uid);
        if (write(ready[1], "r", 1) < 0) _exit(1);
        for (;;) pause();
    }
    if (read(ready[0], &byte, 1) < 0) return -1;
    close(ready[0]);
    close(ready[1]);
    return child;
}

static void strangers(void) {
    pid_t theirs = sleeper(getuid() ? 0 : 4001), group = getpid();
    siginfo_t info = {0};
    int status, descriptor = (int)syscall(SYS_pidfd_open, theirs, 0);
    info.si_code = SI_QUEUE;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGTERM, SIG_IGN);
        TOK("become_4002", setresuid, 4002, 4002, 4002);
        T("stranger", kill, theirs, SIGTERM);
        T("stranger_probe", kill, theirs, 0);
        T("stranger_bad", kill, theirs, 99);
        T("stranger_continue", kill, theirs, SIGCONT);
        T("stranger", tkill, theirs, SIGTERM);
        T("stranger", tgkill, theirs, theirs, SIGTERM);
        T("stranger", rt_sigqueueinfo, theirs, SIGTERM, &info);
        T("stranger", rt_tgsigqueueinfo, theirs, theirs, SIGTERM, &info);
        T("stranger", pidfd_send_signal, descriptor, SIGTERM, NULL, 0);
        pid_t own = sleeper(0);
        T("own", kill, own, SIGTERM);
        waitpid(own, &status, 0);
        say("kill", "own", "%s", ended(status));
        /* The group has members of three users: those who may be signalled are. */
        own = sleeper(0);
        T("mixed_group", kill, -group, SIGTERM);
        waitpid(own, &status, 0);
        say("kill", "mixed_group", "%s", ended(status));
        _exit(0);
    }
    waitpid(child, &status, 0);
    millis(100); /* A signal that was let through takes effect. */
    say("kill", "theirs", "%s", waitpid(theirs, &status, WNOHANG) == 0 ? "alive" : ended(status));
    kill(theirs, SIGKILL);
    waitpid(theirs, &status, 0);
}

static void strangers_in_a_group(void) {
    /* A group of its own: the signal must not reach the harness. */
    setpgid(0, 0);
    signal(SIGTERM, SIG_IGN);
    strangers();
}

static volatile int directory_hits;
static void directory_hit(int signal) { (void)signal; directory_hits++; }

/* A descriptor of /proc/PID stands for the process. */
static void by_directory(void) {
    signal(SIGUSR1, directory_hit);
    int own = open("/proc/self", O_RDONLY | O_DIRECTORY), task = open("/proc/self/task", O_RDONLY | O_DIRECTORY);
    int first = open("/proc/1", O_RDONLY | O_DIRECTORY), proc = open("/proc", O_RDONLY | O_DIRECTORY);
    T("dir_own", pidfd_send_signal, own, SIGUSR1, NULL, 0);
    say("pidfd_send_signal", "dir_own", "%d", directory_hits);
    T("dir_first", pidfd_send_signal, first, 0, NULL, 0);
    T("dir_task", pidfd_send_signal, task, 0, NULL, 0);
    T("dir_proc", pidfd_send_signal, proc, 0, NULL, 0);
    T("dir_flags", pidfd_send_signal, own, 0, NULL, 99);
    T("dir_signal", pidfd_send_signal, own, 99, NULL, 0);
    siginfo_t info = {0};
    info.si_signo = SIGUSR1;
    info.si_code = SI_QUEUE;
    T("dir_info", pidfd_send_signal, own, SIGUSR1, &info, 0);
    say("pidfd_send_signal", "dir_info", "%d", directory_hits);
    T("dir_other_info", pidfd_send_signal, own, SIGUSR2, &info, 0);
    info.si_code = SI_USER;
    T("dir_first_as_user", pidfd_send_signal, first, SIGUSR1, &info, 0);
    T("dir_efault", pidfd_send_signal, own, SIGUSR1, BAD, 0);
    pid_t child = fork();
    if (child == 0)
        for (;;) pause();
    char path[32];
    snprintf(path, sizeof path, "/proc/%d", child);
    int dir = open(path, O_RDONLY | O_DIRECTORY);
    T("dir_child", pidfd_send_signal, dir, SIGKILL, NULL, 0);
    waitpid(child, NULL, 0);
    T("dir_ended", pidfd_send_signal, dir, SIGKILL, NULL, 0);
}

FAMILY(signal) {
    SECTION(kills);
    SECTION(masks);
    SECTION(interruption);
    SECTION(restarted);
    SECTION(death_in_open);
    SECTION(storm);
    SECTION(descriptors);
    SECTION(suspended);
    SECTION(strangers_in_a_group);
    SECTION(by_directory);
}
