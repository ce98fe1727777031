/* Tracing: who may, what a tracer is told of its tracees, and what it can do with them. */
#include "guest.h"

#include <elf.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/reg.h>
#include <sys/uio.h>
#include <sys/user.h>

#define SUSPEND_SECCOMP (1 << 21)
#define GET_FILTER 0x420c

static int status;
static volatile long word = 0x1234;

/* The tracee's next stop or end, in words. */
static const char *next(pid_t child, int options) {
    static char text[80];
    pid_t got = waitpid(child, &status, options);
    if (got == 0) return "nothing";
    if (got < 0) return errname(errno);
    if (!WIFSTOPPED(status)) return ended(status);
    snprintf(text, sizeof text, "stop=%#x event=%d", WSTOPSIG(status), status >> 16);
    return text;
}

static long do_(int request, pid_t pid, unsigned long address, unsigned long data) {
    errno = 0;
    return syscall(SYS_ptrace, request, pid, address, data);
}

static struct user_regs_struct registers(pid_t child) {
    struct user_regs_struct user;
    memset(&user, 0xff, sizeof user);
    do_(PTRACE_GETREGS, child, 0, (unsigned long)&user);
    return user;
}

static const char *tracer_of(pid_t child) {
    char path[64], state = '?';
    int tracer = -1;
    snprintf(path, sizeof path, "/proc/%d/status", child);
    /* Nobody here runs for long: one that does is about to sleep or to stop. */
    for (int i = 0; i < 100 && (i == 0 || state == 'R'); i++) {
        if (i) millis(10);
        FILE *file = fopen(path, "r");
        char line[256];
        while (file && fgets(line, sizeof line, file)) {
            sscanf(line, "State:\t%c", &state);
            sscanf(line, "TracerPid:\t%d", &tracer);
        }
        if (file) fclose(file);
    }
    static char text[32];
    snprintf(text, sizeof text, "%c %s", state, tracer == getpid() ? "mine" : tracer ? "other" : "none");
    return text;
}

static void end(pid_t child) {
    kill(child, SIGKILL);
    while (waitpid(child, &status, __WALL) == child && WIFSTOPPED(status)) {}
}

static pid_t sleeper(void) {
    pid_t child = fork();
    if (child == 0) for (;;) pause();
    millis(30);
    return child;
}

