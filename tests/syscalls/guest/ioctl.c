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

FAMILY(ioctl) {
    SECTION(files);
    SECTION(pipes_and_sockets);
    SECTION(devices);
    SECTION(namespaces);
}
