/* Namespaces that a guest with CAP_SYS_ADMIN makes by clone(2) and enters by setns(2), and what tells them apart. */
#include "guest.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/un.h>
#include <sys/utsname.h>

static const char *const kinds[] = {"mnt", "uts", "ipc", "pid", "cgroup", "net", "user", "time"};

/* The number of a namespace of `pid`. */
static ino_t number(pid_t pid, const char *kind) {
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, kind);
    return stat(path, &st) ? 0 : st.st_ino;
}

/* As `number`, by the text of the link. */
static ino_t linked(pid_t pid, const char *kind) {
    char path[64], text[64] = "";
    snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, kind);
    if (readlink(path, text, sizeof text - 1) < 0) return 0;
    const char *at = strchr(text, '[');
    return at && !strncmp(text, kind, strlen(kind)) ? strtoul(at + 1, NULL, 10) : 0;
}

static int file_of(pid_t pid, const char *kind) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, kind);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static const char *host(void) {
    static struct utsname name;
    uname(&name);
    return name.nodename;
}

/* Which namespaces of `pid` are not the caller's. */
static void compare(const char *tag, pid_t pid) {
    char other[64] = "", unsound[64] = "";
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        ino_t theirs = number(pid, kinds[i]);
        if (theirs == 0 || theirs != linked(pid, kinds[i])) strcat(strcat(unsound, " "), kinds[i]);
        if (theirs != number(getpid(), kinds[i])) strcat(strcat(other, " "), kinds[i]);
    }
    say("stat", tag, "unsound=%s other=%s", unsound, other);
}

/* Waits for a byte, and ends when the other side is gone. */
static int go[2], ready[2];

static void pipes(void) {
    if (pipe(go) || pipe(ready)) say("pipe", "failed", "%s", errname(errno));
}

static void tell(void) {
    char byte = 'x';
    if (write(ready[1], &byte, 1) != 1) _exit(1);
}

static void await(int *ends) {
    char byte;
    if (read(ends[0], &byte, 1) != 1) say("read", "await", "ended");
}

static void let_go(pid_t child) {
    int status;
    if (write(go[1], "x", 1) != 1) say("write", "let_go", "%s", errname(errno));
    waitpid(child, &status, 0);
    say("clone", "child_ended", "%s", ended(status));
}

/* A child by clone(2) in namespaces of its own, which has a mount and a name there. */
static pid_t apart(int flags) {
    pipes();
    pid_t child = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if (child < 0) say("clone", "apart", "%s", errname(errno));
    if (child != 0) {
        if (child > 0) await(ready);
        return child;
    }
    close(go[1]);
    if (flags & CLONE_NEWNS) {
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
        T("apart", mount, "t", "/mnt", "tmpfs", 0, NULL);
        put("/mnt/inside", "x");
    }
    if (flags & CLONE_NEWUTS) T("apart", sethostname, "apart", 5);
    tell();
    char byte;
    _exit(read(go[0], &byte, 1) == 1 ? 0 : 1);
}

static void by_clone(void) {
    char before[65];
    strcpy(before, host());
    pid_t child = apart(CLONE_NEWNS);
    compare("clone_mounts", child);
    T("not_here", access, "/mnt/inside", F_OK);
    let_go(child);
    child = apart(CLONE_NEWUTS);
    compare("clone_names", child);
    say("uname", "same_here", "%d", !strcmp(before, host()));
    let_go(child);
    child = apart(CLONE_NEWNS | CLONE_NEWUTS);
    compare("clone_both", child);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/root/mnt/inside", child);
    T("by_root", access, path, F_OK);
    let_go(child);
    pipes();
    child = fork();
    if (child == 0) {
        close(go[1]);
        await(go);
        _exit(0);
    }
    compare("fork", child);
    let_go(child);
    T("with_fs", clone, CLONE_NEWNS | CLONE_FS | SIGCHLD, 0, 0, 0, 0);
}

static int runs(void *text) {
    say("clone", text, "%s", host());
    _exit(sethostname("runs", 4) ? 1 : 0);
}

