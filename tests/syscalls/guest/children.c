/* Ways of making processes, what they share and inherit, and what becomes of those whose parents end. */
#include "guest.h"

#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>

static int shared;
static char stack[65536] __attribute__((aligned(16)));

static long raw_clone(unsigned long flags) { return syscall(SYS_clone, flags, 0, 0, 0, 0); }

static int in_shared_fs(void *argument) {
    (void)argument;
    umask(0123);
    return chdir("/work/dir") ? 1 : 0;
}

static int in_shared_files(void *argument) {
    (void)argument;
    int fd = open("/work/file", O_RDONLY);
    dup2(fd, 60);
    close(fd);
    return 0;
}

/* Every combination of the sharing flags that makes a process of its own. */
static void combinations(void) {
    static const struct { const char *name; int flag; } flags[] = {{"vm", CLONE_VM}, {"fs", CLONE_FS}, {"files", CLONE_FILES}, {"vfork", CLONE_VFORK}, {"sighand", CLONE_SIGHAND}};
    for (int set = 0; set < 32; set++) {
        int bits = SIGCHLD;
        char tag[64] = "with";
        for (int i = 0; i < 5; i++)
            if (set & (1 << i)) {
                bits |= flags[i].flag;
                strcat(tag, "_");
                strcat(tag, flags[i].name);
            }
        umask(022);
        if (chdir("/work")) return;
        close(60);
        shared = 0;
        errno = 0;
        pid_t child = clone(in_shared_fs, stack + sizeof stack, bits, NULL);
        if (child < 0) {
            say("clone", tag, "!%s", errname(errno));
            continue;
        }
        int status;
        waitpid(child, &status, 0);
        child = clone(in_shared_files, stack + sizeof stack, bits, NULL);
        waitpid(child, &status, 0);
        char cwd[64];
        mode_t mask = umask(022);
        say("clone", tag, "%s cwd=%s umask=%o fd60=%d", ended(status), getcwd(cwd, sizeof cwd), mask, fcntl(60, F_GETFD) >= 0);
    }
    if (chdir("/")) return;
    T("thread_alone", clone, CLONE_THREAD, 0, 0, 0, 0);
    T("sighand_alone", clone, CLONE_SIGHAND, 0, 0, 0, 0);
    T("newns_fs", clone, CLONE_NEWNS | CLONE_FS | SIGCHLD, 0, 0, 0, 0);
    T("pidfd_parent_settid", clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, 0, BAD, 0, 0);
    T("pidfd_efault", clone, CLONE_PIDFD | SIGCHLD, 0, BAD, 0, 0);
    pid_t child = (pid_t)raw_clone(CLONE_DETACHED | SIGCHLD);
    if (child == 0) _exit(3);
    int status;
    say("clone", "detached", "%d %s", waitpid(child, &status, 0) == child, ended(status));
}

/* The number of the exit signal: none, another than SIGCHLD, and who waits for such children. */
static void exit_signals(void) {
    int status;
    pid_t child = (pid_t)raw_clone(0);
    if (child == 0) _exit(4);
    millis(20);
    say("wait4", "no_signal_plain", "%d %s", waitpid(child, &status, 0) == child, errname(errno));
    child = (pid_t)raw_clone(0);
    if (child == 0) _exit(4);
    say("wait4", "no_signal_clone", "%d", waitpid(child, &status, __WCLONE) == child);
    child = (pid_t)raw_clone(0);
    if (child == 0) _exit(5);
    say("wait4", "no_signal_all", "%d %s", waitpid(child, &status, __WALL) == child, ended(status));
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    child = (pid_t)raw_clone(SIGUSR1);
    if (child == 0) _exit(6);
    siginfo_t info;
    say("rt_sigtimedwait", "exit_signal", "%d code=%d status=%d", sigwaitinfo(&set, &info), info.si_code, info.si_status);
    say("wait4", "usr1_all", "%d", waitpid(child, &status, __WALL) == child);
    child = (pid_t)raw_clone(65);
    if (child == 0) _exit(7);
    say("clone", "bad_signal", "%d", child > 0 && waitpid(child, &status, __WALL) == child);
}

