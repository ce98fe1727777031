/* Input made to break whoever serves it. Only the fact that the sandbox goes on serving, and the
 * errno where it is certain, are printed. */
#include "guest.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

static void still_served(const char *tag) {
    struct stat st;
    say("stat", tag, "served=%d", stat("/work/file", &st) == 0);
}

static char racing_path[64];
static volatile int racing;

static void *racer(void *argument) {
    (void)argument;
    while (racing) {
        strcpy(racing_path, "/work/file");
        strcpy(racing_path, "/work/secret");
        memset(racing_path, 'x', sizeof racing_path);
        racing_path[63] = 0;
        strcpy(racing_path, "/proc/self/../../dev/null");
    }
    return NULL;
}

static void races_paths(void) {
    racing = 1;
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, racer, NULL);
    struct stat st;
    for (int i = 0; i < 3000; i++) {
        int fd = open(racing_path, O_RDONLY | O_NONBLOCK);
        if (fd >= 0) close(fd);
        stat(racing_path, &st);
        access(racing_path, R_OK);
    }
    racing = 0;
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    still_served("races_paths");
}

static volatile char *flipping;

static void *flipper(void *argument) {
    (void)argument;
    while (racing) {
        munmap((void *)flipping, 4096);
        mmap((void *)flipping, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        strcpy((char *)flipping, "/work/file");
    }
    return NULL;
}

static void races_mappings(void) {
    flipping = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    racing = 1;
    pthread_t thread;
    pthread_create(&thread, NULL, flipper, NULL);
    for (int i = 0; i < 3000; i++) {
        int fd = open((char *)flipping, O_RDONLY);
        if (fd >= 0) close(fd);
        syscall(SYS_newfstatat, AT_FDCWD, "/work/file", flipping, 0);
        syscall(SYS_readlinkat, AT_FDCWD, "/work/link", flipping, 4096);
    }
    racing = 0;
    pthread_join(thread, NULL);
    still_served("races_mappings");
}

/* Every call that is served, with arguments that are wrong in every way at once. */
static void garbage(void) {
    static const long values[] = {0, -1, 1, 8, 0x7fffffff, 0x80000000L, (long)0x8000000000000000UL, 0x7fffffffffffffffL, (long)0xffff888000000000UL, -100, 1L << 32};
    static const int calls[] = {
        SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_socket, SYS_connect, SYS_sendto, SYS_sendmsg, SYS_bind, SYS_getsockname,
        SYS_getpeername, SYS_socketpair, SYS_uname, SYS_truncate, SYS_getcwd, SYS_chdir, SYS_fchdir, SYS_rename, SYS_mkdir, SYS_rmdir,
        SYS_creat, SYS_link, SYS_unlink, SYS_symlink, SYS_readlink, SYS_chmod, SYS_fchmod, SYS_chown, SYS_fchown, SYS_lchown, SYS_umask,
        SYS_getrlimit, SYS_sysinfo, SYS_setreuid, SYS_getgroups, SYS_setgroups, SYS_getresuid, SYS_capget, SYS_capset, SYS_utime, SYS_mknod,
        SYS_statfs, SYS_fstatfs, SYS_getpriority, SYS_prctl, SYS_chroot, SYS_mount, SYS_umount2, SYS_setxattr, SYS_getxattr, SYS_listxattr,
        SYS_removexattr, SYS_fgetxattr, SYS_utimes, SYS_mq_open, SYS_mq_unlink, SYS_inotify_add_watch, SYS_openat, SYS_mkdirat, SYS_mknodat,
        SYS_fchownat, SYS_newfstatat, SYS_unlinkat, SYS_renameat, SYS_linkat, SYS_symlinkat, SYS_readlinkat, SYS_fchmodat, SYS_faccessat,
        SYS_utimensat, SYS_accept4, SYS_inotify_init1, SYS_prlimit64, SYS_name_to_handle_at, SYS_sendmmsg, SYS_renameat2, SYS_memfd_create,
        SYS_execve, SYS_execveat, SYS_copy_file_range, SYS_statx, SYS_openat2, SYS_faccessat2, SYS_fchmodat2, SYS_ioctl, SYS_getdents64,
        SYS_process_vm_readv, SYS_pidfd_open, SYS_pidfd_getfd, SYS_sethostname, SYS_syslog, SYS_getsockopt, SYS_setsockopt, SYS_recvmsg,
    };
    unsigned seed = 12345;
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
        for (int round = 0; round < 40; round++) {
            long a[6];
            for (int i = 0; i < 6; i++) {
                seed = seed * 1103515245 + 12345;
                a[i] = values[(seed >> 16) % (sizeof values / sizeof *values)];
            }
            pid_t child = round % 20 == 0 ? fork() : -1;
            if (child == 0) {
                struct rlimit none = {0, 0};
                setrlimit(RLIMIT_CORE, &none);
                alarm(5);
                for (int again = 0; again < 20; again++) {
                    syscall(calls[c], a[0], a[1], a[2], a[3], a[4], a[5]);
                    for (int i = 0; i < 6; i++) {
                        seed = seed * 1103515245 + 12345;
                        a[i] = values[(seed >> 16) % (sizeof values / sizeof *values)];
                    }
                }
                _exit(0);
            }
            if (child > 0) waitpid(child, NULL, 0);
        }
    }
    still_served("garbage");
}