/* With a stack, and by vfork(2)'s flags. */
static void other_ways(void) {
    static char stack[65536] __attribute__((aligned(16)));
    int status;
    pid_t child = clone(runs, stack + sizeof stack, CLONE_NEWUTS | SIGCHLD, "stack");
    waitpid(child, &status, 0);
    say("clone", "stack_ended", "%s", ended(status));
    child = clone(runs, stack + sizeof stack, CLONE_NEWUTS | CLONE_VM | CLONE_VFORK | SIGCHLD, "vfork");
    waitpid(child, &status, 0);
    say("clone", "vfork_ended", "%s", ended(status));
    say("uname", "unchanged", "%d", strcmp(host(), "runs") != 0);
    child = fork();
    if (child == 0) _exit(sethostname("shared", 6) ? 1 : 0);
    waitpid(child, &status, 0);
    say("uname", "fork_shares", "%s", host());
    /* Registers are as a system call leaves them. */
    long flags = CLONE_NEWUTS | SIGCHLD, result = SYS_clone;
    __asm__ volatile("syscall" : "+a"(result), "+D"(flags) : "S"(0), "d"(0) : "rcx", "r11", "memory");
    if (result == 0) _exit(flags == (CLONE_NEWUTS | SIGCHLD) ? 0 : 1);
    waitpid(result, &status, 0);
    say("clone", "registers", "%d %s", flags == (CLONE_NEWUTS | SIGCHLD), ended(status));
}

static void enter(int file, int flags) {
    T("enter", setns, file, flags);
    T("entered", access, "/mnt/inside", F_OK);
    char cwd[64] = "";
    say("getcwd", "entered", "%s", getcwd(cwd, sizeof cwd));
    say("uname", "entered", "%s", host());
}

static void by_file(void) {
    int own[2] = {file_of(getpid(), "mnt"), file_of(getpid(), "uts")};
    pid_t child = apart(CLONE_NEWNS | CLONE_NEWUTS);
    int mounts = file_of(child, "mnt"), names = file_of(child, "uts");
    T("other_kind", setns, mounts, CLONE_NEWUTS);
    T("flags", setns, names, CLONE_NEWUTS | CLONE_NEWNS);
    chdir("/work");
    enter(mounts, CLONE_NEWNS);
    enter(names, 0);
    compare("same_now", child);
    T("by_other", mount, "t", "/work", "tmpfs", 0, NULL);
    put("/work/by_other", "x");
    T("made_there", access, "/work/by_other", F_OK);
    T("away", umount2, "/work", 0);
    T("back", setns, own[0], CLONE_NEWNS);
    T("back_mounts", access, "/mnt/inside", F_OK);
    T("back_names", setns, own[1], CLONE_NEWUTS);
    say("uname", "back", "%d", strcmp(host(), "apart"));
    compare("own_again", child);
    let_go(child);
    /* What is open outlives the processes. */
    enter(mounts, 0);
    enter(names, 0);
    T("again", setns, names, CLONE_NEWUTS);
}

/* Kept by a mount alone, as `unshare --uts=FILE` has it. */
static void by_mount(void) {
    pid_t child = apart(CLONE_NEWUTS);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/uts", child);
    T("file", mount, path, "/work/target-of-uts", NULL, MS_BIND, NULL);
    put("/work/target-of-uts", "");
    T("file", mount, path, "/work/target-of-uts", NULL, MS_BIND, NULL);
    let_go(child);
    struct statfs fs;
    statfs("/work/target-of-uts", &fs);
    say("statfs", "file", "%lx", (long)fs.f_type);
    T("mounted", setns, open("/work/target-of-uts", O_RDONLY), CLONE_NEWUTS);
    say("uname", "mounted", "%s", host());
    T("file", umount2, "/work/target-of-uts", MNT_DETACH);
}

static void by_pidfd(void) {
    pid_t child = apart(CLONE_NEWNS | CLONE_NEWUTS);
    int pidfd = syscall(SYS_pidfd_open, child, 0);
    T("pidfd_nothing", setns, pidfd, 0);
    T("pidfd_bad", setns, pidfd, 1);
    T("pidfd_user", setns, pidfd, CLONE_NEWNS | CLONE_NEWUSER);
    T("pidfd_all_or_none", access, "/mnt/inside", F_OK);
    enter(pidfd, CLONE_NEWNS | CLONE_NEWUTS);
    compare("pidfd", child);
    T("pidfd_shared", setns, pidfd, CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWCGROUP);
    let_go(child);
    T("pidfd_gone", setns, pidfd, CLONE_NEWNS);
}