static void ignored(void) {
    signal(SIGCHLD, SIG_IGN);
    pid_t child = fork();
    if (child == 0) _exit(0);
    int status;
    say("wait4", "ignored", "%d %s", waitpid(child, &status, 0), errname(errno));
    struct sigaction action = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
    sigaction(SIGCHLD, &action, NULL);
    child = fork();
    if (child == 0) _exit(0);
    say("wait4", "nocldwait", "%d %s", waitpid(child, &status, 0), errname(errno));
}

static void waits(void) {
    int status;
    siginfo_t info;
    struct rusage usage;
    pid_t group = fork();
    if (group == 0) {
        setpgid(0, 0);
        _exit(21);
    }
    setpgid(group, group);
    say("wait4", "group_other", "%d %s", waitpid(0, &status, WNOHANG) >= 0, errname(errno));
    say("wait4", "group", "%d %s", waitpid(-group, &status, 0) == group, ended(status));
    T("group_none", wait4, -99999, &status, 0, NULL);
    T("int_min", wait4, INT_MIN, &status, 0, NULL);
    T("none", wait4, 99999, &status, 0, NULL);
    T("not_child", wait4, 1, &status, 0, NULL);
    pid_t child = fork();
    if (child == 0) _exit(22);
    memset(&info, 0, sizeof info);
    say("waitid", "nowait", "%ld code=%d status=%d", syscall(SYS_waitid, P_PID, child, &info, WEXITED | WNOWAIT, NULL), info.si_code, info.si_status);
    memset(&info, 0, sizeof info);
    say("waitid", "usage", "%ld maxrss=%d", syscall(SYS_waitid, P_PID, child, &info, WEXITED, &usage), usage.ru_maxrss > 0);
    T("null_info", waitid, P_PID, child, NULL, WEXITED, NULL);
    T("pgid_none", waitid, P_PGID, 99999, &info, WEXITED, NULL);
    T("pid_zero", waitid, P_PID, 0, &info, WEXITED, NULL);
    T("pidfd_bad", waitid, P_PIDFD, 99, &info, WEXITED, NULL);
    T("pidfd_file", waitid, P_PIDFD, 0, &info, WEXITED, NULL);
    T("unknown_option", waitid, P_ALL, 0, &info, WEXITED | 0x100, NULL);
    child = fork();
    if (child == 0) {
        kill(getpid(), SIGSTOP);
        for (;;) pause();
    }
    int fd = (int)syscall(SYS_pidfd_open, child, 0x800 /* nonblocking */);
    /* Until it has stopped; it stays to be waited for. */
    T("stopped", waitid, P_PID, child, &info, WSTOPPED | WNOWAIT, NULL);
    memset(&info, 0, sizeof info);
    syscall(SYS_waitid, P_PIDFD, fd, &info, WSTOPPED, NULL);
    say("waitid", "pidfd_stopped", "code=%d status=%d", info.si_code, info.si_status);
    T("pidfd_again", waitid, P_PIDFD, fd, &info, WEXITED, NULL);
    kill(child, SIGCONT);
    memset(&info, 0, sizeof info);
    syscall(SYS_waitid, P_PID, child, &info, WCONTINUED, NULL);
    say("waitid", "continued", "code=%d status=%d", info.si_code, info.si_status);
    kill(child, SIGABRT);
    waitpid(child, &status, 0);
    say("wait4", "aborted", "%s", ended(status));
    close(fd);
    /* A thread's children are the process' own, unless it asks only for its own. */
    child = fork();
    if (child == 0) _exit(23);
    say("wait4", "of_thread", "%d", waitpid(child, &status, __WNOTHREAD) == child);
}

static void *forks_in_thread(void *argument) {
    pid_t *child = argument;
    *child = fork();
    if (*child == 0) _exit(31);
    return NULL;
}

static void *becomes_nobody(void *argument) {
    (void)argument;
    syscall(SYS_setresuid, 1234, 1234, 1234);
    pid_t child = fork();
    if (child == 0) {
        say("fork", "by_other_thread", "euid=%d", (int)geteuid());
        _exit(0);
    }
    waitpid(child, NULL, 0);
    return NULL;
}

