/* Looking into other processes of the container: their memory, their descriptors, whether they share something. */
#include "guest.h"

#include <linux/kcmp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

static char place[8192] = "parent's own text";

static pid_t sleeper(void) {
    pid_t child = fork();
    if (child == 0) {
        strcpy(place, "child's own text");
        for (;;) pause();
    }
    millis(30);
    return child;
}

/* Which of two different objects comes first is the kernel's secret. */
static void compared(const char *tag, pid_t other) {
    errno = 0;
    long order = syscall(SYS_kcmp, getpid(), other, KCMP_VM, 0, 0);
    say("kcmp", tag, "%s", order < 0 ? errname(errno) : order ? "different" : "same");
}

static void end(pid_t child) {
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void memory(void) {
    pid_t child = sleeper();
    char a[64] = {0}, b[64] = {0};
    struct iovec local[2] = {{a, 8}, {b, 8}}, remote[2] = {{place, 4}, {place + 4, 12}};
    T("gather", process_vm_readv, child, local, 2, remote, 2, 0);
    say("process_vm_readv", "gathered", "%.8s|%.8s", a, b);
    strcpy(a, "written!");
    T("scatter", process_vm_writev, child, local, 1, remote, 2, 0);
    memset(a, 0, sizeof a);
    T("back", process_vm_readv, child, local, 1, remote, 2, 0);
    say("process_vm_readv", "back", "%.8s", a);
    T("self", process_vm_readv, getpid(), local, 2, remote, 2, 0);
    T("none", process_vm_readv, 99999, local, 2, remote, 2, 0);
    T("negative", process_vm_readv, -1, local, 2, remote, 2, 0);
    T("flags", process_vm_readv, child, local, 2, remote, 2, 1);
    T("no_local", process_vm_readv, child, local, 0, remote, 2, 0);
    T("no_remote", process_vm_readv, child, local, 2, remote, 0, 0);
    T("too_many", process_vm_readv, child, local, 1025, remote, 1, 0);
    T("too_many_remote", process_vm_readv, child, local, 1, remote, 1025, 0);
    T("efault_local_list", process_vm_readv, child, BAD, 1, remote, 1, 0);
    T("efault_remote_list", process_vm_readv, child, local, 1, BAD, 1, 0);
    struct iovec bad[2] = {{place, 4}, {BAD, 4}}, first_bad[1] = {{BAD, 4}}, negative[1] = {{place, (size_t)-1}};
    T("partial", process_vm_readv, child, local, 1, bad, 2, 0);
    T("efault_remote", process_vm_readv, child, local, 1, first_bad, 1, 0);
    T("efault_local", process_vm_readv, child, first_bad, 1, remote, 1, 0);
    T("negative_length", process_vm_readv, child, local, 1, negative, 1, 0);
    T("negative_local", process_vm_readv, child, negative, 1, remote, 1, 0);
    struct iovec code[1] = {{(void *)(uintptr_t)sleeper, 8}};
    T("write_to_code", process_vm_writev, child, local, 1, code, 1, 0);
    char big[8192];
    struct iovec whole[1] = {{big, sizeof big}}, all[1] = {{place, sizeof place}};
    T("pages", process_vm_readv, child, whole, 1, all, 1, 0);
    T("init", process_vm_readv, 1, local, 1, remote, 1, 0);
    end(child);
    T("gone", process_vm_readv, child, local, 1, remote, 1, 0);
}

static void rights(void) {
    if (getuid() != 0) return;
    pid_t root = sleeper(), user = fork();
    if (user == 0) {
        if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000)) _exit(1);
        prctl(PR_SET_DUMPABLE, 1);
        for (;;) pause();
    }
    pid_t hidden = fork();
    if (hidden == 0) {
        if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000)) _exit(1);
        for (;;) pause();
    }
    millis(50);
    char a[8];
    struct iovec local[1] = {{a, 8}}, remote[1] = {{place, 8}};
    T("root_of_user", process_vm_readv, user, local, 1, remote, 1, 0);
    pid_t child = fork();
    if (child == 0) {
        if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000)) _exit(1);
        prctl(PR_SET_DUMPABLE, 1);
        T("user_of_user", process_vm_readv, user, local, 1, remote, 1, 0);
        T("user_of_undumpable", process_vm_readv, hidden, local, 1, remote, 1, 0);
        T("user_of_root", process_vm_readv, root, local, 1, remote, 1, 0);
        T("user_of_root", process_vm_writev, root, local, 1, remote, 1, 0);
        compared("user_of_user", user);
        compared("user_of_root", root);
        int fd = (int)syscall(SYS_pidfd_open, root, 0), own = (int)syscall(SYS_pidfd_open, user, 0);
        T("user_of_root", pidfd_getfd, fd, 0, 0);
        TOK("user_of_user", pidfd_getfd, own, 1, 0);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    child = fork();
    if (child == 0) {
        if (setresgid(1000, 1000, 1000) || setresuid(1001, 1000, 1000)) _exit(1);
        T("other_real", process_vm_readv, user, local, 1, remote, 1, 0);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    end(root);
    end(user);
    end(hidden);
}

