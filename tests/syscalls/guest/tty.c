/* The line discipline, job control and the life of pseudo terminals. */
#include "guest.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

static int master, slave;
static char name[64];

static int open_pair(void) {
    master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) || unlockpt(master)) return -1;
    snprintf(name, sizeof name, "%s", ptsname(master));
    slave = open(name, O_RDWR | O_NOCTTY);
    return slave;
}

static void change(tcflag_t clear, tcflag_t set) {
    struct termios settings;
    tcgetattr(slave, &settings);
    settings.c_lflag = (settings.c_lflag & ~clear) | set;
    tcsetattr(slave, TCSANOW, &settings);
}

static void take(const char *tag, int fd) {
    char buffer[128] = {0};
    struct pollfd ready = {fd, POLLIN, 0};
    poll(&ready, 1, 200);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    long n = T(tag, read, fd, buffer, sizeof buffer - 1);
    fcntl(fd, F_SETFL, 0);
    char shown[512] = {0}, *out = shown;
    for (long i = 0; i < n; i++) out += sprintf(out, buffer[i] >= ' ' && buffer[i] < 127 ? "%c" : "\\%o", (unsigned char)buffer[i]);
    if (n >= 0) say("read", tag, "%s", shown);
}

static void type(const char *text) {
    if (write(master, text, strlen(text)) < 0) say("write", "type", "%s", errname(errno));
    millis(10);
}

static void discipline(void) {
    if (open_pair() < 0) return;
    struct termios settings;
    T("get", ioctl, slave, TCGETS, &settings);
    say("ioctl", "modes", "%x %x %x %x line=%d intr=%d erase=%d kill=%d eof=%d susp=%d", settings.c_iflag, settings.c_oflag, settings.c_cflag, settings.c_lflag, settings.c_line, settings.c_cc[VINTR], settings.c_cc[VERASE], settings.c_cc[VKILL], settings.c_cc[VEOF], settings.c_cc[VSUSP]);
    type("hello");
    take("no_line", slave);
    type("\n");
    take("line", slave);
    take("echo", master);
    type("abc\177\177X\n");
    take("erase", slave);
    take("erase_echo", master);
    type("gone\025kept\n");
    take("kill", slave);
    take("kill_echo", master);
    type("word another\027\n");
    take("word", slave);
    take("word_echo", master);
    type("\004");
    take("eof", slave);
    type("part\004");
    take("eof_part", slave);
    take("eof_echo", master);
    type("quoted\026\003\n");
    take("literal", slave);
    take("literal_echo", master);
    change(ECHO, 0);
    type("silent\n");
    take("silent", slave);
    take("silent_echo", master);
    change(ICANON | ECHO | ISIG, 0);
    type("r");
    take("raw", slave);
    type("\003");
    take("raw_interrupt", slave);
    tcgetattr(slave, &settings);
    settings.c_cc[VMIN] = 0;
    settings.c_cc[VTIME] = 1;
    T("set_wait", ioctl, slave, TCSETSW, &settings);
    char buffer[16];
    T("time", read, slave, buffer, sizeof buffer);
    settings.c_cc[VMIN] = 3;
    settings.c_cc[VTIME] = 0;
    T("set_flush", ioctl, slave, TCSETSF, &settings);
    type("12");
    struct pollfd ready = {slave, POLLIN, 0};
    T("min", poll, &ready, 1, 50);
    type("3");
    T("min_there", poll, &ready, 1, 50);
    T("min_there", read, slave, buffer, sizeof buffer);
    settings.c_iflag |= ICRNL | ISTRIP | INLCR;
    settings.c_oflag &= ~OPOST;
    settings.c_cc[VMIN] = 1;
    ioctl(slave, TCSETS, &settings);
    type("\r\n\350");
    take("mapped", slave);
    if (write(slave, "a\nb", 3) < 0) return;
    take("no_post", master);
    T("efault", ioctl, slave, TCGETS, BAD);
    T("efault", ioctl, slave, TCSETS, BAD);
    int queued = -1;
    type("xyz");
    T("queued", ioctl, slave, FIONREAD, &queued);
    say("ioctl", "queued", "%d", queued);
    T("flush", ioctl, slave, TCFLSH, TCIFLUSH);
    T("flush_bad", ioctl, slave, TCFLSH, 9);
    ioctl(slave, FIONREAD, &queued);
    say("ioctl", "flushed", "%d", queued);
    T("out_queue", ioctl, slave, TIOCOUTQ, &queued);
    T("stop", ioctl, slave, TCXONC, TCOOFF);
    T("go", ioctl, slave, TCXONC, TCOON);
    T("flow_bad", ioctl, slave, TCXONC, 9);
    struct { tcflag_t c_iflag, c_oflag, c_cflag, c_lflag; cc_t c_line, c_cc[19]; speed_t in, out; } newer;
    T("two", ioctl, slave, 0x802c542a, &newer);
    say("ioctl", "two", "speed=%u %u", newer.in, newer.out);
    T("speed", ioctl, slave, 0x402c542b, &newer);
    struct { unsigned short iflag, oflag, cflag, lflag; unsigned char line, cc[8]; } old;
    T("old", ioctl, slave, TCGETA, &old);
    T("old_set", ioctl, slave, TCSETA, &old);
}