static void threads(void) {
    pthread_t thread;
    pid_t child = 0;
    int status;
    pthread_create(&thread, NULL, forks_in_thread, &child);
    pthread_join(thread, NULL);
    long waited = waitpid(child, &status, 0);
    say("wait4", "thread_gone", "%d %s", waited == child, ended(status));
    TOK("after_thread", getuid);
    if (getuid() == 0) {
        /* By the raw call ids are a thread's own, and a child has those of the thread that made it. */
        pthread_create(&thread, NULL, becomes_nobody, NULL);
        pthread_join(thread, NULL);
        say("getuid", "main_thread", "%d", (int)getuid());
        child = fork();
        if (child == 0) {
            say("fork", "by_main_thread", "euid=%d", (int)geteuid());
            _exit(0);
        }
        waitpid(child, NULL, 0);
    }
}

static void spawned(void) {
    char *argv[] = {"sh", "-c", "exit 41", NULL}, *envp[] = {"PATH=/bin", NULL};
    pid_t child;
    int status;
    say("vfork", "posix_spawn", "%d", posix_spawn(&child, "/bin/sh", NULL, NULL, argv, envp));
    waitpid(child, &status, 0);
    say("vfork", "posix_spawned", "%s", ended(status));
    say("vfork", "posix_spawn_none", "%s", errname(posix_spawn(&child, "/work/none", NULL, NULL, argv, envp)));
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, 5, "/work/file", O_RDONLY, 0);
    posix_spawn_file_actions_addchdir_np(&actions, "/work/dir");
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_RESETIDS);
    char *look[] = {"sh", "-c", "read line <&5; echo \"children::vfork.actions $PWD $line\"", NULL};
    say("vfork", "posix_spawn_actions", "%d", posix_spawn(&child, "/bin/sh", &actions, &attributes, look, envp));
    waitpid(child, &status, 0);
    FILE *out = popen("echo piped", "r");
    char line[32] = {0};
    if (out && fgets(line, sizeof line, out)) say("vfork", "popen", "%.5s %s", line, ended(pclose(out)));
    say("vfork", "system", "%s", ended(system("exit 42")));
    child = vfork();
    if (child == 0) {
        execve("/work/none", argv, envp);
        _exit(errno == ENOENT ? 43 : 44);
    }
    waitpid(child, &status, 0);
    say("vfork", "failed_exec", "%s", ended(status));
    child = vfork();
    if (child == 0) {
        shared = 99;
        _exit(0);
    }
    waitpid(child, &status, 0);
    say("vfork", "memory", "%d", shared);
}