static void comparing(void) {
    int fd = open("/work/file", O_RDONLY), same = dup(fd), other = open("/work/file", O_RDONLY);
    pid_t me = getpid(), child = sleeper();
    T("same", kcmp, me, me, KCMP_FILE, fd, same);
    say("kcmp", "other", "%d", syscall(SYS_kcmp, me, me, KCMP_FILE, fd, other) > 0);
    T("inherited", kcmp, me, child, KCMP_FILE, fd, fd);
    T("own_vm", kcmp, me, me, KCMP_VM, 0, 0);
    say("kcmp", "childs_vm", "%d", syscall(SYS_kcmp, me, child, KCMP_VM, 0, 0) > 0);
    say("kcmp", "childs_files", "%d", syscall(SYS_kcmp, me, child, KCMP_FILES, 0, 0) > 0);
    say("kcmp", "childs_fs", "%d", syscall(SYS_kcmp, me, child, KCMP_FS, 0, 0) > 0);
    say("kcmp", "childs_sighand", "%d", syscall(SYS_kcmp, me, child, KCMP_SIGHAND, 0, 0) > 0);
    T("own_io", kcmp, me, me, KCMP_IO, 0, 0);
    T("own_sysvsem", kcmp, me, me, KCMP_SYSVSEM, 0, 0);
    int watcher = epoll_create1(0), pipes[2];
    if (pipe(pipes)) return;
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(watcher, EPOLL_CTL_ADD, pipes[0], &event);
    struct kcmp_epoll_slot slot = {.efd = (__u32)watcher, .tfd = (__u32)pipes[0], .toff = 0};
    T("watched", kcmp, me, me, KCMP_EPOLL_TFD, pipes[0], &slot);
    say("kcmp", "watched_other", "%d", syscall(SYS_kcmp, me, me, KCMP_EPOLL_TFD, fd, &slot) > 0);
    slot.toff = 1;
    T("watched_offset", kcmp, me, me, KCMP_EPOLL_TFD, pipes[0], &slot);
    slot.tfd = 99;
    T("not_watched", kcmp, me, me, KCMP_EPOLL_TFD, pipes[0], &slot);
    slot.efd = (__u32)fd;
    T("not_epoll", kcmp, me, me, KCMP_EPOLL_TFD, pipes[0], &slot);
    T("watched_efault", kcmp, me, me, KCMP_EPOLL_TFD, pipes[0], BAD);
    T("ebadf", kcmp, me, me, KCMP_FILE, fd, 99);
    T("type", kcmp, me, me, 99, 0, 0);
    T("negative_type", kcmp, me, me, -1, 0, 0);
    T("none", kcmp, me, 99999, KCMP_VM, 0, 0);
    say("kcmp", "init", "%d", syscall(SYS_kcmp, me, 1, KCMP_VM, 0, 0) > 0);
    end(child);
}

static void descriptors(void) {
    int pipes[2];
    if (pipe(pipes)) return;
    pid_t child = fork();
    if (child == 0) {
        int fd = open("/work/file", O_RDONLY);
        dup2(fd, 70);
        if (write(pipes[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    char byte, text[6] = {0};
    if (read(pipes[0], &byte, 1) != 1) return;
    int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    int fd = (int)TOK("child", pidfd_getfd, pidfd, 70, 0);
    say("pidfd_getfd", "content", "%zd %s cloexec=%d", pread(fd, text, 5, 0), text, fcntl(fd, F_GETFD));
    T("ebadf", pidfd_getfd, pidfd, 71, 0);
    T("flags", pidfd_getfd, pidfd, 70, 1);
    T("not_pidfd", pidfd_getfd, fd, 0, 0);
    T("closed", pidfd_getfd, 99, 0, 0);
    end(child);
    T("dead", pidfd_getfd, pidfd, 70, 0);
    T("process_madvise", process_madvise, pidfd, NULL, 0, 0, 0);
}

static long robust(const char *tag, pid_t pid) {
    void *head = NULL;
    size_t size = 0;
    long r = T(tag, get_robust_list, pid, &head, &size);
    if (r == 0) say("get_robust_list", tag, "size=%zu set=%d", size, head != NULL);
    return r;
}

static void robust_lists(void) {
    pid_t child = sleeper();
    void *head;
    size_t size;
    robust("self", 0);
    robust("own_pid", getpid());
    robust("child", child);
    robust("none", 99999);
    robust("negative", -1);
    T("efault_head", get_robust_list, child, BAD, &size);
    T("efault_size", get_robust_list, child, &head, BAD);
    if (getuid() == 0) {
        pid_t user = fork();
        if (user == 0) {
            if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000)) _exit(1);
            robust("user_of_root", child);
            robust("user_of_init", 1);
            _exit(0);
        }
        waitpid(user, NULL, 0);
    }
    end(child);
    robust("gone", child);
}

FAMILY(foreign) {
    SECTION(memory);
    SECTION(rights);
    SECTION(comparing);
    SECTION(descriptors);
    SECTION(robust_lists);
}