static void requests(void) {
    if (open_pair() < 0) return;
    int value = -1;
    struct winsize size = {1, 2, 3, 4};
    T("size", ioctl, slave, TIOCSWINSZ, &size);
    memset(&size, 0, sizeof size);
    T("size", ioctl, master, TIOCGWINSZ, &size);
    say("ioctl", "size", "%d %d %d %d", size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel);
    T("size_efault", ioctl, master, TIOCGWINSZ, BAD);
    T("size_set_efault", ioctl, master, TIOCSWINSZ, BAD);
    T("number_slave", ioctl, slave, TIOCGPTN, &value);
    T("number_efault", ioctl, master, TIOCGPTN, BAD);
    T("lock", ioctl, master, TIOCSPTLCK, &(int){1});
    T("lock_get", ioctl, master, 0x80045439, &value);
    say("ioctl", "locked", "%d", value);
    T("locked", open, name, O_RDWR | O_NOCTTY);
    T("unlock", ioctl, master, TIOCSPTLCK, &(int){0});
    T("packet", ioctl, master, TIOCPKT, &(int){1});
    T("packet_get", ioctl, master, 0x80045438, &value);
    say("ioctl", "packet", "%d", value);
    if (write(slave, "p", 1) < 0) return;
    take("packet", master);
    T("packet_flush", ioctl, slave, TCFLSH, TCIFLUSH);
    take("packet_control", master);
    T("packet_slave", ioctl, slave, TIOCPKT, &(int){1});
    ioctl(master, TIOCPKT, &(int){0});
    T("exclusive", ioctl, slave, TIOCEXCL, 0);
    T("exclusive_get", ioctl, slave, 0x80045440, &value);
    say("ioctl", "exclusive", "%d", value);
    long again = open(name, O_RDWR | O_NOCTTY);
    say("open", "exclusive", "%s", again < 0 ? errname(errno) : "opened");
    T("shared", ioctl, slave, TIOCNXCL, 0);
    T("inject", ioctl, slave, TIOCSTI, "x");
    T("console", ioctl, slave, TIOCCONS, 0);
    T("linux", ioctl, slave, TIOCLINUX, "\6");
    T("discipline", ioctl, slave, TIOCGETD, &value);
    say("ioctl", "discipline", "%d", value);
    T("discipline_plain", ioctl, slave, TIOCSETD, &(int){0});
    T("discipline_efault", ioctl, slave, TIOCSETD, BAD);
    T("modem", ioctl, slave, TIOCMGET, &value);
    T("break", ioctl, slave, TIOCSBRK, 0);
    T("break_end", ioctl, slave, TIOCCBRK, 0);
    T("drain", ioctl, slave, TCSBRK, 1);
    T("break_posix", ioctl, slave, TCSBRKP, 0);
    T("signal_bad", ioctl, master, 0x40045436, 99);
    T("signal_slave", ioctl, slave, 0x40045436, SIGINT);
    T("group_none", ioctl, slave, TIOCGPGRP, &value);
    T("group_set", ioctl, slave, TIOCSPGRP, &(int){getpgrp()});
    T("session_none", ioctl, slave, TIOCGSID, &value);
    T("group_master", ioctl, master, TIOCGPGRP, &value);
    say("ioctl", "group_master", "%d", value);
    T("leave", ioctl, slave, TIOCNOTTY, 0);
    T("acquire_not_leader", ioctl, slave, TIOCSCTTY, 0);
    T("peer", ioctl, slave, 0x5441, O_RDWR | O_NOCTTY);
    int peer = (int)T("peer_master", ioctl, master, 0x5441, O_RDWR | O_NOCTTY | O_CLOEXEC);
    say("fcntl", "peer", "%d", fcntl(peer, F_GETFD));
    T("nonblock", ioctl, slave, FIONBIO, &(int){1});
    T("empty", read, slave, &value, 1);
    T("seek", lseek, slave, 0, SEEK_SET);
    T("truncate", ftruncate, slave, 0);
    T("unknown", ioctl, slave, 0x54ff, &value);
    struct stat st;
    if (!fstat(slave, &st)) say("fstat", "slave", "mode=%o major=%u", st.st_mode, (unsigned)(st.st_rdev >> 8));
    if (!fstat(master, &st)) say("fstat", "master", "mode=%o rdev=%lx", st.st_mode, (unsigned long)st.st_rdev);
    T("chmod", fchmod, slave, 0600);
    if (!stat(name, &st)) say("stat", "slave", "mode=%o uid=%d", st.st_mode, (int)st.st_uid);
    T("unlink", unlink, name);
    T("mkdir", mkdir, "/dev/pts/x", 0700);
    say("open", "ptmx_pts", "%d", open("/dev/pts/ptmx", O_RDWR | O_NOCTTY) >= 0);
    say("access", "ptmx", "%d", access("/dev/ptmx", R_OK | W_OK));
}