static void reaping(void) {
    T("become", prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    int flag = -1;
    T("get", prctl, PR_GET_CHILD_SUBREAPER, &flag, 0, 0, 0);
    say("prctl", "subreaper", "%d", flag);
    int pipes[2], status;
    if (pipe(pipes)) return;
    pid_t me = getpid(), child = fork();
    if (child == 0) {
        int mine = -1;
        prctl(PR_GET_CHILD_SUBREAPER, &mine);
        say("prctl", "subreaper_inherited", "%d", mine);
        if (fork() == 0) {
            if (fork() == 0) {
                for (int i = 0; i < 500 && getppid() != me; i++) millis(2);
                say("getppid", "adopted", "%d", getppid() == me);
                _exit(51);
            }
            _exit(52);
        }
        _exit(53);
    }
    int codes = 0, count = 0;
    while (wait(&status) > 0) {
        codes += WEXITSTATUS(status);
        count++;
    }
    say("wait4", "adopted", "count=%d sum=%d", count, codes);
}

/* A child whose maker is killed before it has made a call is still its maker's child in all that it inherits, not that
 * of who adopts it. */
static void adopted_child(int reaper) {
    int go[2], told_us[2], pid_pipe[2];
    char byte;
    pid_t grandchild = 0;
    if (pipe(go) || pipe(told_us) || pipe(pid_pipe)) return;
    if (reaper) prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t maker = fork();
    if (maker == 0) {
        if (setresgid(1234, 1234, 1234) || setresuid(1234, 1234, 1234)) _exit(1);
        umask(0123);
        if (chdir("/tmp")) _exit(1);
        pid_t child = fork();
        if (child == 0) {
            if (read(go[0], &byte, 1) != 1) _exit(1);
            char cwd[64];
            say("fork", reaper ? "adopted_by_reaper" : "adopted_by_init", "euid=%d egid=%d umask=%o cwd=%s", (int)geteuid(), (int)getegid(), umask(0), getcwd(cwd, sizeof cwd));
            if (write(told_us[1], "x", 1) != 1) _exit(1);
            _exit(0);
        }
        if (write(pid_pipe[1], &child, sizeof child) != sizeof child) _exit(1);
        for (;;) pause();
    }
    if (read(pid_pipe[0], &grandchild, sizeof grandchild) != sizeof grandchild) return;
    kill(maker, SIGKILL);
    waitpid(maker, NULL, 0);
    /* Somebody else has children that are not known yet. */
    pid_t other = fork();
    if (other == 0) {
        for (;;) pause();
    }
    if (write(go[1], "x", 1) != 1 || read(told_us[0], &byte, 1) != 1) return;
    kill(other, SIGKILL);
    while (wait(NULL) > 0) {}
}

static void adopted(void) {
    if (getuid() != 0) return;
    adopted_child(0);
    adopted_child(1);
}

static volatile sig_atomic_t told;
static void on_signal(int signal) { told = signal; }

static void parent_death(void) {
    int pipes[2];
    if (pipe(pipes)) return;
    pid_t child = fork();
    if (child == 0) {
        int ready[2];
        if (pipe(ready)) _exit(1);
        if (fork() == 0) {
            signal(SIGUSR2, on_signal);
            prctl(PR_SET_PDEATHSIG, SIGUSR2);
            int set = 0;
            prctl(PR_GET_PDEATHSIG, &set);
            say("prctl", "pdeathsig_get", "%d", set == SIGUSR2);
            pid_t inner = fork();
            if (inner == 0) {
                prctl(PR_GET_PDEATHSIG, &set);
                say("prctl", "pdeathsig_forked", "%d", set);
                _exit(0);
            }
            waitpid(inner, NULL, 0);
            if (write(ready[1], "x", 1) != 1) _exit(1);
            for (int i = 0; i < 500 && !told; i++) millis(2);
            say("prctl", "pdeathsig_told", "%d", told == SIGUSR2);
            _exit(0);
        }
        char byte;
        if (read(ready[0], &byte, 1) != 1) _exit(1);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    close(pipes[1]);
    char byte;
    /* Ends when the last descendant has closed its end. */
    if (read(pipes[0], &byte, 1) < 0) return;
    T("bad", prctl, PR_SET_PDEATHSIG, 65, 0, 0, 0);
    T("negative", prctl, PR_SET_PDEATHSIG, -1, 0, 0, 0);
    T("efault", prctl, PR_GET_PDEATHSIG, BAD, 0, 0, 0);
    if (getuid() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGUSR1);
        int set = 0;
        setresuid(77, 77, 77);
        prctl(PR_GET_PDEATHSIG, &set);
        say("prctl", "pdeathsig_setuid", "%d", set);
    }
}

/* A stopped group that loses its last link to the session gets SIGHUP and SIGCONT. */
static void orphaned_group(void) {
    int pipes[2];
    if (pipe(pipes)) return;
    pid_t session = fork();
    if (session == 0) {
        close(pipes[0]);
        setsid();
        pid_t leader = fork();
        if (leader == 0) {
            pid_t member = fork();
            if (member == 0) {
                setpgid(0, 0);
                signal(SIGHUP, on_signal);
                kill(getpid(), SIGSTOP);
                /* Goes on only by the orphaning. */
                say("kill", "orphaned_group", "hup=%d", told == SIGHUP);
                if (write(pipes[1], "x", 1) != 1) _exit(1);
                _exit(0);
            }
            setpgid(member, member);
            int status;
            waitpid(member, &status, WUNTRACED);
            _exit(0);
        }
        waitpid(leader, NULL, 0);
        millis(100);
        _exit(0);
    }
    close(pipes[1]);
    char byte;
    say("kill", "orphan_told", "%zd", read(pipes[0], &byte, 1));
    waitpid(session, NULL, 0);
}

static void groups(void) {
    pid_t child = fork();
    if (child == 0) {
        char *argv[] = {"sleep", "5", NULL}, *envp[] = {NULL};
        execve("/bin/sleep", argv, envp);
        _exit(1);
    }
    for (int i = 0; i < 500; i++) {
        char path[40], comm[32];
        snprintf(path, sizeof path, "/proc/%d/comm", child);
        snprintf(comm, sizeof comm, "%.20s", get(path));
        if (!strncmp(comm, "sleep", 5)) break;
        millis(2);
    }
    T("after_exec", setpgid, child, child);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    child = fork();
    if (child == 0) {
        setsid();
        millis(3000);
        _exit(0);
    }
    for (int i = 0; i < 500 && getsid(child) != child; i++) millis(2);
    T("other_session", setpgid, child, getpgrp());
    T("session_leader", setpgid, child, child);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    T("zombie_gone", getpgid, child);
    child = fork();
    if (child == 0) _exit(0);
    siginfo_t info;
    waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
    say("getpgid", "zombie", "%d", getpgid(child) == getpgrp());
    say("kill", "zombie", "%d", kill(child, 0));
    say("setpgid", "zombie", "%s", setpgid(child, child) ? errname(errno) : "ok");
    waitpid(child, NULL, 0);
    say("kill", "reaped", "%d %s", kill(child, 0), errname(errno));
}

static void usage(void) {
    struct rlimit limit;
    struct rlimit64 { uint64_t now, most; } old, set;
    static const int resources[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (size_t i = 0; i < sizeof resources / sizeof *resources; i++) {
        char tag[16];
        snprintf(tag, sizeof tag, "r%d", resources[i]);
        T(tag, prlimit64, 0, resources[i], NULL, &old);
        set = old;
        set.now = old.most;
        /* The same maximum may be set again; a smaller one cannot be taken back without a right. */
        if (resources[i] == 3 || resources[i] == 9 || resources[i] == 7) continue;
        T(tag, prlimit64, 0, resources[i], &set, NULL);
        set.most = old.most - 1;
        set.now = 0;
        if (resources[i] == RLIMIT_FSIZE || resources[i] == RLIMIT_CPU || resources[i] == RLIMIT_NPROC) continue;
        T(tag, prlimit64, 0, resources[i], &set, NULL);
        set.most = old.most;
        T(tag, prlimit64, 0, resources[i], &set, NULL);
    }
    set.now = 10;
    set.most = 5;
    T("soft_above", prlimit64, 0, RLIMIT_NICE, &set, NULL);
    T("bad", prlimit64, 0, 16, NULL, &old);
    T("negative", prlimit64, -1, 0, NULL, &old);
    T("none", prlimit64, 99999, 0, NULL, &old);
    T("efault", prlimit64, 0, 0, BAD, NULL);
    T("efault_old", prlimit64, 0, 0, NULL, BAD);
    T("both_null", prlimit64, 0, 0, NULL, NULL);
    pid_t child = fork();
    if (child == 0) {
        for (;;) pause();
    }
    T("child", prlimit64, child, RLIMIT_CORE, NULL, &old);
    set.now = set.most = 0;
    T("child", prlimit64, child, RLIMIT_CORE, &set, NULL);
    T("init", prlimit64, 1, RLIMIT_CORE, NULL, &old);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    T("gone", prlimit64, child, RLIMIT_CORE, NULL, &old);
    T("one", getrlimit, RLIMIT_NOFILE, &limit);
    say("getrlimit", "nofile", "%lu %lu", (unsigned long)limit.rlim_cur, (unsigned long)limit.rlim_max);
    limit.rlim_cur = 40;
    T("nofile", setrlimit, RLIMIT_NOFILE, &limit);
    int last = -1;
    for (int i = 0; i < 100; i++) {
        int fd = open("/work/file", O_RDONLY);
        if (fd < 0) break;
        last = fd;
    }
    say("open", "nofile", "last=%d %s", last, errname(errno));
    T("nofile_dup2", dup2, 0, 40);
    T("nofile_socket", socket, AF_UNIX, SOCK_STREAM, 0);
    T("nofile_exec", execve, "/work/none", NULL, NULL);
    close(last);
    /* An infinite loop ends by the limit of its processor time. */
    child = fork();
    if (child == 0) {
        struct rlimit cpu = {1, 2};
        setrlimit(RLIMIT_CPU, &cpu);
        for (volatile unsigned long i = 0;; i++) {}
    }
    int status;
    struct rusage used;
    wait4(child, &status, 0, &used);
    say("wait4", "cpu_limit", "%s used=%d", ended(status), used.ru_utime.tv_sec + used.ru_stime.tv_sec >= 0);
}

static void scheduling(void) {
    struct sched_param param = {0};
    static const int policies[] = {SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_IDLE, 9, -1};
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        char tag[24];
        snprintf(tag, sizeof tag, "policy%d", policies[i]);
        for (param.sched_priority = 0; param.sched_priority < 2; param.sched_priority++) T(tag, sched_setscheduler, 0, policies[i], &param);
        T(tag, sched_get_priority_max, policies[i]);
        T(tag, sched_get_priority_min, policies[i]);
    }
    T("back", sched_setscheduler, 0, SCHED_OTHER, &(struct sched_param){0});
    T("now", sched_getscheduler, 0);
    T("none", sched_getscheduler, 99999);
    T("negative", sched_getscheduler, -1);
    T("efault", sched_getparam, 0, BAD);
    T("nice", getpriority, PRIO_PROCESS, 0);
    T("worse", setpriority, PRIO_PROCESS, 0, 5);
    T("nice", getpriority, PRIO_PROCESS, 0);
    T("better", setpriority, PRIO_PROCESS, 0, -5);
    T("which", setpriority, 9, 0, 0);
    T("none", setpriority, PRIO_PROCESS, 99999, 0);
    unsigned long mask[16] = {0};
    T("zero_mask", sched_setaffinity, 0, sizeof mask, mask);
    TOK("mask", sched_getaffinity, 0, sizeof mask, mask);
    T("same", sched_setaffinity, 0, sizeof mask, mask);
    T("small", sched_getaffinity, 0, 1, mask);
    T("none", sched_getaffinity, 99999, sizeof mask, mask);
    T("efault", sched_getaffinity, 0, sizeof mask, BAD);
}

static void ends(void) { _exit(0); }

/* More processes than the container may have. */
static void fork_limit(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NPROC, &limit);
    int made = 0, failed = 0;
    pid_t children[400];
    for (int i = 0; i < 400; i++) {
        pid_t child = fork();
        if (child == 0) {
            for (;;) pause();
        }
        if (child < 0) {
            failed = errno;
            break;
        }
        children[made++] = child;
    }
    say("fork", "pids_limit", "%s many=%d", errname(failed), made > 200);
    for (int i = 0; i < made; i++) kill(children[i], SIGKILL);
    int reaped = 0;
    while (wait(NULL) > 0) reaped++;
    say("wait4", "all_reaped", "%d", reaped == made);
    say("fork", "works_again", "%s", ended(in_child(ends)));
}