static void deep_paths(void) {
    T("endless", open, endless_path(), O_RDONLY);
    T("endless", stat, endless_path(), BAD);
    T("endless", execve, endless_path(), BAD, BAD);
    T("endless", mkdir, endless_path(), 0);
    char *deep = malloc(4096);
    memset(deep, 0, 4096);
    for (int i = 0; i < 1360; i++) memcpy(deep + i * 3, "../", 3);
    T("dots", open, deep, O_RDONLY);
    chdir("/work");
    mkdir("deep", 0700);
    chdir("deep");
    int depth = 0;
    for (; depth < 200; depth++) {
        if (mkdir("dddddddddddddddddddddddddddddddddddddddd", 0700) || chdir("dddddddddddddddddddddddddddddddddddddddd")) break;
    }
    say("mkdir", "deep", "%d", depth);
    char *cwd = malloc(20000);
    long n = syscall(SYS_getcwd, cwd, 20000);
    say("getcwd", "deep", "%ld %s", n, n < 0 ? errname(errno) : "");
    T("deep", open, "new", O_CREAT | O_RDWR, 0600);
    still_served("deep_paths");
}

static void closes_everything(void) {
    for (int fd = 3; fd < 1024; fd++) close(fd);
    T("after_close", open, "/work/file", O_RDONLY);
    for (int fd = 3; fd < 1000; fd++) dup2(1, fd);
    T("after_dup2", openat, AT_FDCWD, "/work/file", O_RDONLY);
    close_range(3, ~0u, 0);
    T("after_close_range", openat, AT_FDCWD, "/work/file", O_RDONLY);
    char *argv[] = {"sh", "-c", "exit 3", NULL}, *envp[] = {NULL};
    pid_t child = fork();
    if (child == 0) {
        for (int fd = 3; fd < 1024; fd++) dup2(1, fd);
        execve("/bin/sh", argv, envp);
        _exit(9);
    }
    int status;
    waitpid(child, &status, 0);
    say("execve", "full_to_hard_limit", "%s", ended(status));
    char *limit_argv[] = {"sh", "-c", "exit $(ulimit -Sn)", NULL};
    for (int with = 0; with < 2; with++) {
        child = fork();
        if (child == 0) {
            struct rlimit limit = {100, 1024};
            setrlimit(RLIMIT_NOFILE, &limit);
            for (int fd = 3; fd < 100; fd++) fcntl(dup2(1, fd), F_SETFD, with && fd > 50 ? FD_CLOEXEC : 0);
            execve("/work/none", argv, envp);
            getrlimit(RLIMIT_NOFILE, &limit);
            say("execve", "full_table_limit", "%d", (int)limit.rlim_cur);
            execve("/bin/sh", with ? limit_argv : argv, envp);
            _exit(9);
        }
        waitpid(child, &status, 0);
        say("execve", "full_table", "%s", ended(status));
    }
    child = fork();
    if (child == 0) {
        close_range(0, ~0u, 0);
        execve("/bin/sh", argv, envp);
        _exit(9);
    }
    waitpid(child, &status, 0);
    say("execve", "no_descriptors", "%s", ended(status));
}

static void table_full(void) {
    int count = 0, last;
    while ((last = open("/work/file", O_RDONLY)) >= 0) count++;
    say("open", "full", "%s many=%d", errname(errno), count > 500);
    T("full", socket, AF_UNIX, SOCK_STREAM, 0);
    T("full", memfd_create, "x", 0);
    close(5);
    T("one_free", open, "/work/file", O_RDONLY);
    struct stat st;
    say("stat", "full", "%d", stat("/work/file", &st));
}

