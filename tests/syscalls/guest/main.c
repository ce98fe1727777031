/* syscall-guest FAMILY: runs the checks of one family and prints one line per system call. */
#include "guest.h"

#include <time.h>

const char *family = "";

#define FAMILIES(F)                                                                              \
    F(open) F(stat) F(directory) F(attributes) F(xattr) F(cwd) F(mount) F(cred) F(capability)    \
    F(limits) F(process) F(exec) F(signal) F(socket) F(ioctl) F(system) F(prctl) F(notify)       \
    F(namespace) F(io) F(memory) F(time) F(thread) F(ipc) F(terminal) F(poll) F(splice) F(refused)         \
    F(hostile) F(unix) F(netlink) F(sysv) F(inet)                                                 \
    F(interrupt) F(timers) F(futex) F(tty) F(procfs) F(probe)                                     \
    F(files) F(permission) F(locks) F(memfd) F(authority) F(children) F(image) F(foreign) F(ptrace) F(mounting) F(aio) F(interface) F(walk) F(spaces) F(storm) F(traced) F(held) F(held_first)
#define DECLARE(name) void family_##name(void);
FAMILIES(DECLARE)
#define ROW(name) {#name, family_##name},
static const struct {
    const char *name;
    void (*run)(void);
} families[] = {FAMILIES(ROW)};

/* One write per line: children share the descriptor and no buffer may be flushed twice. */
static void line(const char *text, size_t length) {
    while (length > 0) {
        ssize_t n = write(1, text, length);
        if (n <= 0) return;
        text += n;
        length -= (size_t)n;
    }
}

const char *errname(int error) {
    if (error == 0) return "-";
    const char *name = strerrorname_np(error);
    static char number[16];
    if (name) return name;
    snprintf(number, sizeof number, "E%d", error);
    return number;
}

long report(const char *call, const char *tag, long ret, int error, int plain) {
    char text[512];
    int n;
    if (ret < 0 && ret >= -4095)
        n = snprintf(text, sizeof text, "%s::%s.%s ret=%ld errno=%s\n", family, call, tag, ret, errname(error));
    else if (plain)
        n = snprintf(text, sizeof text, "%s::%s.%s ret=%ld\n", family, call, tag, ret);
    else
        n = snprintf(text, sizeof text, "%s::%s.%s ret=ok\n", family, call, tag);
    line(text, (size_t)n);
    return ret;
}

void say(const char *call, const char *tag, const char *format, ...) {
    char text[8192];
    int n = snprintf(text, sizeof text, "%s::%s.%s ", family, call, tag);
    va_list list;
    va_start(list, format);
    n += vsnprintf(text + n, sizeof text - (size_t)n - 1, format, list);
    va_end(list);
    if (n > (int)sizeof text - 2) n = (int)sizeof text - 2;
    text[n++] = '\n';
    line(text, (size_t)n);
}

const char *ended(int status) {
    static char text[64];
    if (WIFEXITED(status)) snprintf(text, sizeof text, "exited %d", WEXITSTATUS(status));
    else if (WIFSIGNALED(status)) snprintf(text, sizeof text, "killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
    else if (WIFSTOPPED(status)) snprintf(text, sizeof text, "stopped by SIG%s", sigabbrev_np(WSTOPSIG(status)));
    else if (WIFCONTINUED(status)) snprintf(text, sizeof text, "continued");
    else snprintf(text, sizeof text, "status %#x", (unsigned)status);
    return text;
}

int in_child(void (*body)(void)) {
    pid_t child = fork();
    if (child < 0) return -1;
    if (child == 0) {
        body();
        _exit(0);
    }
    int status = -1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return status;
}

/* The deadline is the parent's, so that a child that blocks its signals is found too. */
void section(const char *name, void (*body)(void)) {
    pid_t child = fork();
    if (child < 0) {
        say(name, "section", "fork failed: %s", errname(errno));
        return;
    }
    if (child == 0) {
        body();
        _exit(0);
    }
    int status = 0;
    for (int tick = 0; tick < 6000; tick++) {
        pid_t done = waitpid(child, &status, WNOHANG);
        if (done == child) {
            if (status != 0) say(name, "section", "%s", ended(status));
            return;
        }
        if (done < 0 && errno != EINTR) {
            say(name, "section", "lost: %s", errname(errno));
            return;
        }
        millis(tick < 50 ? 2 : 10);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    say(name, "section", "hung and was killed");
}

void put(const char *path, const char *content) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0) return;
    line("", 0);
    if (write(fd, content, strlen(content)) < 0) say("put", path, "failed: %s", errname(errno));
    close(fd);
}

const char *get(const char *path) {
    static char shown[8192];
    char raw[4096];
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        snprintf(shown, sizeof shown, "!%s", errname(errno));
        return shown;
    }
    ssize_t n = read(fd, raw, sizeof raw - 1);
    close(fd);
    if (n < 0) {
        snprintf(shown, sizeof shown, "!%s", errname(errno));
        return shown;
    }
    char *out = shown;
    for (ssize_t i = 0; i < n; i++) {
        if (raw[i] == '\n') { *out++ = '\\'; *out++ = 'n'; }
        else if (raw[i] == 0) { *out++ = '\\'; *out++ = '0'; }
        else *out++ = raw[i];
    }
    *out = 0;
    return shown;
}

void millis(int ms) {
    struct timespec t = {ms / 1000, (ms % 1000) * 1000000L};
    while (nanosleep(&t, &t) < 0 && errno == EINTR) {}
}

const char *endless_path(void) {
    static char path[PATH_MAX + 64];
    memset(path, '/', sizeof path - 1);
    for (size_t i = 1; i < sizeof path - 1; i += 2) path[i] = 'a';
    return path;
}

const char *unterminated(void) {
    static char *page;
    if (!page) {
        page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(page, 'x', 4096);
        munmap(page + 4096, 4096);
    }
    return page + 4096 - 16;
}

int main(int argc, char **argv, char **envp) {
    (void)envp;
    if (argc > 2 && !strcmp(argv[1], "--exec")) {
        extern int exec_report(int argc, char **argv, char **envp);
        return exec_report(argc, argv, envp);
    }
    if (argc > 2 && !strcmp(argv[1], "--authority")) {
        extern int authority_report(const char *tag);
        return authority_report(argv[2]);
    }
    if (argc < 2) {
        for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
            line(families[i].name, strlen(families[i].name));
            line("\n", 1);
        }
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        if (strcmp(families[i].name, argv[1])) continue;
        family = families[i].name;
        /* Not as pid 1, which Linux treats specially in signals and orphans. */
        if (getpid() == 1) {
            pid_t child = fork();
            if (child != 0) {
                int status;
                pid_t done;
                while ((done = wait(&status)) != child && (done > 0 || errno == EINTR)) {}
                say("end", "family", "%s", ended(status));
                return 0;
            }
        }
        families[i].run();
        return 0;
    }
    return 2;
}