static void no_zombies(void) {
    /* What the container's first process adopts is reaped when that ends; here nobody adopts. */
    for (int i = 0; i < 200; i++) {
        pid_t child = i % 2 ? vfork() : fork();
        if (child == 0) _exit(0);
        if (waitpid(child, NULL, 0) != child) say("wait4", "lost", "%s", errname(errno));
    }
    T("left", wait4, -1, NULL, WNOHANG, NULL);
}

/* Spends time without a system call. */
static void spin(int ms) {
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < ms);
}

struct inherited { uid_t ruid, euid; gid_t egid; mode_t mask; int no_new_privs; rlim_t locks; char cwd[64]; };

static void look(struct inherited *found) {
    uid_t saved;
    struct rlimit limit;
    getresuid(&found->ruid, &found->euid, &saved);
    found->egid = getegid();
    found->mask = umask(0);
    found->no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    getrlimit(RLIMIT_LOCKS, &limit);
    found->locks = limit.rlim_cur;
    if (!getcwd(found->cwd, sizeof found->cwd)) found->cwd[0] = 0;
}

static struct inherited *place;

static void show(const char *tag) {
    say("clone", tag, "uid=%d/%d gid=%d umask=%o nnp=%d locks=%ld cwd=%s", place->ruid, place->euid, place->egid, place->mask, place->no_new_privs, (long)place->locks, place->cwd);
}