static void hangup(void) {
    if (open_pair() < 0) return;
    char buffer[8];
    struct pollfd ready = {slave, POLLIN | POLLOUT, 0};
    close(master);
    T("read", read, slave, buffer, 1);
    T("write", write, slave, "x", 1);
    T("poll", poll, &ready, 1, 0);
    say("poll", "slave", "%#x", (unsigned)ready.revents);
    T("ioctl", ioctl, slave, TCGETS, buffer);
    T("size", ioctl, slave, TIOCGWINSZ, buffer);
    T("reopen", open, name, O_RDWR | O_NOCTTY);
    if (open_pair() < 0) return;
    if (write(slave, "last", 4) < 0) return;
    close(slave);
    T("left", read, master, buffer, 8);
    T("ended", read, master, buffer, 8);
    ready.fd = master;
    T("poll_master", poll, &ready, 1, 0);
    say("poll", "master", "%#x", (unsigned)ready.revents);
    int again = open(name, O_RDWR | O_NOCTTY);
    say("open", "again", "%d", again >= 0);
    fcntl(master, F_SETFL, O_NONBLOCK);
    T("alive", read, master, buffer, 8);
}

static volatile sig_atomic_t got[65];

static void on_signal(int signal) { got[signal] = 1; }

/* Run as leader of a session whose terminal is the slave. */
static void as_leader(void (*body)(void)) {
    pid_t child = fork();
    if (child == 0) {
        setsid();
        ioctl(slave, TIOCSCTTY, 0);
        signal(SIGTTOU, SIG_IGN);
        body();
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    if (status) say("exit", "leader", "%s", ended(status));
}

static pid_t background(void (*body)(void)) {
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        body();
        _exit(0);
    }
    setpgid(child, child);
    return child;
}

static void reads(void) { if (read(slave, &(char){0}, 1) < 0) _exit(errno); }
static void writes(void) { if (write(slave, "w", 1) < 0) _exit(errno); }
static void reads_ignoring(void) {
    signal(SIGTTIN, SIG_IGN);
    reads();
}
static void sets(void) {
    signal(SIGTTOU, SIG_DFL);
    struct termios settings;
    tcgetattr(slave, &settings);
    if (tcsetattr(slave, TCSANOW, &settings)) _exit(errno);
}
static void sleeps(void) { for (;;) pause(); }

static void ended_how(const char *tag, pid_t child) {
    int status = 0;
    waitpid(child, &status, WUNTRACED);
    say("wait4", tag, "%s", ended(status));
    if (WIFSTOPPED(status)) {
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
    }
}