static void traceme(void) {
    pid_t child = fork();
    if (child == 0) {
        T("traceme", ptrace, PTRACE_TRACEME, 0, 0, 0);
        T("traceme_again", ptrace, PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        word++;
        raise(SIGUSR1);
        getppid();
        _exit(7);
    }
    say("ptrace", "sigstop", "%s", next(child, 0));
    say("ptrace", "status", "%s", tracer_of(child));
    T("again", wait4, child, &status, WNOHANG, NULL);
    long value = 0;
    T("peek", ptrace, PTRACE_PEEKDATA, child, &word, &value);
    T("poke", ptrace, PTRACE_POKEDATA, child, &word, 0x77L);
    T("peek_bad", ptrace, PTRACE_PEEKDATA, child, BAD, &value);
    T("peek_nowhere", ptrace, PTRACE_PEEKDATA, child, &word, BAD);
    T("listen", ptrace, PTRACE_LISTEN, child, 0, 0);
    T("interrupt", ptrace, PTRACE_INTERRUPT, child, 0, 0);
    T("cont_bad_signal", ptrace, PTRACE_CONT, child, 0, 99);
    T("options_unknown", ptrace, PTRACE_SETOPTIONS, child, 0, 0x40000000L);
    T("options_seccomp", ptrace, PTRACE_SETOPTIONS, child, 0, SUSPEND_SECCOMP);
    T("filter", ptrace, GET_FILTER, child, 0, 0);
    T("unknown", ptrace, 0x7777, child, 0, 0);
    T("cont", ptrace, PTRACE_CONT, child, 0, 0);
    say("ptrace", "sigusr1", "%s", next(child, 0));
    T("peek_changed", ptrace, PTRACE_PEEKDATA, child, &word, &value);
    say("ptrace", "changed", "%#lx", value);
    siginfo_t info;
    T("siginfo", ptrace, PTRACE_GETSIGINFO, child, 0, &info);
    say("ptrace", "siginfo_is", "%d %d %d", info.si_signo, info.si_code, info.si_pid == child);
    T("options", ptrace, PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXIT);
    T("syscall", ptrace, PTRACE_SYSCALL, child, 0, 0);
    for (int i = 0; i < 4; i++) {
        const char *what = next(child, 0);
        struct user_regs_struct user = registers(child);
        say("ptrace", "call", "%s nr=%lld rax=%d", what, (long long)user.orig_rax, (long)user.rax == -ENOSYS);
        do_(PTRACE_SYSCALL, child, 0, 0);
    }
    say("ptrace", "exit_enter", "%s", next(child, 0));
    do_(PTRACE_CONT, child, 0, 0);
    say("ptrace", "exit_event", "%s", next(child, 0));
    unsigned long message = 0;
    T("message", ptrace, PTRACE_GETEVENTMSG, child, 0, &message);
    say("ptrace", "message_is", "%#lx", message);
    do_(PTRACE_CONT, child, 0, 0);
    say("ptrace", "end", "%s", next(child, 0));
    T("gone", ptrace, PTRACE_CONT, child, 0, 0);
    T("parentless", wait4, child, &status, 0, NULL);
}

static void attaching(void) {
    pid_t child = sleeper();
    T("not_tracee", ptrace, PTRACE_CONT, child, 0, 0);
    T("attach", ptrace, PTRACE_ATTACH, child, 0, 0);
    T("attach_again", ptrace, PTRACE_ATTACH, child, 0, 0);
    say("ptrace", "attached", "%s", next(child, 0));
    say("ptrace", "attached_status", "%s", tracer_of(child));
    struct user_regs_struct user = registers(child);
    struct iovec set = {&user, sizeof user};
    T("regset", ptrace, PTRACE_GETREGSET, child, NT_PRSTATUS, &set);
    say("ptrace", "regset_is", "%zu", set.iov_len);
    T("regset_set", ptrace, PTRACE_SETREGSET, child, NT_PRSTATUS, &set);
    T("regset_none", ptrace, PTRACE_GETREGSET, child, 0x7777, &set);
    struct user_fpregs_struct fp;
    T("fpregs", ptrace, PTRACE_GETFPREGS, child, 0, &fp);
    T("fpregs_set", ptrace, PTRACE_SETFPREGS, child, 0, &fp);
    long value = 0;
    T("peekuser", ptrace, PTRACE_PEEKUSER, child, 8L * ORIG_RAX, &value);
    say("ptrace", "peekuser_is", "%d", value == (long)user.orig_rax);
    T("peekuser_odd", ptrace, PTRACE_PEEKUSER, child, 3L, &value);
    T("debug_kernel", ptrace, PTRACE_POKEUSER, child, offsetof(struct user, u_debugreg[0]), KERNEL_POINTER);
    unsigned long mask = 0;
    T("sigmask", ptrace, PTRACE_GETSIGMASK, child, 8, &mask);
    T("sigmask_size", ptrace, PTRACE_GETSIGMASK, child, 4, &mask);
    T("detach_signal", ptrace, PTRACE_DETACH, child, 0, SIGTERM);
    say("ptrace", "detached", "%s", next(child, 0));
    T("none", ptrace, PTRACE_ATTACH, 99999, 0, 0);
    T("self", ptrace, PTRACE_ATTACH, getpid(), 0, 0);
    T("zero", ptrace, PTRACE_ATTACH, 0, 0, 0);
    child = sleeper();
    T("seize_address", ptrace, PTRACE_SEIZE, child, 1, 0);
    T("seize_unknown", ptrace, PTRACE_SEIZE, child, 0, 0x40000000L);
    T("seize_seccomp", ptrace, PTRACE_SEIZE, child, 0, SUSPEND_SECCOMP);
    T("seize", ptrace, PTRACE_SEIZE, child, 0, PTRACE_O_TRACESYSGOOD);
    T("running", ptrace, PTRACE_GETREGS, child, 0, &user);
    say("ptrace", "seized", "%s", next(child, WNOHANG));
    say("ptrace", "seized_status", "%s", tracer_of(child));
    T("interrupt", ptrace, PTRACE_INTERRUPT, child, 0, 0);
    say("ptrace", "interrupted", "%s", next(child, 0));
    kill(child, SIGSTOP);
    do_(PTRACE_CONT, child, 0, 0);
    say("ptrace", "stop_signal", "%s", next(child, 0));
    do_(PTRACE_CONT, child, 0, SIGSTOP);
    say("ptrace", "group_stop", "%s", next(child, 0));
    T("listen", ptrace, PTRACE_LISTEN, child, 0, 0);
    T("listening", ptrace, PTRACE_GETREGS, child, 0, &user);
    kill(child, SIGCONT);
    say("ptrace", "group_on", "%s", next(child, 0));
    do_(PTRACE_CONT, child, 0, 0);
    say("ptrace", "sigcont", "%s", next(child, 0));
    T("detach", ptrace, PTRACE_DETACH, child, 0, 0);
    T("detached", ptrace, PTRACE_GETREGS, child, 0, &user);
    end(child);
}

/* Attached to in a stop of its group, a process can be asked about before it is waited for. */
static void stopped_before(void) {
    int good = 0, status;
    for (int i = 0; i < 40; i++) {
        pid_t child = fork();
        if (child == 0) {
            raise(SIGSTOP);
            _exit(0);
        }
        waitpid(child, &status, WUNTRACED);
        struct user_regs_struct registers;
        if (!syscall(SYS_ptrace, PTRACE_ATTACH, child, 0, 0) && !syscall(SYS_ptrace, PTRACE_GETREGS, child, 0, &registers)) good++;
        kill(child, SIGKILL);
        while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {}
    }
    say("ptrace", "stopped_before", "%d", good);
}

static void on_signal(int signal) {
    (void)signal;
}

/* One that has a handler which does not restart calls, and children that end. */
static void unrestarting(void) {
    int ready[2];
    unlink("/work/ptrace-fifo");
    if (pipe(ready) || mkfifo("/work/ptrace-fifo", 0600)) _exit(1);
    pid_t child = fork();
    if (child == 0) {
        struct sigaction action = {.sa_handler = on_signal};
        sigaction(SIGUSR1, &action, NULL);
        sigaction(SIGCHLD, &action, NULL);
        for (int i = 0; i < 20; i++) {
            if (fork() == 0) _exit(0);
        }
        while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {}
        if (write(ready[1], "r", 1) != 1) _exit(1);
        T("waits", open, "/work/ptrace-fifo", O_RDONLY);
        T("handled", pause);
        execl("/bin/sh", "sh", "-c", "exit 7", NULL);
        _exit(1);
    }
    char byte;
    if (read(ready[0], &byte, 1) != 1) _exit(1);
    millis(50);
    T("unrestarting", ptrace, PTRACE_SEIZE, child, 0, 0);
    say("ptrace", "unrestarting_of", "%s", tracer_of(child));
    do_(PTRACE_INTERRUPT, child, 0, 0);
    say("ptrace", "unrestarting_stop", "%s", next(child, 0));
    do_(PTRACE_CONT, child, 0, 0);
    millis(50);
    kill(child, SIGUSR1);
    say("ptrace", "unrestarting_signal", "%s", next(child, 0));
    T("unrestarting_let_go", ptrace, PTRACE_DETACH, child, 0, SIGUSR1);
    millis(100);
    kill(child, SIGUSR1);
    say("ptrace", "unrestarting_end", "%s", next(child, 0));
}

static void forks(void) {
    pid_t child = fork();
    if (child == 0) {
        do_(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        pid_t own = fork();
        if (own == 0) _exit(3);
        waitpid(own, NULL, 0);
        own = vfork();
        if (own == 0) _exit(4);
        waitpid(own, NULL, 0);
        _exit(5);
    }
    say("ptrace", "fork_start", "%s", next(child, 0));
    T("fork_options", ptrace, PTRACE_SETOPTIONS, child, 0,
      PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE | PTRACE_O_EXITKILL);
    do_(PTRACE_CONT, child, 0, 0);
    for (int i = 0; i < 2; i++) {
        say("ptrace", "fork_event", "%s", next(child, 0));
        unsigned long made = 0;
        do_(PTRACE_GETEVENTMSG, child, 0, (unsigned long)&made);
        say("ptrace", "fork_child", "%s", next((pid_t)made, __WALL));
        say("ptrace", "fork_traced", "%s", tracer_of((pid_t)made));
        do_(PTRACE_CONT, (pid_t)made, 0, 0);
        do_(PTRACE_CONT, child, 0, 0);
        say("ptrace", "fork_end", "%s", next((pid_t)made, __WALL));
        if (i == 1) {
            say("ptrace", "vfork_done", "%s", next(child, 0));
            do_(PTRACE_CONT, child, 0, 0);
        }
        say("ptrace", "fork_sigchld", "%s", next(child, 0));
        do_(PTRACE_CONT, child, 0, 0);
    }
    say("ptrace", "fork_done", "%s", next(child, 0));
}

static void executes(int options, int calls) {
    pid_t child = fork();
    if (child == 0) {
        do_(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        execl("/work/none", "none", NULL);
        execl("/bin/true", "true", NULL);
        _exit(9);
    }
    next(child, 0);
    do_(PTRACE_SETOPTIONS, child, 0, (unsigned long)options);
    for (int i = 0; i < 40; i++) {
        do_(calls ? PTRACE_SYSCALL : PTRACE_CONT, child, 0, 0);
        const char *what = next(child, 0);
        if (!WIFSTOPPED(status)) {
            say("ptrace", "exec_end", "%s", what);
            return;
        }
        struct user_regs_struct user = registers(child);
        if (user.orig_rax != SYS_execve && !(status >> 16) && calls) continue;
        unsigned long message = 0;
        if (status >> 16) do_(PTRACE_GETEVENTMSG, child, 0, (unsigned long)&message);
        say("ptrace", "exec", "%s nr=%lld rax=%lld me=%d", what, (long long)user.orig_rax, (long long)user.rax,
            message == (unsigned long)child);
    }
    end(child);
}

static void execs(void) {
    executes(0, 0);
    executes(PTRACE_O_TRACEEXEC, 0);
    executes(PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD, 1);
    executes(PTRACE_O_TRACESYSGOOD, 1);
}

static void *executes_grep(void *argument) {
    execl("/bin/grep", "grep", "SigBlk", "/proc/self/status", NULL);
    return argument;
}

/* By another thread than the first one, whose place that takes. */
static void thread_execs(void) {
    pid_t child = fork();
    if (child == 0) {
        do_(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        pthread_t thread;
        pthread_create(&thread, NULL, executes_grep, NULL);
        for (;;) pause();
    }
    next(child, 0);
    do_(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE);
    int executed = 0, other = 0;
    do_(PTRACE_CONT, child, 0, 0);
    for (int i = 0; i < 20; i++) {
        pid_t found = waitpid(-1, &status, __WALL);
        if (found < 0 || (found == child && !WIFSTOPPED(status))) break;
        if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
            unsigned long former = 0;
            do_(PTRACE_GETEVENTMSG, found, 0, (unsigned long)&former);
            executed += found == child;
            other += former != (unsigned long)child;
        }
        do_(PTRACE_CONT, found, 0, 0);
    }
    say("ptrace", "thread_execs", "%d %d %s", executed, other, ended(status));
}

static void steps(void) {
    pid_t child = fork();
    if (child == 0) {
        do_(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        for (;;) word++;
    }
    next(child, 0);
    T("step", ptrace, PTRACE_SINGLESTEP, child, 0, 0);
    say("ptrace", "stepped", "%s", next(child, 0));
    struct user_regs_struct user = registers(child);
    user.orig_rax = (unsigned long)-1;
    user.rip = 0;
    T("setregs", ptrace, PTRACE_SETREGS, child, 0, &user);
    do_(PTRACE_CONT, child, 0, 0);
    say("ptrace", "jumped", "%s", next(child, 0));
    T("kill", ptrace, PTRACE_KILL, child, 0, 0);
    say("ptrace", "killed", "%s", next(child, 0));
}

/* A tracee's call is changed: the filter must see the new one. */
static void changed_call(void) {
    pid_t child = fork();
    if (child == 0) {
        do_(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        long r = syscall(SYS_getppid);
        _exit(r == -1 && errno == EPERM ? 1 : 2);
    }
    next(child, 0);
    do_(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD);
    do {
        do_(PTRACE_SYSCALL, child, 0, 0);
        next(child, 0);
    } while (WIFSTOPPED(status) && registers(child).orig_rax != SYS_getppid);
    struct user_regs_struct user = registers(child);
    user.orig_rax = SYS_bpf;
    user.rdi = 0;
    user.rsi = 0;
    user.rdx = 0;
    do_(PTRACE_SETREGS, child, 0, (unsigned long)&user);
    do_(PTRACE_SYSCALL, child, 0, 0);
    next(child, 0);
    user = registers(child);
    say("ptrace", "changed_call", "nr=%d refused=%d", user.orig_rax == SYS_bpf, (long)user.rax < 0);
    do_(PTRACE_CONT, child, 0, 0);
    next(child, 0);
    end(child);
}

static void *looker(void *argument) {
    pid_t child = *(pid_t *)argument;
    long value;
    say("ptrace", "other_thread", "%ld %s", do_(PTRACE_PEEKDATA, child, (unsigned long)&word, (unsigned long)&value),
        errname(errno));
    say("ptrace", "other_wait", "%s", next(child, WNOHANG | __WNOTHREAD));
    return NULL;
}

static void threads(void) {
    pid_t child = sleeper();
    do_(PTRACE_SEIZE, child, 0, 0);
    do_(PTRACE_INTERRUPT, child, 0, 0);
    siginfo_t info = {0};
    T("waitid", waitid, P_PID, child, &info, WEXITED | WSTOPPED | WNOWAIT, NULL);
    say("waitid", "info", "%d %d %#x %d", info.si_signo, info.si_code, info.si_status, info.si_pid == child);
    pthread_t thread;
    pthread_create(&thread, NULL, looker, &child);
    pthread_join(thread, NULL);
    say("ptrace", "still_there", "%s", next(-1, __WALL));
    end(child);
}

/* A tracer ends: its tracees go on, or die with it. */
static void tracer_ends(void) {
    for (int kills = 0; kills < 2; kills++) {
        pid_t child = sleeper(), tracer = fork();
        if (tracer == 0) {
            do_(PTRACE_SEIZE, child, 0, kills ? PTRACE_O_EXITKILL : 0);
            do_(PTRACE_INTERRUPT, child, 0, 0);
            say("ptrace", "by_sibling", "%s", next(child, 0));
            say("ptrace", "by_sibling_none", "%s", next(child, WNOHANG));
            _exit(0);
        }
        waitpid(tracer, &status, 0);
        millis(200);
        say("ptrace", "tracer_gone", "%s", kills ? "" : tracer_of(child));
        if (!kills) kill(child, SIGTERM);
        say("ptrace", "tracee_end", "%s", next(child, 0));
    }
}

static void rights(void) {
    if (getuid() != 0) return;
    int ready[2];
    char both[2];
    if (pipe(ready)) return;
    pid_t root = sleeper(), user = fork();
    if (user == 0) {
        if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000)) _exit(1);
        prctl(PR_SET_DUMPABLE, 1);
        if (write(ready[1], "u", 1) != 1) _exit(1);
        for (;;) pause();
    }
    pid_t hidden = fork();
    if (hidden == 0) {
        if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000)) _exit(1);
        if (write(ready[1], "h", 1) != 1) _exit(1);
        for (;;) pause();
    }
    for (size_t got = 0; got < sizeof both; got++)
        if (read(ready[0], both + got, 1) != 1) return;
    pid_t child = fork();
    if (child == 0) {
        if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000)) _exit(1);
        T("user_of_root", ptrace, PTRACE_ATTACH, root, 0, 0);
        T("user_of_root_seize", ptrace, PTRACE_SEIZE, root, 0, 0);
        T("user_of_undumpable", ptrace, PTRACE_SEIZE, hidden, 0, 0);
        T("user_of_user", ptrace, PTRACE_SEIZE, user, 0, 0);
        T("user_of_init", ptrace, PTRACE_SEIZE, 1, 0, 0);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    end(root);
    end(user);
    end(hidden);
}

static void asks(void) {
    _exit(do_(PTRACE_TRACEME, 0, 0, 0) == 0 ? 0 : errno);
}

/* Where there is no Yama, whoever may trace may trace. Linux has no such call then. */
static void scope(void) {
    say("prctl", "scope", "%d", strcmp(get("/proc/sys/kernel/yama/ptrace_scope"), "1\\n") != 0);
    pid_t child = sleeper(), other = fork();
    if (other == 0) {
        say("ptrace", "of_sibling", "%ld", do_(PTRACE_SEIZE, child, 0, 0));
        _exit(0);
    }
    waitpid(other, &status, 0);
    end(child);
}

FAMILY(ptrace) {
    int refused = in_child(asks);
    if (refused) {
        say("ptrace", "refused", "%s", errname(WEXITSTATUS(refused)));
        return;
    }
    SECTION(traceme);
    SECTION(attaching);
    SECTION(stopped_before);
    SECTION(unrestarting);
    SECTION(forks);
    SECTION(execs);
    SECTION(thread_execs);
    SECTION(steps);
    SECTION(changed_call);
    SECTION(threads);
    SECTION(tracer_ends);
    SECTION(rights);
    SECTION(scope);
}