/* A child has what its maker had when it was made, however late it makes its first call and whatever has become of
 * the maker: it changed everything, or died without a call of its own. */
static void born(void) {
    place = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    static const struct { const char *tag; unsigned long flags; int dies; } ways[] = {
        {"maker_changes", SIGCHLD, 0}, {"maker_dies", SIGCHLD, 1}, {"sibling_maker_changes", CLONE_PARENT | SIGCHLD, 0}, {"sibling_maker_dies", CLONE_PARENT | SIGCHLD, 1},
    };
    int root = geteuid() == 0;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        memset(place, 0, sizeof *place);
        int done[2];
        if (pipe(done)) return;
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        if (fork() == 0) {
            if (root && ways[i].dies && (setresgid(1234, 1234, 1234) || setresuid(1234, 1234, 1234))) _exit(1);
            umask(027);
            if (chdir("/work/dir")) _exit(1);
            if (raw_clone(ways[i].flags) == 0) {
                spin(30);
                look(place);
                _exit(0);
            }
            close(done[1]);
            if (ways[i].dies) *(volatile int *)8 = 1;
            struct rlimit limit = {7, 9};
            setrlimit(RLIMIT_LOCKS, &limit);
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            umask(0);
            if (chdir("/")) _exit(1);
            if (root && (setresgid(1234, 1234, 1234) || setresuid(1234, 1234, 1234))) _exit(1);
            _exit(0);
        }
        close(done[1]);
        char none;
        while (read(done[0], &none, 1) > 0);
        close(done[0]);
        while (wait(NULL) > 0);
        show(ways[i].tag);
    }
}

