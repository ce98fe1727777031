/* Everything at once: processes, programs, signals, names, mounts and looks into /proc, for a while, round after
 * round. Between the rounds nothing runs, and the harness looks at the app kernel: see tests/storm.rs. Nothing here is
 * compared with another runtime. How many rounds is in /work/storm-rounds. */
#include "guest.h"

#include <dirent.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

enum { SECONDS = 4 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double until;
static char *const environment[] = {"PATH=/bin", NULL};

static void forks(void) {
    for (unsigned i = 0; now() < until; i++) {
        pid_t child = i % 2 ? vfork() : fork();
        if (child == 0) {
            if (i % 4 < 2) _exit(0);
            char *argv[] = {"true", NULL};
            execve("/bin/true", argv, environment);
            _exit(1);
        }
        if (child > 0) waitpid(child, NULL, 0);
    }
}

static void orphans(void) {
    while (now() < until) {
        pid_t child = fork();
        if (child == 0) {
            if (fork() == 0) {
                get("/work/file");
                _exit(0);
            }
            _exit(0);
        }
        if (child > 0) waitpid(child, NULL, 0);
    }
}

static void *opens(void *argument) {
    for (int i = 0; i < 50; i++) {
        int fd = open("/work/file", O_RDONLY);
        if (fd >= 0) close(fd);
        struct stat st;
        stat("/work/link", &st);
    }
    return argument;
}

static void threads(void) {
    while (now() < until) {
        pthread_t many[4];
        int made = 0;
        for (; made < 4; made++)
            if (pthread_create(&many[made], NULL, opens, NULL)) break;
        for (int i = 0; i < made; i++) pthread_join(many[i], NULL);
        /* One that ends with its threads in the middle of things. */
        pid_t child = fork();
        if (child == 0) {
            pthread_create(&many[0], NULL, opens, NULL);
            pthread_create(&many[1], NULL, opens, NULL);
            char *argv[] = {"true", NULL};
            execve("/bin/true", argv, environment);
            _exit(1);
        }
        if (child > 0) waitpid(child, NULL, 0);
    }
}

static void nothing(int signal) { (void)signal; }

/* Calls that wait (a fifo without a writer) and are interrupted, or whose process is killed. */
static void signals(void) {
    mkfifo("/work/storm-fifo", 0666);
    while (now() < until) {
        pid_t child = fork();
        if (child == 0) {
            struct sigaction action = {.sa_handler = nothing};
            sigaction(SIGALRM, &action, NULL);
            struct itimerval soon = {{0, 3000}, {0, 3000}};
            setitimer(ITIMER_REAL, &soon, NULL);
            for (int i = 0; i < 5; i++) {
                int fd = open("/work/storm-fifo", O_RDONLY);
                if (fd >= 0) close(fd);
            }
            setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
            for (;;) {
                int fd = open("/work/file", O_RDONLY);
                close(fd);
            }
        }
        if (child < 0) continue;
        millis(15);
        kill(child, SIGUSR1);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
}

static void names(void) {
    char a[64], b[64];
    snprintf(a, sizeof a, "/work/storm-a%d", getpid());
    snprintf(b, sizeof b, "/work/storm-b%d", getpid());
    while (now() < until) {
        put(a, "x");
        rename(a, b);
        link(b, a);
        unlink(b);
        mkdir(b, 0700);
        rename(a, "/work/storm-shared");
        rmdir(b);
        symlink("/work/file", b);
        get(b);
        unlink(b);
        unlink("/work/storm-shared");
    }
}

static void mounts(void) {
    char at[64], inner[80];
    snprintf(at, sizeof at, "/work/storm-m%d", getpid());
    snprintf(inner, sizeof inner, "%s/inner", at);
    mkdir(at, 0755);
    while (now() < until) {
        if (mount("t", at, "tmpfs", 0, "size=64k")) break;
        mkdir(inner, 0755);
        mount("/work/dir", inner, NULL, MS_BIND, NULL);
        get("/proc/self/mountinfo");
        umount2(at, MNT_DETACH);
    }
    rmdir(at);
}

/* Namespaces that end with their processes, some of which are killed in the middle of things. */
static void namespaces(void) {
    char at[64], old[80];
    snprintf(at, sizeof at, "/work/storm-n%d", getpid());
    snprintf(old, sizeof old, "%s/old", at);
    mkdir(at, 0755);
    for (unsigned i = 0; now() < until; i++) {
        pid_t child = fork();
        if (child == 0) {
            /* Not a fault where there are too many for the moment. */
            if (unshare(CLONE_NEWNS)) _exit(0);
            if (mount("t", at, "tmpfs", 0, "size=64k")) _exit(errno);
            mkdir(old, 0755);
            if (i % 3 == 0) for (;;) get("/proc/self/mountinfo");
            if (syscall(SYS_pivot_root, at, old)) _exit(128 + errno);
            if (i % 3 == 1 && fork() == 0) _exit(access("/old", F_OK));
            umount2("/old", MNT_DETACH);
            _exit(0);
        }
        if (child < 0) continue;
        if (i % 3 == 0) {
            millis(10);
            kill(child, SIGKILL);
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status)) _exit(WEXITSTATUS(status));
    }
    rmdir(at);
}

/* Contexts that end with their processes. */
static void transfers(void) {
    while (now() < until) {
        pid_t child = fork();
        if (child == 0) {
            aio_context_t context = 0;
            char buffer[512];
            struct iocb block = {.aio_lio_opcode = IOCB_CMD_PREAD, .aio_buf = (uint64_t)(uintptr_t)buffer, .aio_nbytes = 512};
            struct iocb *list[1] = {&block};
            block.aio_fildes = (uint32_t)open("/work/file", O_RDONLY);
            if (syscall(SYS_io_setup, 16, &context)) _exit(0);
            for (int i = 0; i < 16; i++) syscall(SYS_io_submit, context, 1L, list);
            _exit(0);
        }
        if (child > 0) waitpid(child, NULL, 0);
    }
}

static void looks(void) {
    while (now() < until) {
        DIR *proc = opendir("/proc");
        for (struct dirent *entry; proc && (entry = readdir(proc));) {
            if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
            char path[300], link[256];
            static const char *const files[] = {"status", "cmdline", "maps", "mountinfo"};
            for (int i = 0; i < 4; i++) {
                snprintf(path, sizeof path, "/proc/%s/%s", entry->d_name, files[i]);
                get(path);
            }
            snprintf(path, sizeof path, "/proc/%s/exe", entry->d_name);
            if (readlink(path, link, sizeof link) < 0) continue;
            close(open(path, O_RDONLY));
        }
        if (proc) closedir(proc);
    }
}

static void users(void) {
    for (unsigned i = 0; now() < until; i++) {
        pid_t child = fork();
        if (child == 0) {
            if (setresuid(1000 + i % 3, 1000, 1000)) _exit(1);
            access("/work/secret", R_OK);
            get("/work/mine");
            _exit(0);
        }
        if (child > 0) waitpid(child, NULL, 0);
    }
}

static void *closes(void *argument) {
    for (;;)
        for (int fd = 3; fd < 12; fd++) close(fd);
    return argument;
}

/* Descriptors that the guest's own thread is made to receive, while its neighbour closes whatever comes, signals
 * arrive, and the process is killed. */
static void places(void) {
    while (now() < until) {
        pid_t child = fork();
        if (child == 0) {
            struct sigaction action = {.sa_handler = nothing};
            sigaction(SIGALRM, &action, NULL);
            struct itimerval soon = {{0, 1000}, {0, 1000}};
            setitimer(ITIMER_REAL, &soon, NULL);
            pthread_t neighbour;
            pthread_create(&neighbour, NULL, closes, NULL);
            for (;;) close(open("/work", O_PATH));
        }
        if (child < 0) continue;
        millis(15);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
}

/* What is moved between pipes, by calls that wait, are interrupted, or whose process is killed. */
static void pipes(void) {
    while (now() < until) {
        pid_t child = fork();
        if (child == 0) {
            int a[2], b[2], file = open("/work/file", O_RDONLY);
            struct sigaction action = {.sa_handler = nothing};
            sigaction(SIGALRM, &action, NULL);
            struct itimerval soon = {{0, 2000}, {0, 2000}};
            setitimer(ITIMER_REAL, &soon, NULL);
            if (pipe(a) || pipe(b)) _exit(1);
            for (loff_t at = 0;; at = 0) {
                syscall(SYS_splice, file, &at, a[1], NULL, 4096, SPLICE_F_NONBLOCK);
                syscall(SYS_tee, a[0], b[1], 4096, SPLICE_F_NONBLOCK);
                syscall(SYS_splice, a[0], NULL, b[1], NULL, 1 << 20, 0);
                char sink[8192];
                struct iovec part = {sink, sizeof sink};
                syscall(SYS_vmsplice, b[0], &part, 1, 0);
            }
        }
        if (child < 0) continue;
        millis(25);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
}

static unsigned dice;

static int one_of(int n) { return (int)((unsigned)rand_r(&dice) % (unsigned)n); }

static void *calls(void *argument) {
    for (;;) {
        close(open("/work", O_PATH));
        getuid();
        millis(1);
    }
    return argument;
}

/* What a tracee does: calls that are answered in every way, threads, children and programs. */
static void traced(int executes) {
    for (;;) {
        int what = one_of(6);
        pthread_t thread;
        if (what == 0) {
            char *argv[] = {"true", NULL};
            pid_t child = one_of(2) ? vfork() : fork();
            if (child == 0) {
                execve("/bin/true", argv, environment);
                _exit(1);
            }
            if (child > 0) waitpid(child, NULL, 0);
        } else if (what == 1) {
            if (!pthread_create(&thread, NULL, calls, NULL)) pthread_detach(thread);
        } else if (what == 2 && executes && one_of(4) == 0) {
            char *argv[] = {"syscall-guest", "traced", NULL};
            execve("/proc/self/exe", argv, environment);
        } else if (what == 3) {
            close(open("/work", O_PATH));
        } else {
            put("/work/traced", "x");
        }
    }
}

/* The program that a tracee executes. */
FAMILY(traced) {
    dice = (unsigned)getpid();
    alarm(2 * SECONDS);
    traced(0);
}

/* Any request in any state, and tracers that leave their tracees in it. */
static void traces_once(void) {
    static const int requests[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 24, 30, 31, 32, 33, 0x4200, 0x4201, 0x4202,
        0x4203, 0x4204, 0x4205, 0x4206, 0x4207, 0x4208, 0x4209, 0x420a, 0x420b, 0x420c, 0x420d, 0x420e, 0x420f, 0x4210};
    static const int on[] = {PTRACE_CONT, PTRACE_SYSCALL, PTRACE_SYSCALL, PTRACE_SINGLESTEP, PTRACE_DETACH};
    static char memory[4096];
    enum { TRACEES = 3 };
    pid_t tracees[TRACEES];
    dice = (unsigned)getpid();
    alarm(2 * SECONDS);
    for (int i = 0; i < TRACEES; i++) {
        tracees[i] = fork();
        if (tracees[i] == 0) {
            dice = (unsigned)getpid();
            alarm(2 * SECONDS);
            if (one_of(2)) ptrace(PTRACE_TRACEME, 0, 0, 0);
            traced(1);
        }
        if (one_of(2)) ptrace(one_of(2) ? PTRACE_ATTACH : PTRACE_SEIZE, tracees[i], 0, 0);
    }
    for (int i = 0; i < 2000 && now() < until; i++) {
        int status;
        pid_t found;
        while ((found = waitpid(-1, &status, __WALL | WNOHANG)) > 0) {
            int sent = WIFSTOPPED(status) && !(status >> 16) && WSTOPSIG(status) < 32 ? WSTOPSIG(status) : 0;
            if (sent == SIGTRAP || sent == SIGSTOP) sent = 0;
            if (one_of(4) == 0) ptrace(PTRACE_SETOPTIONS, found, 0, one_of(128));
            if (one_of(50)) ptrace(on[one_of(one_of(40) ? 4 : 5)], found, 0, sent);
        }
        pid_t any = tracees[one_of(TRACEES)];
        if (one_of(3) == 0)
            syscall(SYS_ptrace, requests[one_of(sizeof requests / sizeof *requests)], any,
                    one_of(2) ? (long)memory : one_of(4096), one_of(2) ? (long)memory : one_of(70));
        if (one_of(100) == 0) ptrace(PTRACE_INTERRUPT, any, 0, 0);
        if (one_of(200) == 0) kill(any, one_of(2) ? SIGSTOP : SIGCONT);
        if (one_of(300) == 0) kill(any, SIGKILL);
    }
    for (int i = one_of(2); i < TRACEES; i++) kill(tracees[i], SIGKILL);
    _exit(0);
}

static void traces(void) {
    while (now() < until) {
        pid_t child = fork();
        if (child == 0) {
            setpgid(0, 0);
            traces_once();
        }
        waitpid(child, NULL, 0);
        kill(-child, SIGKILL);
    }
}

/* What went wrong. */
static char trouble[128];

static int round_of(int number) {
    static void (*const kinds[])(void) = {forks, forks, orphans, threads, signals, names, names, mounts, looks, users, places, pipes,
                                          traces, namespaces, transfers};
    enum { KINDS = sizeof kinds / sizeof *kinds };
    until = now() + SECONDS;
    pid_t workers[KINDS];
    for (int i = 0; i < KINDS; i++) {
        workers[i] = fork();
        if (workers[i] == 0) {
            kinds[i]();
            _exit(0);
        }
    }
    int bad = 0, status;
    for (int i = 0; i < KINDS; i++)
        if (waitpid(workers[i], &status, 0) != workers[i] || status) {
            snprintf(trouble, sizeof trouble, "round %d kind %d: %s", number, i, ended(status));
            say("worker", "ended", "%s", trouble);
            bad = 1;
        }
    return bad;
}

FAMILY(storm) {
    int bad = 0, rounds = atoi(get("/work/storm-rounds"));
    for (int i = 1; i <= rounds; i++) {
        bad |= round_of(i);
        char at_rest[64], go[64];
        snprintf(at_rest, sizeof at_rest, "/work/at-rest-%d", i);
        snprintf(go, sizeof go, "/work/go-%d", i);
        put(at_rest, bad ? trouble : "good");
        for (int waited = 0; access(go, F_OK) && waited < 600; waited++) millis(50);
    }
    say("rounds", "all", "%s", bad ? "bad" : "good");
}