static void own_ones(void) {
    static const int bits[] = {CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWCGROUP, CLONE_NEWNET, CLONE_NEWUSER};
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) T(kinds[i], setns, file_of(getpid(), kinds[i]), bits[i]);
    T("no_file", setns, open("/work/file", O_RDONLY), 0);
    T("directory", setns, open("/proc/self/ns", O_RDONLY), 0);
}

/* Whether lo is up for this socket: in the pod's network it is, in a new one it is not. */
static void lo_of(const char *tag, int fd) {
    struct ifreq request = {.ifr_name = "lo"};
    int failed = ioctl(fd, SIOCGIFFLAGS, &request);
    say("ioctl", tag, "%s up=%d", errname(failed ? errno : 0), !!(request.ifr_flags & IFF_UP));
}

static int inet(void) {
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* A name that one network has once. */
static int named(void) {
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0spaces"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return bind(fd, (void *)&name, sizeof(sa_family_t) + 7) ? -errno : fd;
}

static void lists(const char *tag) {
    struct if_nameindex *all = if_nameindex();
    char names[256] = "";
    for (struct if_nameindex *one = all; one && one->if_name; one++) strcat(strcat(names, " "), one->if_name);
    if_freenameindex(all);
    say("socket", tag, "links%s", names);
    struct ifaddrs *addresses = NULL;
    int count = 0;
    if (getifaddrs(&addresses) == 0)
        for (struct ifaddrs *one = addresses; one; one = one->ifa_next) count += one->ifa_addr && one->ifa_addr->sa_family == AF_INET;
    say("socket", tag, "addresses=%d", count);
    const char *content = get("/proc/self/net/dev");
    say("read", tag, "lo=%d others=%d", strstr(content, "lo:") != NULL, strstr(content, "eth0:") != NULL);
    /* Sockets that listen, by the port. */
    say("read", tag, "tcp=%d", strstr(get("/proc/net/tcp"), ":1B59 00000000:0000 0A") != NULL);
}

static void connect_to(const char *tag, int port) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    T(tag, connect, inet(), &name, sizeof name);
}

static int listener(int port) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = inet();
    T("listener", bind, fd, &name, sizeof name);
    T("listener", listen, fd, 4);
    return fd;
}

