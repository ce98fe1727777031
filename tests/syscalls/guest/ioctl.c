/* ioctl(2) on files, pipes, sockets and devices. Terminals have a family of their own. */
#include "guest.h"

#include <linux/fs.h>
#include <linux/random.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

static void files(void) {
    int fd = open("/work/file", O_RDWR), dir = open("/work/dir", O_RDONLY), path = open("/work/file", O_PATH);
    int on = 1, value = 0;
    if (fd < 0) fd = open("/work/file", O_RDONLY);
    char buffer[512];
    T("not_tty", ioctl, fd, TCGETS, buffer);
    T("winsize", ioctl, fd, TIOCGWINSZ, buffer);
    T("cloexec", ioctl, fd, FIOCLEX, 0);
    say("fcntl", "cloexec", "%d", fcntl(fd, F_GETFD));
    T("nocloexec", ioctl, fd, FIONCLEX, 0);
    T("nonblock", ioctl, fd, FIONBIO, &on);
    T("nonblock_efault", ioctl, fd, FIONBIO, BAD);
    T("available", ioctl, fd, FIONREAD, &value);
    say("ioctl", "available", "%d", value);
    T("async", ioctl, fd, FIOASYNC, &on);
    T("ebadf", ioctl, 99, FIONREAD, &value);
    T("path", ioctl, path, FIONREAD, &value);
    T("unknown", ioctl, fd, 0x12345678, &value);
    T("unknown_dir", ioctl, dir, 0x12345678, &value);
    T("freeze", ioctl, dir, FIFREEZE, 0);
    T("blksize", ioctl, fd, BLKSSZGET, &value);
    TOK("fs_block", ioctl, fd, FIGETBSZ, &value);
}

static void pipes_and_sockets(void) {
    int pipes[2], pair[2], value = 0;
    if (pipe(pipes) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return;
    if (write(pipes[1], "12345", 5) < 0 || write(pair[0], "123", 3) < 0) return;
    T("pipe_available", ioctl, pipes[0], FIONREAD, &value);
    say("ioctl", "pipe_available", "%d", value);
    T("socket_available", ioctl, pair[1], FIONREAD, &value);
    say("ioctl", "socket_available", "%d", value);
    T("pipe_tty", ioctl, pipes[0], TCGETS, &value);
    T("efault", ioctl, pipes[0], FIONREAD, BAD);
    T("owner_get", ioctl, pair[0], 0x8903, &value);
    T("socket_nonblock", ioctl, pair[0], FIONBIO, &value);
}

static void devices(void) {
    int null = open("/dev/null", O_RDWR), random = open("/dev/urandom", O_RDONLY), value = 0;
    T("null_tty", ioctl, null, TCGETS, &value);
    TOK("entropy", ioctl, random, RNDGETENTCNT, &value);
    T("add_entropy", ioctl, random, RNDCLEARPOOL, 0);
    T("inject", ioctl, 0, TIOCSTI, "x");
    T("console", ioctl, null, TIOCCONS, 0);
}

/* linux/nsfs.h */
#define NS_GET_PARENT 0xb702
#define NS_GET_NSTYPE 0xb703
#define NS_GET_OWNER_UID 0xb704

static void namespaces(void) {
    static const char *const names[] = {"uts", "ipc", "net", "pid", "user"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[40];
        snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
        int fd = open(path, O_RDONLY);
        uid_t owner = 99;
        T(names[i], ioctl, fd, NS_GET_NSTYPE);
        T(names[i], ioctl, fd, NS_GET_PARENT);
        T(names[i], ioctl, fd, NS_GET_OWNER_UID, &owner);
        close(fd);
    }
    T("not_a_namespace", ioctl, open("/work/file", O_RDONLY), NS_GET_NSTYPE);
}

/* struct pidfd_info of Linux 6.13, which the C library does not know yet. */
struct pidfd_info {
    uint64_t mask, cgroupid;
    uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    int32_t exit_code;
};
#define PIDFD_GET_INFO _IOWR(0xff, 11, struct pidfd_info)

static void processes(void) {
    pid_t me = getpid();
    int own = (int)syscall(SYS_pidfd_open, me, 0);
    struct pidfd_info info = {.mask = 7};
    T("info", ioctl, own, PIDFD_GET_INFO, &info);
    say("ioctl", "info_ids", "mask=%llu %d %d %d", (unsigned long long)info.mask & 3, info.pid == (uint32_t)me,
        info.tgid == (uint32_t)me, info.ppid == (uint32_t)getppid());
    say("ioctl", "info_credentials", "%u %u %u %u %u %u %u %u", info.ruid, info.rgid, info.euid, info.egid, info.suid,
        info.sgid, info.fsuid, info.fsgid);
    T("info_small", ioctl, own, _IOWR(0xff, 11, uint64_t), &info);
    T("info_null", ioctl, own, PIDFD_GET_INFO, NULL);
    T("info_efault", ioctl, own, PIDFD_GET_INFO, BAD);
    T("info_of_a_file", ioctl, open("/work/file", O_RDONLY), PIDFD_GET_INFO, &info);
    pid_t child = fork();
    if (child == 0) _exit(7);
    int ended = (int)syscall(SYS_pidfd_open, child, 0);
    waitpid(child, NULL, 0);
    info = (struct pidfd_info){.mask = 1};
    T("info_of_an_ended", ioctl, ended, PIDFD_GET_INFO, &info);
    info = (struct pidfd_info){.mask = 8};
    T("info_exit", ioctl, ended, PIDFD_GET_INFO, &info);
    say("ioctl", "info_exit_code", "%d", info.exit_code);
}

FAMILY(ioctl) {
    SECTION(processes);
    SECTION(files);
    SECTION(pipes_and_sockets);
    SECTION(devices);
    SECTION(namespaces);
}
