/* Making, finding and waiting for processes. */
#include "guest.h"

#include <sched.h>
#include <linux/sched.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/utsname.h>

static void ids(void) {
    say("getpid", "pid", "relation ppid=%d tid=%d", getppid() > 0, gettid() == getpid());
    TOK("self", getpid);
    TOK("self", gettid);
    TOK("parent", getppid);
    TOK("group", getpgrp);
    TOK("self", getpgid, 0);
    T("init", getpgid, 1);
    T("none", getpgid, 99999);
    TOK("self", getsid, 0);
    T("init", getsid, 1);
    T("none", getsid, 99999);
    T("negative", getsid, -1);
}

static void exits_7(void) { _exit(7); }
static void dies(void) { raise(SIGKILL); }
static void segfaults(void) { *(volatile int *)8 = 1; }
static void aborts(void) { abort(); }

static void leaves(void) { syscall(SYS_exit, 8); }
static void leaves_group(void) { syscall(SYS_exit_group, 9); }

static void waiting(void) {
    say("exit", "status", "%s", ended(in_child(leaves)));
    say("exit_group", "status", "%s", ended(in_child(leaves_group)));
    say("wait4", "exit7", "%s", ended(in_child(exits_7)));
    say("wait4", "sigkill", "%s", ended(in_child(dies)));
    say("wait4", "sigsegv", "%s", ended(in_child(segfaults)));
    say("wait4", "sigabrt", "%s", ended(in_child(aborts)));
    int status;
    siginfo_t info;
    T("echild", wait4, -1, &status, 0, NULL);
    T("options", wait4, -1, &status, 0x100, NULL);
    T("echild", waitid, P_ALL, 0, &info, WEXITED, NULL);
    T("no_options", waitid, P_ALL, 0, &info, 0, NULL);
    T("bad_type", waitid, 99, 0, &info, WEXITED, NULL);
    pid_t child = fork();
    if (child == 0) {
        raise(SIGSTOP);
        millis(200);
        _exit(3);
    }
    waitid(P_PID, (id_t)child, &info, WSTOPPED | WNOWAIT);
    say("waitid", "stopped", "code=%d status=%d", info.si_code, info.si_status);
    syscall(SYS_wait4, child, &status, WUNTRACED, NULL);
    say("wait4", "stopped", "%s", ended(status));
    kill(child, SIGCONT);
    syscall(SYS_wait4, child, &status, WCONTINUED, NULL);
    say("wait4", "continued", "%s", ended(status));
    memset(&info, 0, sizeof info);
    syscall(SYS_waitid, P_PID, child, &info, WEXITED, NULL);
    say("waitid", "exited", "code=%d status=%d uid=%d pid_ok=%d", info.si_code, info.si_status, (int)info.si_uid, info.si_pid == child);
    child = fork();
    if (child == 0) {
        millis(50);
        _exit(0);
    }
    T("wnohang", wait4, child, &status, WNOHANG, NULL);
    T("efault", wait4, child, BAD, 0, NULL);
}

static void sessions(void) {
    pid_t child = fork();
    if (child == 0) {
        TOK("new", setsid);
        T("again", setsid);
        say("setsid", "ids", "sid=%d pgid=%d", getsid(0) == getpid(), getpgrp() == getpid());
        _exit(0);
    }
    waitpid(child, NULL, 0);
    child = fork();
    if (child == 0) {
        for (;;) pause();
    }
    T("child", setpgid, child, child);
    say("setpgid", "moved", "%d", getpgid(child) == child);
    T("none", setpgid, 99999, 0);
    T("negative", setpgid, 0, -1);
    T("foreign_group", setpgid, child, 99999);
    T("init", setpgid, 1, 0);
    T("group_kill", kill, -child, SIGTERM);
    int status;
    waitpid(child, &status, 0);
    say("setpgid", "ended", "%s", ended(status));
}

static int clone_body(void *argument) {
    *(int *)argument = 42;
    return 5;
}

static void clones(void) {
    static char stack[65536];
    static int shared;
    int status;
    pid_t child = clone(clone_body, stack + sizeof stack, CLONE_VM | SIGCHLD, &shared);
    waitpid(child, &status, 0);
    say("clone", "vm", "%s shared=%d", ended(status), shared);
    child = clone(clone_body, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_FS | SIGCHLD, &shared);
    waitpid(child, &status, 0);
    say("clone", "files_fs", "%s", ended(status));
    T("sighand_without_vm", clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0);
    T("thread_without_sighand", clone, CLONE_THREAD | SIGCHLD, 0, 0, 0, 0);
    int pidfd = -1;
    child = (pid_t)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &pidfd, 0, 0);
    if (child == 0) _exit(9);
    if (child > 0) {
        siginfo_t info = {0};
        say("clone", "pidfd", "fd=%d wait=%d status=%d", pidfd, waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED), info.si_status);
        close(pidfd);
    }
    child = vfork();
    if (child == 0) _exit(11);
    waitpid(child, &status, 0);
    say("vfork", "exit", "%s", ended(status));
    child = (pid_t)syscall(SYS_fork);
    if (child == 0) _exit(12);
    waitpid(child, &status, 0);
    say("fork", "exit", "%s", ended(status));
    child = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
    if (child == 0) _exit(13);
    say("clone", "parent", "wait=%d %s", waitpid(child, &status, 0), errname(errno));
}