static void network(void) {
    int before = inet(), own = file_of(getpid(), "net"), outer = named();
    say("bind", "named", "%d", outer >= 0);
    say("bind", "named_twice", "%s", errname(-named()));
    int old = listener(7001);
    connect_to("old", 7001);
    lists("old");
    T("network", unshare, CLONE_NEWNET);
    lists("new");
    lo_of("before", before);
    lo_of("after", inet());
    connect_to("down", 7001);
    int inner = named();
    say("bind", "named_inside", "%d", inner >= 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    T("up", ioctl, inet(), SIOCSIFFLAGS, &request);
    connect_to("not_listening", 7001);
    int new = listener(7001);
    connect_to("new", 7001);
    lists("up");
    int status, net = file_of(getpid(), "net");
    pid_t child = fork();
    if (child == 0) {
        lo_of("child", inet());
        connect_to("child", 7001);
        _exit(0);
    }
    waitpid(child, &status, 0);
    close(new);
    T("home", setns, own, CLONE_NEWNET);
    lists("home");
    connect_to("home", 7001);
    close(old);
    T("there", setns, net, 0);
    connect_to("closed", 7001);
    T("both", unshare, CLONE_NEWNET | CLONE_NEWUTS);
    lo_of("both", inet());
}

static void network_by_clone(void) {
    pid_t child = apart(CLONE_NEWNET);
    compare("clone_network", child);
    lo_of("here", inet());
    int pidfd = syscall(SYS_pidfd_open, child, 0);
    T("network_pidfd", setns, pidfd, CLONE_NEWNET);
    lo_of("there", inet());
    compare("network_entered", child);
    let_go(child);
    lo_of("kept", inet());
    int failed = 0, error = 0;
    for (int i = 0; i < 100 && !failed; i++) {
        child = fork();
        if (child == 0) _exit(unshare(CLONE_NEWNET) ? errno : 0);
        int status = 0;
        waitpid(child, &status, 0);
        failed |= status != 0;
        error = WEXITSTATUS(status);
    }
    say("unshare", "many_networks", "%d %s", failed, errname(error));
    say("execve", "network_programs", "%s", ended(system("unshare -n sh -c 'echo spaces::unshare.program $(grep -c : /proc/net/dev)'")));
}

static void *thread(void *unused) {
    pause();
    return unused;
}

static void threaded(void) {
    pthread_t other;
    pthread_create(&other, NULL, thread, NULL);
    T("threaded", setns, file_of(getpid(), "mnt"), CLONE_NEWNS);
    T("threaded_names", setns, file_of(getpid(), "uts"), CLONE_NEWUTS);
}

static void polled(const char *tag, int fd, int ms) {
    struct pollfd one = {.fd = fd, .events = POLLPRI};
    int count = poll(&one, 1, ms);
    say("poll", tag, "%d pri=%d err=%d", count, !!(one.revents & POLLPRI), !!(one.revents & POLLERR));
}

/* News of mounts, of the namespace that a file lists. */
static void news(void) {
    int info = open("/proc/self/mountinfo", O_RDONLY), list = open("/proc/self/mounts", O_RDONLY), status;
    struct pollfd all = {.fd = info, .events = POLLIN | POLLOUT | POLLPRI};
    poll(&all, 1, 0);
    say("poll", "readable", "%x", all.revents);
    all.fd = open("/proc/self/stat", O_RDONLY);
    poll(&all, 1, 0);
    say("poll", "others", "%x", all.revents);
    polled("none", info, 0);
    mount("t", "/mnt", "tmpfs", 0, NULL);
    polled("mounted", info, 0);
    polled("once", info, 0);
    polled("other_file", list, 0);
    polled("other_file_once", list, 0);
    pid_t child = fork();
    if (child == 0) {
        millis(100);
        _exit(umount2("/mnt", 0) ? errno : 0);
    }
    polled("waited", info, 10000);
    waitpid(child, &status, 0);
    say("umount2", "waited", "%s", ended(status));
    polled("waited_once", info, 0);
    polled("late", list, 0);
    int set = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLPRI | EPOLLERR};
    epoll_ctl(set, EPOLL_CTL_ADD, info, &event);
    say("epoll_wait", "none", "%d", epoll_wait(set, &event, 1, 0));
    child = fork();
    if (child == 0) {
        millis(100);
        _exit(mount("t", "/mnt", "tmpfs", 0, NULL) ? errno : 0);
    }
    int count = epoll_wait(set, &event, 1, 10000);
    say("epoll_wait", "news", "%d pri=%d", count, !!(event.events & EPOLLPRI));
    waitpid(child, &status, 0);
    polled("elsewhere_before", list, 0);
    child = apart(CLONE_NEWNS);
    polled("elsewhere", list, 0);
    let_go(child);
    umount2("/mnt", 0);
    T("failed", umount2, "/mnt/none", 0);
    polled("unmounted", list, 0);
    polled("failed", list, 0);
}

/* Those that come later are in the namespaces of their makers, and programs of others make and find them. */
static void programs(void) {
    pid_t child = apart(CLONE_NEWNS | CLONE_NEWUTS);
    char script[512];
    snprintf(script, sizeof script,
             "nsenter -t %d -m -u sh -c 'echo spaces::setns.nsenter $(hostname) $(ls /mnt)';"
             "unshare -m sh -c 'mount -t tmpfs t /mnt && echo spaces::unshare.program $(ls /mnt | wc -l)';"
             "unshare -u sh -c 'hostname other && echo spaces::unshare.program $(hostname)'",
             child);
    say("execve", "programs", "%s", ended(system(script)));
    let_go(child);
}

