/* Pseudo terminals: /dev/ptmx, devpts, sessions and their controlling terminal. */
#include "guest.h"

#include <sys/ioctl.h>
#include <termios.h>

static void pair(void) {
    int master = (int)T("ptmx", open, "/dev/ptmx", O_RDWR | O_NOCTTY);
    if (master < 0) return;
    int locked = 0, number = -1;
    T("unlock", ioctl, master, TIOCSPTLCK, &locked);
    T("number", ioctl, master, TIOCGPTN, &number);
    say("ioctl", "number", "%d", number);
    char path[64], buffer[64] = {0};
    snprintf(path, sizeof path, "/dev/pts/%d", number);
    struct stat st;
    if (!stat(path, &st)) say("stat", "slave", "mode=%o uid=%d gid=%d", st.st_mode, (int)st.st_uid, (int)st.st_gid);
    int slave = (int)T("slave", open, path, O_RDWR | O_NOCTTY);
    struct termios settings;
    T("getattr", ioctl, slave, TCGETS, &settings);
    say("ioctl", "lflag", "%x", settings.c_lflag);
    struct winsize size = {24, 80, 0, 0};
    T("set_size", ioctl, master, TIOCSWINSZ, &size);
    size.ws_row = 0;
    T("get_size", ioctl, slave, TIOCGWINSZ, &size);
    say("ioctl", "size", "%dx%d", size.ws_row, size.ws_col);
    T("master", write, master, "line\n", 5);
    T("slave", read, slave, buffer, sizeof buffer);
    say("read", "slave", "%.4s", buffer);
    T("slave", write, slave, "out\n", 4);
    /* The echo and the output, however many reads that takes. */
    char all[64] = {0};
    for (size_t n = 0; n < 11;) {
        ssize_t got = read(master, all + n, sizeof all - 1 - n);
        if (got <= 0) break;
        n += (size_t)got;
    }
    say("read", "master", "%d", strcmp(all, "line\r\nout\r\n") == 0);
    T("not_controlling", ioctl, slave, TIOCGPGRP, &number);
    T("flush", ioctl, slave, TCFLSH, 0);
    T("send_break", ioctl, slave, TCSBRK, 1);
    close((int)T("peer", ioctl, master, 0x5441, O_RDWR | O_NOCTTY));
    char link[64] = {0}, name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", slave);
    T("slave", readlink, name, link, 63);
    say("readlink", "slave", "%s", link);
    T("ttyname", fstat, slave, &st);
    close(slave);
    T("hangup", read, master, buffer, sizeof buffer);
    T("tty_without", open, "/dev/tty", O_RDWR);
}

static void session(void) {
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) || unlockpt(master)) {
        say("open", "session", "no terminal");
        return;
    }
    const char *name = ptsname(master);
    /* Held, so that reading the master does not fail between two children. */
    int held = open(name, O_RDWR | O_NOCTTY);
    pid_t child = fork();
    if (child == 0) {
        close(master);
        setsid();
        int slave = open(name, O_RDWR | O_NOCTTY);
        T("controlling", ioctl, slave, TIOCSCTTY, 0);
        int tty = (int)TOK("tty", open, "/dev/tty", O_RDWR);
        int group = 0;
        T("group", ioctl, tty, TIOCGPGRP, &group);
        say("ioctl", "group", "own=%d", group == getpid());
        T("session", ioctl, tty, TIOCGSID, &group);
        say("ioctl", "session", "own=%d", group == getpid());
        signal(SIGINT, SIG_DFL);
        if (write(tty, "r", 1) < 0) _exit(1);
        for (;;) pause();
    }
    char byte;
    if (read(master, &byte, 1) < 0) return;
    T("interrupt", write, master, "\003", 1);
    int status;
    waitpid(child, &status, 0);
    say("write", "interrupt", "%s", ended(status));
    child = fork();
    if (child == 0) {
        close(master);
        setsid();
        int slave = open(name, O_RDWR);
        signal(SIGHUP, SIG_DFL);
        if (write(slave, "r", 1) < 0) _exit(1);
        for (;;) pause();
    }
    while (read(master, &byte, 1) == 1 && byte != 'r') {}
    close(master);
    close(held);
    waitpid(child, &status, 0);
    say("close", "hangup", "%s", ended(status));
}

static void try_acquire(const char *tag, const char *name, int flags) {
    int slave = open(name, flags), group = 0;
    say("open", tag, "opened=%d", slave >= 0);
    T(tag, ioctl, slave, TIOCGSID, &group);
    say("ioctl", tag, "own=%d", group == getpid());
    int tty = open("/dev/tty", O_RDWR);
    say("open", tag, "tty=%d", tty >= 0);
    if (tty >= 0) close(tty);
    close(slave);
}

static void in_session(const char *tag, const char *name, int flags, int leads) {
    pid_t child = fork();
    int status;
    if (child == 0) {
        setsid();
        signal(SIGHUP, SIG_IGN);
        if (leads || fork() == 0) {
            signal(SIGTRAP, SIG_IGN);
            sigset_t blocked, now;
            sigemptyset(&blocked);
            sigaddset(&blocked, SIGUSR1);
            sigprocmask(SIG_BLOCK, &blocked, NULL);
            raise(SIGUSR1);
            try_acquire(tag, name, flags);
            sigprocmask(SIG_BLOCK, NULL, &now);
            sigpending(&blocked);
            say("open", tag, "blocked=%d other=%d pending=%d", sigismember(&now, SIGUSR1), sigismember(&now, SIGUSR2), sigismember(&blocked, SIGUSR1));
        } else {
            wait(&status);
        }
        _exit(0);
    }
    waitpid(child, &status, 0);
}

static void acquired(void) {
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) || unlockpt(master)) {
        say("open", "acquired", "no terminal");
        return;
    }
    char name[64];
    snprintf(name, sizeof name, "%s", ptsname(master));
    in_session("leader", name, O_RDWR, 1);
    in_session("noctty", name, O_RDWR | O_NOCTTY, 1);
    in_session("write_only", name, O_WRONLY, 1);
    in_session("follower", name, O_RDWR, 0);
    in_session("leader_again", name, O_RDWR | O_CLOEXEC, 1);
    /* In the session of another, who keeps it. */
    int ready[2];
    if (pipe(ready)) return;
    pid_t child = fork();
    if (child == 0) {
        setsid();
        open(name, O_RDWR);
        if (write(ready[1], "x", 1) < 0) _exit(1);
        for (;;) pause();
    }
    char byte;
    if (read(ready[0], &byte, 1) < 0) return;
    in_session("taken", name, O_RDWR, 1);
    kill(child, SIGKILL);
    int status;
    waitpid(child, &status, 0);
    close(master);
}

FAMILY(terminal) {
    SECTION(pair);
    SECTION(session);
    SECTION(acquired);
}