static void jobs(void) {
    int value = 0;
    T("foreground", ioctl, slave, TIOCGPGRP, &value);
    say("ioctl", "foreground", "own=%d", value == getpid());
    ended_how("background_read", background(reads));
    ended_how("background_write", background(writes));
    struct termios settings;
    tcgetattr(slave, &settings);
    settings.c_lflag |= TOSTOP;
    tcsetattr(slave, TCSANOW, &settings);
    signal(SIGTTOU, SIG_DFL);
    ended_how("background_tostop", background(writes));
    ended_how("background_set", background(sets));
    ended_how("background_ignoring", background(reads_ignoring));
    signal(SIGTTOU, SIG_IGN);
    pid_t child = background(sleeps);
    T("give", ioctl, slave, TIOCSPGRP, &child);
    ioctl(slave, TIOCGPGRP, &value);
    say("ioctl", "give", "child=%d", value == child);
    ioctl(master, TIOCGPGRP, &value);
    say("ioctl", "give_master", "child=%d", value == child);
    type("\032");
    int status = 0;
    waitpid(child, &status, WUNTRACED);
    say("wait4", "suspend", "%s", ended(status));
    kill(child, SIGCONT);
    waitpid(child, &status, WCONTINUED);
    say("wait4", "continue", "%s", ended(status));
    type("\034");
    waitpid(child, &status, 0);
    say("wait4", "quit", "%s", WIFSIGNALED(status) && WTERMSIG(status) == SIGQUIT ? "SIGQUIT" : ended(status));
    T("take_back", ioctl, slave, TIOCSPGRP, &(int){getpid()});
    T("give_nobody", ioctl, slave, TIOCSPGRP, &(int){99999});
    T("give_negative", ioctl, slave, TIOCSPGRP, &(int){-1});
    T("give_efault", ioctl, slave, TIOCSPGRP, BAD);
    T("session", ioctl, slave, TIOCGSID, &value);
    say("ioctl", "session", "own=%d", value == getpid());
    signal(SIGWINCH, on_signal);
    struct winsize size = {30, 90, 0, 0};
    ioctl(master, TIOCSWINSZ, &size);
    millis(20);
    say("ioctl", "winch", "%d", got[SIGWINCH]);
    got[SIGWINCH] = 0;
    ioctl(master, TIOCSWINSZ, &size);
    millis(20);
    say("ioctl", "winch_same", "%d", got[SIGWINCH]);
    signal(SIGINT, on_signal);
    T("sig", ioctl, master, 0x40045436, SIGINT);
    millis(20);
    say("ioctl", "sig", "%d", got[SIGINT]);
    signal(SIGHUP, on_signal);
    signal(SIGCONT, on_signal);
    T("leave", ioctl, slave, TIOCNOTTY, 0);
    millis(20);
    say("ioctl", "leave", "hup=%d cont=%d", got[SIGHUP], got[SIGCONT]);
    T("left", open, "/dev/tty", O_RDWR);
    T("again", ioctl, slave, TIOCSCTTY, 0);
    say("open", "again", "%d", open("/dev/tty", O_RDWR) >= 0);
}

static void stolen(void) {
    pid_t child = fork();
    if (child == 0) {
        setsid();
        T("taken", ioctl, slave, TIOCSCTTY, 0);
        T("steal", ioctl, slave, TIOCSCTTY, 1);
        T("no_terminal", open, "/dev/tty", O_RDWR);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void master_closes(void) {
    signal(SIGHUP, on_signal);
    signal(SIGCONT, on_signal);
    close(master);
    millis(30);
    say("close", "leader", "hup=%d cont=%d", got[SIGHUP], got[SIGCONT]);
    char byte;
    T("gone", read, slave, &byte, 1);
    T("gone", write, slave, &byte, 1);
    T("tty_gone", open, "/dev/tty", O_RDWR);
}

static void control(void) {
    if (open_pair() < 0) return;
    as_leader(jobs);
    if (open_pair() < 0) return;
    as_leader(stolen);
    if (open_pair() < 0) return;
    pid_t child = fork();
    if (child == 0) {
        setsid();
        ioctl(slave, TIOCSCTTY, 0);
        /* Orphaned: the parent of the group is in another session. */
        if (fork() == 0) {
            setpgid(0, 0);
            millis(30);
            T("orphan", read, slave, &(char){0}, 1);
            _exit(0);
        }
        _exit(0);
    }
    waitpid(child, NULL, 0);
    millis(80);
    if (open_pair() < 0) return;
    int keep = master;
    child = fork();
    if (child == 0) {
        setsid();
        ioctl(slave, TIOCSCTTY, 0);
        master = keep;
        master_closes();
        _exit(0);
    }
    close(keep);
    waitpid(child, NULL, 0);
}

/* The other side, opened by TIOCGPTPEER as open(2) would, becomes the controlling terminal of a leader without one. */
static void peer(void) {
    master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) || unlockpt(master)) return;
    pid_t child = fork();
    if (child == 0) {
        setsid();
        TOK("peer_noctty", ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
        T("peer_noctty", open, "/dev/tty", O_RDWR);
        slave = (int)TOK("peer", ioctl, master, TIOCGPTPEER, O_RDWR);
        TOK("peer", open, "/dev/tty", O_RDWR);
        say("ioctl", "peer_session", "%d", tcgetsid(slave) == getpid());
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

FAMILY(tty) {
    SECTION(peer);
    SECTION(discipline);
    SECTION(requests);
    SECTION(hangup);
    SECTION(control);
}
