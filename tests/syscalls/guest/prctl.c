/* prctl(2) and arch_prctl(2). */
#include "guest.h"

#include <asm/prctl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/ptrace.h>
#include <sys/prctl.h>

static void names(void) {
    char name[17] = {0};
    T("set_name", prctl, PR_SET_NAME, "renamed-process-long");
    T("get_name", prctl, PR_GET_NAME, name);
    say("prctl", "name", "%s", name);
    say("prctl", "comm", "%s", get("/proc/self/comm"));
    T("get_name_efault", prctl, PR_GET_NAME, BAD);
    T("set_name_efault", prctl, PR_SET_NAME, BAD);
}

static void switches(void) {
    int value = -1;
    T("pdeathsig", prctl, PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0);
    T("pdeathsig_get", prctl, PR_GET_PDEATHSIG, &value, 0, 0, 0);
    say("prctl", "pdeathsig", "%d", value);
    T("pdeathsig_bad", prctl, PR_SET_PDEATHSIG, 999, 0, 0, 0);
    T("pdeathsig_clear", prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0);
    T("dumpable", prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
    T("dumpable_off", prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    T("dumpable_seen", prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
    T("dumpable_bad", prctl, PR_SET_DUMPABLE, 7, 0, 0, 0);
    T("dumpable_on", prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
    T("subreaper", prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    T("subreaper_get", prctl, PR_GET_CHILD_SUBREAPER, &value, 0, 0, 0);
    say("prctl", "subreaper", "%d", value);
    T("nnp", prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    T("nnp_set", prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    T("nnp_seen", prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    T("nnp_bad", prctl, PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
    T("timerslack", prctl, PR_SET_TIMERSLACK, 50000, 0, 0, 0);
    T("timerslack_get", prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
    T("thp", prctl, PR_SET_THP_DISABLE, 1, 0, 0, 0);
    T("thp_get", prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0);
    T("unknown", prctl, 9999, 0, 0, 0, 0);
    T("mm_brk", prctl, PR_SET_MM, PR_SET_MM_BRK, 0x1000, 0, 0);
    T("mm_unused_argument", prctl, PR_SET_MM, PR_SET_MM_BRK, 0x1000, 1, 0);
    T("mm_fifth_argument", prctl, PR_SET_MM, PR_SET_MM_BRK, 0x1000, 0, 1);
    T("mm_auxv", prctl, PR_SET_MM, PR_SET_MM_AUXV, 0, 8, 0);
    T("mm_unknown", prctl, PR_SET_MM, 99, 0x1000, 0, 0);
    T("mm_map_size", prctl, PR_SET_MM, PR_SET_MM_MAP_SIZE, &value, 0, 0);
    T("tsc", prctl, PR_GET_TSC, &value, 0, 0, 0);
    T("keepcaps", prctl, PR_GET_KEEPCAPS, 0, 0, 0, 0);
    T("mce", prctl, PR_MCE_KILL_GET, 0, 0, 0, 0);
    T("vma_name", prctl, PR_SET_VMA, 0, 8, 4096, "x");
    unsigned long base = 0;
    T("get_fs", arch_prctl, ARCH_GET_FS, &base);
    T("set_same_fs", arch_prctl, ARCH_SET_FS, base);
    T("get_gs", arch_prctl, ARCH_GET_GS, &base);
    T("efault", arch_prctl, ARCH_GET_FS, BAD);
    T("unknown", arch_prctl, 0x9999, 0);
}

static void orphans_come_here(void) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t child = fork();
    if (child == 0) {
        if (fork() == 0) {
            millis(50);
            _exit(21);
        }
        _exit(20);
    }
    int sum = 0, status;
    while (wait(&status) > 0) sum += WEXITSTATUS(status);
    say("prctl", "subreaper_sum", "%d", sum);
}

static void parent_death(void) {
    int pipes[2];
    if (pipe(pipes)) return;
    pid_t child = fork();
    if (child == 0) {
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (write(pipes[1], "r", 1) < 0) _exit(1);
            millis(3000);
            if (write(pipes[1], "alive", 5) < 0) _exit(1);
            _exit(0);
        }
        char byte;
        if (read(pipes[0], &byte, 1) < 0) _exit(1);
        _exit(0);
    }
    close(pipes[1]);
    waitpid(child, NULL, 0);
    char buffer[8];
    say("prctl", "pdeathsig_works", "%zd", read(pipes[0], buffer, 8));
}

static void seccomp_filter(void) {
    struct sock_filter code[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_getppid},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | 77},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    struct sock_fprog program = {4, code};
    T("mode", prctl, PR_GET_SECCOMP, 0, 0, 0, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    T("filter", seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
    T("unknown_operation", seccomp, 99, 0, NULL);
    T("efault", seccomp, SECCOMP_SET_MODE_FILTER, 0, BAD);
    T("second_listener", seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static void nnp(const char *tag) {
    say("prctl", tag, "%d", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
}

static void *asks(void *tag) {
    nnp(tag);
    return NULL;
}

static void *renounces(void *unused) {
    (void)unused;
    nnp("nnp_thread");
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    nnp("nnp_thread_set");
    pthread_t inner;
    pthread_create(&inner, NULL, asks, "nnp_inner");
    pthread_join(inner, NULL);
    pid_t child = fork();
    if (child == 0) {
        nnp("nnp_thread_child");
        _exit(0);
    }
    waitpid(child, NULL, 0);
    return NULL;
}

/* It belongs to the thread. */
static void no_new_privileges(void) {
    pthread_t thread;
    nnp("nnp_before");
    pthread_create(&thread, NULL, renounces, NULL);
    pthread_join(thread, NULL);
    nnp("nnp_other");
    pid_t child = fork();
    if (child == 0) {
        nnp("nnp_other_child");
        pthread_create(&thread, NULL, asks, "nnp_other_child_thread");
        pthread_join(thread, NULL);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static pid_t traced;

static void *traces(void *unused) {
    (void)unused;
    traced = fork();
    if (traced == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        millis(3000);
        _exit(0);
    }
    waitpid(traced, NULL, __WALL | WUNTRACED);
    ptrace(PTRACE_DETACH, traced, 0, 0);
    kill(traced, SIGCONT);
    return NULL;
}

/* The signal comes at the end of the thread that has made the process, and had traced it. */
static void tracer_death(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, traces, NULL);
    pthread_join(thread, NULL);
    int status = 0;
    waitpid(traced, &status, 0);
    say("prctl", "pdeathsig_tracer", "%s", ended(status));
}

FAMILY(prctl) {
    SECTION(no_new_privileges);
    SECTION(tracer_death);
    SECTION(names);
    SECTION(switches);
    SECTION(orphans_come_here);
    SECTION(parent_death);
    SECTION(seccomp_filter);
}