/* Forks by a process whose state changes each time: none may be forgotten. */
static void many_births(void) {
    int bad = 0;
    for (int i = 0; i < 1500; i++) {
        mode_t mask = 0100 + i % 64;
        umask(mask);
        pid_t child = fork();
        if (child == 0) _exit(umask(0) != mask);
        int status = 1;
        waitpid(child, &status, 0);
        bad += status != 0;
    }
    umask(022);
    say("fork", "many_births", "bad=%d", bad);
}

/* A limit that Linux does not enforce, but shows and passes on. */
static void file_locks(void) {
    struct rlimit limit = {5, 6};
    T("locks", setrlimit, RLIMIT_LOCKS, &limit);
    if (fork() == 0) {
        T("locks", getrlimit, RLIMIT_LOCKS, &limit);
        say("getrlimit", "locks", "%ld %ld", (long)limit.rlim_cur, (long)limit.rlim_max);
        limit.rlim_cur = 7;
        T("locks_over", setrlimit, RLIMIT_LOCKS, &limit);
        const char *text = get("/proc/self/limits");
        const char *line = strstr(text, "Max file locks");
        say("getrlimit", "locks_shown", "%.60s", line ? line : "none");
        _exit(0);
    }
    wait(NULL);
}

FAMILY(children) {
    SECTION(combinations);
    SECTION(born);
    SECTION(many_births);
    SECTION(file_locks);
    SECTION(exit_signals);
    SECTION(ignored);
    SECTION(waits);
    SECTION(threads);
    SECTION(spawned);
    SECTION(reaping);
    SECTION(adopted);
    SECTION(parent_death);
    SECTION(orphaned_group);
    SECTION(groups);
    SECTION(usage);
    SECTION(scheduling);
    SECTION(fork_limit);
    SECTION(no_zombies);
}