static void pid_descriptors(void) {
    pid_t child = fork();
    if (child == 0) {
        for (;;) pause();
    }
    long fd = T("child", pidfd_open, child, 0);
    T("none", pidfd_open, 99999, 0);
    T("negative", pidfd_open, -1, 0);
    T("flags", pidfd_open, child, 0x1000);
    T("init", pidfd_open, 1, 0);
    T("probe", pidfd_send_signal, (int)fd, 0, NULL, 0);
    T("ebadf", pidfd_send_signal, 99, 0, NULL, 0);
    T("not_pidfd", pidfd_send_signal, 0, 0, NULL, 0);
    T("bad_signal", pidfd_send_signal, (int)fd, 99, NULL, 0);
    T("term", pidfd_send_signal, (int)fd, SIGTERM, NULL, 0);
    siginfo_t info = {0};
    T("pidfd", waitid, P_PIDFD, (int)fd, &info, WEXITED, NULL);
    say("pidfd_send_signal", "ended", "code=%d status=%d", info.si_code, info.si_status);
    T("gone", pidfd_send_signal, (int)fd, SIGTERM, NULL, 0);
    long self = T("self", pidfd_open, getpid(), 0);
    T("self", pidfd_getfd, (int)self, 0, 0);
    T("ebadf", pidfd_getfd, 99, 0, 0);
    T("none", pidfd_getfd, (int)self, 99, 0);
    T("flags", pidfd_getfd, (int)self, 0, 1);
}

static void orphan(void) {
    int pipes[2];
    if (pipe(pipes)) return;
    pid_t child = fork();
    if (child == 0) {
        if (fork() == 0) {
            for (int i = 0; i < 300 && getppid() != 1; i++) millis(10);
            int parent = getppid();
            if (write(pipes[1], &parent, sizeof parent) < 0) _exit(1);
            _exit(0);
        }
        _exit(0);
    }
    waitpid(child, NULL, 0);
    int parent = 0;
    close(pipes[1]);
    if (read(pipes[0], &parent, sizeof parent) > 0) say("getppid", "orphan", "%d", parent);
}

static void foreign_memory(void) {
    static int value = 17;
    pid_t child = fork();
    if (child == 0) {
        for (;;) pause();
    }
    int seen = 0;
    struct iovec local = {&seen, sizeof seen}, remote = {&value, sizeof value};
    T("child", process_vm_readv, child, &local, 1, &remote, 1, 0);
    say("process_vm_readv", "value", "%d", seen);
    T("none", process_vm_readv, 99999, &local, 1, &remote, 1, 0);
    seen = 18;
    T("child", process_vm_writev, child, &local, 1, &remote, 1, 0);
    T("flags", process_vm_readv, child, &local, 1, &remote, 1, 1);
    T("compare", kcmp, getpid(), child, 0, 0, 0);
    T("persona", personality, 0xffffffff);
    kill(child, SIGKILL);
}

static void tree(void) {
    /* Many children at once, each with a grandchild: every exit status must arrive. */
    int sum = 0;
    for (int i = 0; i < 50; i++) {
        if (fork() == 0) {
            pid_t inner = fork();
            if (inner == 0) _exit(1);
            int status;
            waitpid(inner, &status, 0);
            _exit(WEXITSTATUS(status) + 1);
        }
    }
    int status;
    while (wait(&status) > 0) sum += WEXITSTATUS(status);
    say("fork", "tree", "sum=%d", sum);
}

static void usage(void) {
    struct rusage used;
    T("self", getrusage, RUSAGE_SELF, &used);
    say("getrusage", "sane", "%d", used.ru_maxrss > 0 && used.ru_maxrss < (1 << 20));
    T("children", getrusage, RUSAGE_CHILDREN, &used);
    T("thread", getrusage, 1, &used);
    T("bad", getrusage, 7, &used);
    T("efault", getrusage, RUSAGE_SELF, BAD);
}

/* What uname(2) says under a personality, without the host's own numbers. */
static void persona_child(const char *tag, unsigned long persona) {
    pid_t child = fork();
    if (child == 0) {
        struct utsname name;
        T(tag, personality, persona);
        T(tag, personality, 0xffffffff);
        uname(&name);
        say("uname", tag, "%s old=%d", name.machine, strncmp(name.release, "2.6.", 4) == 0);
        pid_t own = fork();
        if (own == 0) {
            T("inherited", personality, 0xffffffff);
            _exit(0);
        }
        waitpid(own, NULL, 0);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void personalities(void) {
    persona_child("linux32", 8);
    persona_child("uname26", 0x20000);
    persona_child("both", 0x20008);
    persona_child("sticky_timeouts", 0x4000000);
    persona_child("bsd", 6);
    persona_child("no_randomize", 0x40000);
    persona_child("large", 0x7fffffff & ~0x400000);
    struct utsname name;
    uname(&name);
    say("uname", "after", "%s old=%d", name.machine, strncmp(name.release, "2.6.", 4) == 0);
}

FAMILY(process) {
    SECTION(ids);
    SECTION(waiting);
    SECTION(sessions);
    SECTION(clones);
    SECTION(pid_descriptors);
    SECTION(orphan);
    SECTION(foreign_memory);
    SECTION(tree);
    SECTION(usage);
    SECTION(personalities);
}