static void unprivileged(void) {
    if (getuid() == 0 && setresuid(1000, 1000, 1000)) return;
    T("user_mounts", clone, CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0);
    T("user_network", unshare, CLONE_NEWNET);
    T("user_names", clone, CLONE_NEWUTS | SIGCHLD, 0, 0, 0, 0);
    T("user_fs", clone, CLONE_NEWNS | CLONE_FS | SIGCHLD, 0, 0, 0, 0);
    T("user_own", setns, file_of(getpid(), "uts"), 0);
    T("user_thread", clone, CLONE_NEWUTS | CLONE_THREAD | SIGCHLD, 0, 0, 0, 0);
}

/* Namespaces go with their processes, also with those that never make a call. */
static void many(void) {
    int failed = 0, error = 0;
    for (int i = 0; i < 300 && !failed; i++) {
        pid_t child = syscall(SYS_clone, CLONE_NEWNS | CLONE_NEWUTS | SIGCHLD, 0, 0, 0, 0);
        if (child == 0) {
            if (i % 4 == 3) for (;;) ;
            _exit(access("/", F_OK));
        }
        failed = child < 0;
        error = errno;
        if (failed) break;
        if (i % 4 == 3) kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    say("clone", "many", "%d %s", failed, failed ? errname(error) : "");
}

static pthread_barrier_t step;

static int interfaces(void) {
    struct if_nameindex *list = if_nameindex();
    int count = 0;
    for (; list && list[count].if_index; count++) {}
    if_freenameindex(list);
    return count;
}

/* What the calling thread sees of its own namespaces, beside those of the first thread. */
static void seen(const char *tag) {
    char other[64] = "", path[64], text[64];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct stat st;
        snprintf(path, sizeof path, "/proc/thread-self/ns/%s", kinds[i]);
        ssize_t length = readlink(path, text, sizeof text - 1);
        text[length < 0 ? 0 : length] = 0;
        const char *at = strchr(text, '[');
        ino_t own = stat(path, &st) ? 0 : st.st_ino;
        if (!at || own != strtoul(at + 1, NULL, 10)) strcat(other, " unsound:");
        if (own != number(getpid(), kinds[i])) strcat(strcat(other, " "), kinds[i]);
    }
    say("stat", tag, "%s interfaces=%d other=%s", host(), interfaces(), other);
}

static void *parted(void *unused) {
    (void)unused;
    T("thread", unshare, CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWNS);
    sethostname("parted", 6);
    seen("parted");
    pthread_barrier_wait(&step);
    pthread_barrier_wait(&step);
    pid_t child = fork();
    if (child == 0) {
        say("uname", "of_parted", "%s interfaces=%d", host(), interfaces());
        execl("/bin/sh", "sh", "-c", "test $(uname -n) = parted && exit 9", NULL);
        _exit(1);
    }
    int status;
    waitpid(child, &status, 0);
    say("execve", "of_parted", "%s", ended(status));
    int fd = file_of(getpid(), "uts");
    T("back", setns, fd, CLONE_NEWUTS);
    close(fd);
    fd = file_of(getpid(), "net");
    T("back_net", setns, fd, CLONE_NEWNET);
    close(fd);
    seen("back");
    return NULL;
}

/* Namespaces are a thread's. */
static void by_thread(void) {
    pthread_t thread;
    pthread_barrier_init(&step, NULL, 2);
    sethostname("whole", 5);
    pthread_create(&thread, NULL, parted, NULL);
    pthread_barrier_wait(&step);
    seen("main");
    pthread_barrier_wait(&step);
    pthread_join(thread, NULL);
    seen("main_after");
}

FAMILY(spaces) {
    if (getuid() == 0) {
        SECTION(by_thread);
        SECTION(by_clone);
        SECTION(other_ways);
        SECTION(by_file);
        SECTION(by_mount);
        SECTION(by_pidfd);
        SECTION(own_ones);
        SECTION(network);
        SECTION(network_by_clone);
        SECTION(threaded);
        SECTION(news);
        SECTION(programs);
        SECTION(many);
    }
    SECTION(unprivileged);
}