static void killed_in_calls(void) {
    int died = 0;
    for (int i = 0; i < 150; i++) {
        pid_t child = fork();
        if (child == 0) {
            char *argv[] = {"true", NULL}, *envp[] = {NULL};
            struct stat st;
            for (;;) {
                switch (i % 5) {
                case 0: close(open("/work/file", O_RDONLY)); break;
                case 1: stat("/work/link", &st); break;
                case 2: open("/work/fifo", O_RDONLY); break;
                case 3:
                    if (vfork() == 0) {
                        execve("/bin/true", argv, envp);
                        _exit(1);
                    }
                    break;
                case 4: close(socket(AF_UNIX, SOCK_STREAM, 0)); break;
                }
            }
        }
        struct timespec little = {0, 50000L * (i % 40)};
        nanosleep(&little, NULL);
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        died += WIFSIGNALED(status);
    }
    say("kill", "in_calls", "died=%d", died);
    still_served("killed_in_calls");
}

static void fork_bomb(void) {
    /* The container has a pids limit: some fork fails with EAGAIN, and everything goes on. */
    int made = 0, error = 0;
    static pid_t children[4096];
    while (made < 4096) {
        pid_t child = fork();
        if (child < 0) {
            error = errno;
            break;
        }
        if (child == 0) {
            for (;;) pause();
        }
        children[made++] = child;
    }
    say("fork", "bomb", "limited=%d errno=%s", made < 4096, errname(error));
    T("at_limit", open, "/work/file", O_RDONLY);
    for (int i = 0; i < made; i++) kill(children[i], SIGKILL);
    int reaped = 0;
    while (wait(NULL) > 0) reaped++;
    say("wait4", "bomb", "all=%d", reaped == made);
    still_served("fork_bomb");
}

static void fills_tmpfs(void) {
    int fd = open("/small/fill", O_CREAT | O_RDWR, 0600);
    static char block[65536];
    long total = 0, n;
    while ((n = write(fd, block, sizeof block)) > 0) total += n;
    say("write", "full", "%ld %s", total, errname(errno));
    T("full", mkdir, "/small/dir", 0700);
    T("full", symlink, "target", "/small/link");
    T("full", open, "/small/other", O_CREAT | O_RDWR, 0600);
    unlink("/small/fill");
    still_served("fills_tmpfs");
}

static void vectors(void) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair)) return;
    char *edge = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(edge + 4096, 4096);
    struct iovec *half = (void *)(edge + 4096 - sizeof(struct iovec));
    *half = (struct iovec){"x", 1};
    struct msghdr message = {NULL, 0, half, 2, NULL, 0, 0};
    T("unmapped_iovec", sendmsg, pair[0], &message, 0);
    struct sockaddr_un address = {AF_UNIX, "/work/none"};
    message = (struct msghdr){&address, sizeof address, half, 2, NULL, 0, 0};
    T("unmapped_iovec_named", sendmsg, pair[0], &message, 0);
    struct iovec big[2] = {{edge, 1UL << 62}, {edge, 1UL << 62}};
    message = (struct msghdr){&address, sizeof address, big, 2, NULL, 0, 0};
    T("huge_iovec", sendmsg, pair[0], &message, 0);
    message = (struct msghdr){&address, 1u << 31, half, 1, NULL, 0, 0};
    T("huge_name", sendmsg, pair[0], &message, 0);
    message = (struct msghdr){NULL, 0, half, 1, edge, 1UL << 40, 0};
    T("huge_control", sendmsg, pair[0], &message, 0);
    T("unmapped", sendmmsg, pair[0], BAD, 10, 0);
    T("huge_count", sendto, socket(AF_UNIX, SOCK_DGRAM, 0), edge, 1UL << 40, 0, &address, sizeof address);
    char **argv = (void *)(edge + 4096 - 2 * sizeof(char *));
    argv[0] = "x";
    argv[1] = "y";
    T("argv_into_hole", execve, "/bin/sh", argv, NULL);
    T("setgroups_hole", setgroups, 65536, edge + 4096 - 8);
    still_served("vectors");
}

static void *same_calls(void *argument) {
    long which = (long)argument;
    char name[64];
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "/work/p%ld", which);
        int fd = open(name, O_CREAT | O_RDWR, 0600);
        if (fd >= 0) close(fd);
        rename(name, "/work/p-target");
        unlink("/work/p-target");
        chdir(i & 1 ? "/work" : "/tmp");
    }
    return NULL;
}

static void parallel(void) {
    pthread_t threads[12];
    for (long i = 0; i < 12; i++) pthread_create(&threads[i], NULL, same_calls, (void *)i);
    for (int i = 0; i < 12; i++) pthread_join(threads[i], NULL);
    still_served("parallel");
}

FAMILY(hostile) {
    SECTION(races_paths);
    SECTION(races_mappings);
    SECTION(garbage);
    SECTION(deep_paths);
    SECTION(closes_everything);
    SECTION(table_full);
    SECTION(killed_in_calls);
    SECTION(fork_bomb);
    SECTION(fills_tmpfs);
    SECTION(vectors);
    SECTION(parallel);
}
