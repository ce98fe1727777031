/* /proc and /sys: which files there are, what is in them, who may read them. Values that differ between machines
 * and runs are reduced to their form. */
#include "guest.h"

#include <ctype.h>
#include <dirent.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* How a whole text looks: its lines, the fields of the first one, whether it ends in a newline. */
static void form(const char *tag, const char *path) {
    static char text[1 << 16];
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        say("open", tag, "%s", errname(errno));
        return;
    }
    ssize_t n, all = 0;
    while ((n = read(fd, text + all, sizeof text - 1 - (size_t)all)) > 0) all += n;
    int error = n < 0 ? errno : 0;
    close(fd);
    text[all] = 0;
    int fields = 0, inside = 0;
    for (char *c = text; *c && *c != '\n'; c++) {
        if (!isspace((unsigned char)*c) && !inside) fields++;
        inside = !isspace((unsigned char)*c);
    }
    say("read", tag, "%s some=%d fields=%d newline=%d", errname(error), all > 0, fields, all > 0 && text[all - 1] == '\n');
}

/* The names at the start of all lines, in order. */
static void keys(const char *tag, const char *path) {
    FILE *file = fopen(path, "r");
    char line[4096], list[6000] = {0};
    if (!file) {
        say("read", tag, "%s", errname(errno));
        return;
    }
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, " :\t\n")] = 0;
        if (isdigit((unsigned char)*line)) continue;
        if (strlen(list) + strlen(line) + 2 < sizeof list) {
            strcat(list, line);
            strcat(list, " ");
        }
    }
    fclose(file);
    say("read", tag, "%s", list);
}

static void line_of(const char *tag, const char *path, const char *key) {
    FILE *file = fopen(path, "r");
    char line[4096];
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, key, strlen(key))) {
            line[strcspn(line, "\n")] = 0;
            for (char *c = line; *c; c++) if (*c == '\t') *c = ' ';
            say("read", tag, "%s", line);
        }
    if (file) fclose(file);
}

static void own(void) {
    static const char *const files[] = {"auxv", "cgroup", "cmdline", "comm", "coredump_filter", "environ", "io", "limits", "loginuid", "maps", "mem", "mountinfo", "mounts", "mountstats", "numa_maps", "oom_adj", "oom_score", "oom_score_adj", "personality", "sched", "schedstat", "sessionid", "setgroups", "gid_map", "uid_map", "smaps", "smaps_rollup", "stack", "stat", "statm", "status", "syscall", "timers", "timerslack_ns", "wchan", "exe", "cpuset", "attr/current", "net/tcp", "net/udp", "net/unix", "net/dev", "net/route", "net/if_inet6", "net/tcp6", "net/raw", "net/snmp", "net/netstat", "net/sockstat", "net/arp", "net/netlink", "net/packet", "net/protocols", "net/dev_mcast", "net/igmp", "net/fib_trie"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[128];
        snprintf(path, sizeof path, "/proc/self/%s", files[i]);
        if (!strcmp(files[i], "mem") || !strcmp(files[i], "exe") || !strncmp(files[i], "attr", 4)) {
            int fd = open(path, O_RDONLY);
            if (strncmp(files[i], "attr", 4)) say("open", files[i], "%d", fd >= 0);
            if (fd >= 0) close(fd);
            continue;
        }
        form(files[i], path);
        struct stat st;
        if (!stat(path, &st)) say("stat", files[i], "mode=%o own=%d size=%ld", st.st_mode, st.st_uid == geteuid(), (long)st.st_size);
    }
    keys("status", "/proc/self/status");
    keys("limits", "/proc/self/limits");
    keys("io", "/proc/self/io");
    keys("smaps_rollup", "/proc/self/smaps_rollup");
    line_of("uid", "/proc/self/status", "Uid:");
    line_of("gid", "/proc/self/status", "Gid:");
    line_of("groups", "/proc/self/status", "Groups:");
    line_of("threads", "/proc/self/status", "Threads:");
    line_of("umask", "/proc/self/status", "Umask:");
    line_of("state", "/proc/self/status", "State:");
    line_of("tracer", "/proc/self/status", "TracerPid:");
    line_of("cap_effective", "/proc/self/status", "CapEff:");
    line_of("cap_bounding", "/proc/self/status", "CapBnd:");
    line_of("ignored", "/proc/self/status", "SigIgn:");
    line_of("files", "/proc/self/limits", "Max open files");
    say("read", "personality", "%s", get("/proc/self/personality"));
    say("read", "oom", "%s %s", get("/proc/self/oom_score_adj"), "");
    say("read", "comm", "%s", get("/proc/self/comm"));
    say("read", "cmdline", "%s", get("/proc/self/cmdline"));
    say("read", "setgroups", "%s", get("/proc/self/setgroups"));
    static const char *const links[] = {"exe", "cwd", "root", "ns/pid", "ns/net", "ns/user", "ns/mnt", "ns/uts", "ns/ipc", "ns/cgroup", "ns/time", "fd/1"};
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        char path[64], target[256] = {0};
        snprintf(path, sizeof path, "/proc/self/%s", links[i]);
        ssize_t n = readlink(path, target, 255);
        if (n > 0) target[strcspn(target, "[")] = 0;
        say("readlink", links[i], "%s", n < 0 ? errname(errno) : target);
    }
}

static void descriptors(void) {
    int pair[2], pipes[2];
    int fd = open("/work/file", O_RDONLY | O_APPEND);
    if (pipe(pipes) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return;
    lseek(fd, 3, SEEK_SET);
    char path[64], target[128];
    const int all[] = {fd, pipes[0], pair[0], (int)syscall(SYS_epoll_create1, 0), (int)syscall(SYS_eventfd2, 5, 0), (int)syscall(SYS_timerfd_create, 1, 0), (int)syscall(SYS_inotify_init), (int)syscall(SYS_signalfd4, -1, &(uint64_t){1}, 8, 0), (int)syscall(SYS_memfd_create, "name", 0), (int)syscall(SYS_pidfd_open, getpid(), 0)};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char tag[16];
        snprintf(tag, sizeof tag, "fd_%zu", i);
        snprintf(path, sizeof path, "/proc/self/fd/%d", all[i]);
        memset(target, 0, sizeof target);
        ssize_t n = readlink(path, target, sizeof target - 1);
        if (strchr(target, '[') && (strstr(target, "pipe") || strstr(target, "socket"))) *strchr(target, '[') = 0;
        say("readlink", tag, "%s", n < 0 ? errname(errno) : target);
        struct stat st;
        if (!lstat(path, &st)) say("lstat", tag, "mode=%o size=%ld", st.st_mode, (long)st.st_size);
        snprintf(path, sizeof path, "/proc/self/fdinfo/%d", all[i]);
        keys(tag, path);
    }
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    line_of("position", path, "pos:");
    line_of("flags", path, "flags:");
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", all[4]);
    line_of("eventfd", path, "eventfd-count:");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = open(path, O_RDONLY);
    say("open", "reopened", "%d position=%ld", again >= 0, (long)lseek(again, 0, SEEK_CUR));
    snprintf(path, sizeof path, "/proc/self/fd/%d", pair[0]);
    T("socket", open, path, O_RDONLY);
    T("none", open, "/proc/self/fd/99", O_RDONLY);
    T("none", readlink, "/proc/self/fd/99", target, 100);
    T("name", readlink, "/proc/self/fd/x", target, 100);
    T("remove", unlink, "/proc/self/fd/0");
    T("create", open, "/proc/self/fd/77", O_CREAT | O_RDWR, 0600);
    T("directory", mkdir, "/proc/self/new", 0700);
    say("open", "task", "%d", open("/proc/self/task", O_RDONLY | O_DIRECTORY) >= 0);
    say("open", "thread_self", "%d", access("/proc/thread-self/comm", R_OK));
}

static void machine(void) {
    static const char *const files[] = {"/proc/consoles", "/proc/cpuinfo", "/proc/devices", "/proc/diskstats", "/proc/filesystems", "/proc/interrupts", "/proc/loadavg", "/proc/meminfo", "/proc/misc", "/proc/mounts", "/proc/partitions", "/proc/stat", "/proc/swaps", "/proc/uptime", "/proc/version", "/proc/vmstat", "/proc/sys/kernel/osrelease", "/proc/sys/kernel/hostname", "/proc/sys/kernel/random/uuid", "/proc/sys/kernel/random/boot_id", "/proc/sys/vm/overcommit_memory", "/proc/sys/vm/max_map_count", "/proc/sys/vm/swappiness", "/proc/sys/fs/file-max", "/proc/sys/fs/nr_open", "/proc/sys/fs/file-nr", "/proc/sys/net/core/somaxconn", "/proc/sys/net/ipv4/ip_local_port_range", "/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max", "/proc/sys/kernel/shmmax", "/proc/sys/kernel/sem", "/proc/sys/kernel/cap_last_cap", "/proc/sys/kernel/ngroups_max", "/proc/sys/fs/pipe-max-size", "/proc/sys/fs/inotify/max_user_watches"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct stat st;
        FILE *file = fopen(files[i], "r");
        say("open", files[i], "%d", file != NULL);
        if (file) fclose(file);
        if (!stat(files[i], &st)) say("stat", files[i], "type=%o uid=%d size=%ld", st.st_mode & S_IFMT, (int)st.st_uid, (long)st.st_size);
    }
    form("uptime", "/proc/uptime");
    form("loadavg", "/proc/loadavg");
    say("read", "hostname", "%s", get("/proc/sys/kernel/hostname"));
    say("read", "ostype", "%s", get("/proc/sys/kernel/ostype"));
    say("read", "cap_last", "%s", get("/proc/sys/kernel/cap_last_cap"));
    int fd = open("/proc/uptime", O_RDONLY);
    char one[64] = {0}, two[64] = {0};
    if (read(fd, one, 63) < 0) return;
    millis(30);
    T("rewind", lseek, fd, 0, SEEK_SET);
    if (read(fd, two, 63) < 0) return;
    say("read", "fresh", "%d", strcmp(one, two) != 0);
    if (pread(fd, one, 4, 1) < 0) return;
    say("pread64", "offset", "%d", strncmp(one, two + 1, 3) == 0);
    T("append", open, "/proc/uptime", O_WRONLY);
    T("dump", open, "/proc/kcore", O_RDONLY);
    T("none", open, "/proc/none", O_RDONLY);
    T("none_pid", open, "/proc/999999", O_RDONLY);
    T("zero_pid", open, "/proc/0", O_RDONLY);
    T("leading_zero", open, "/proc/01", O_RDONLY);
    T("sysctl", open, "/proc/sys/kernel/panic", O_WRONLY);
    T("rename", rename, "/proc/uptime", "/proc/other");
    T("link", link, "/proc/uptime", "/proc/other");
    T("symlink", symlink, "x", "/proc/other");
    T("rmdir", rmdir, "/proc/sys");
    T("xattr", getxattr, "/proc/uptime", "user.x", one, 10);
    T("truncate", truncate, "/proc/uptime", 0);
    T("sys_write", open, "/sys/class/net/lo/mtu", O_WRONLY);
    static const char *const sys[] = {"/sys/class/net/lo/address", "/sys/class/net/lo/mtu", "/sys/class/net/lo/operstate", "/sys/class/net/lo/ifindex", "/sys/class/net/lo/flags", "/sys/class/net/lo/type", "/sys/class/net/lo/addr_len", "/sys/class/net/lo/statistics/rx_bytes", "/sys/class/net/lo/speed"};
    for (size_t i = 0; i < 7; i++) say("read", sys[i], "%s", get(sys[i]));
    for (size_t i = 7; i < 8; i++) form(sys[i], sys[i]);
    static const char *const present[] = {"/sys/devices/system/cpu/online", "/sys/devices/system/cpu/possible", "/sys/devices/system/cpu/present", "/sys/devices/system/cpu/cpu0/topology/core_id", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/kernel/mm/ksm", "/sys/block", "/sys/class", "/sys/devices", "/sys/fs/cgroup", "/sys/module", "/sys/kernel"};
    for (size_t i = 0; i < sizeof present / sizeof *present; i++) say("access", present[i], "%d", access(present[i], R_OK));
}

/* Where memory lies in the machine is not for everybody to know. */
static void pagemap(void) {
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    page[0] = 1;
    int fd = open("/proc/self/pagemap", O_RDONLY);
    off_t at = (off_t)((uintptr_t)page / 4096 * 8);
    uint64_t entries[2] = {0};
    T("both", pread64, fd, entries, 16, at);
    say("pread64", "entries", "present=%d frame=%d untouched=%d", (int)(entries[0] >> 63), (entries[0] & ((1ull << 55) - 1)) != 0, entries[1] >> 62 != 0);
    T("odd", pread64, fd, entries, 7, at);
    T("odd_place", pread64, fd, entries, 8, at + 1);
    T("write", write, fd, entries, 8);
    fd = open("/proc/thread-self/pagemap", O_RDONLY);
    T("thread", pread64, fd, entries, 8, at);
    struct stat st;
    stat("/proc/self/pagemap", &st);
    say("stat", "pagemap", "%o", st.st_mode);
    munmap(page, 8192);
}

/* What one process sees of another. */
static void look_at(const char *tag, pid_t pid) {
    static const char *const files[] = {"auxv", "cgroup", "cmdline", "comm", "environ", "io", "limits", "maps", "mountinfo", "oom_score_adj", "smaps", "stat", "statm", "status", "wchan", "stack", "syscall", "fd", "fdinfo", "task", "ns/pid", "cwd", "exe", "root", "personality", "pagemap", "mem"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[64], key[64], target[128];
        snprintf(path, sizeof path, "/proc/%d/%s", pid, files[i]);
        snprintf(key, sizeof key, "%s_%s", tag, files[i]);
        int fd = open(path, O_RDONLY);
        int error = errno;
        if (!strcmp(files[i], "cwd") || !strcmp(files[i], "exe") || !strcmp(files[i], "root") || !strncmp(files[i], "ns", 2)) {
            ssize_t n = readlink(path, target, 100);
            say("readlink", key, "%s", n < 0 ? errname(errno) : "ok");
        } else if (fd >= 0 && strcmp(files[i], "fd") && strcmp(files[i], "fdinfo") && strcmp(files[i], "task") && strcmp(files[i], "mem") && strcmp(files[i], "pagemap")) {
            /* Whether opening or reading fails is one. */
            char buffer[64];
            ssize_t n = read(fd, buffer, sizeof buffer);
            say("read", key, "%s", n < 0 ? errname(errno) : n ? "some" : "nothing");
        } else say("read", key, "%s", fd < 0 ? errname(error) : "ok");
        if (fd >= 0) close(fd);
    }
}

static void others(void) {
    pid_t same = fork();
    if (same == 0) for (;;) pause();
    look_at("child", same);
    if (geteuid() == 0) {
        pid_t other = fork();
        if (other == 0) {
            syscall(SYS_setresgid, 4002, 4002, 4002);
            syscall(SYS_setresuid, 4001, 4001, 4001);
            for (;;) pause();
        }
        millis(40);
        look_at("other_user", other);
        pid_t watcher = fork();
        if (watcher == 0) {
            syscall(SYS_setgroups, 0, NULL);
            syscall(SYS_setresgid, 4004, 4004, 4004);
            syscall(SYS_setresuid, 4003, 4003, 4003);
            look_at("stranger", other);
            look_at("to_root", same);
            _exit(0);
        }
        waitpid(watcher, NULL, 0);
        kill(other, SIGKILL);
        waitpid(other, NULL, 0);
    } else look_at("init", 1);
    kill(same, SIGKILL);
    char path[64];
    siginfo_t info;
    waitid(P_PID, (id_t)same, &info, WEXITED | WNOWAIT);
    snprintf(path, sizeof path, "/proc/%d/stat", same);
    form("zombie", path);
    snprintf(path, sizeof path, "/proc/%d/status", same);
    line_of("zombie", path, "State:");
    snprintf(path, sizeof path, "/proc/%d/cmdline", same);
    form("zombie_cmdline", path);
    snprintf(path, sizeof path, "/proc/%d/exe", same);
    char target[100];
    T("zombie", readlink, path, target, 100);
    snprintf(path, sizeof path, "/proc/%d/fd", same);
    say("open", "zombie_fd", "%s", open(path, O_RDONLY) < 0 ? errname(errno) : "ok");
    snprintf(path, sizeof path, "/proc/%d", same);
    int held = open(path, O_RDONLY | O_DIRECTORY);
    int status = openat(held, "status", O_RDONLY);
    T("zombie_held", readlinkat, held, "exe", target, 100);
    waitpid(same, NULL, 0);
    T("reaped_at_once", readlinkat, held, "exe", target, 100);
    T("reaped_at_once", readlinkat, held, "cwd", target, 100);
    T("reaped_at_once", readlinkat, held, "root", target, 100);
    T("reaped_status", pread64, status, target, 10, 0);
    millis(20);
    T("reaped_nonsense", readlinkat, held, "nonsense", target, 100);
    T("reaped", readlink, path, target, 100);
    T("reaped_exe", readlinkat, held, "exe", target, 100);
    T("reaped_namespace", readlinkat, held, "ns/pid", target, 100);
    T("reaped_stat", openat, held, "stat", O_RDONLY);
}

static void *waits(void *end) {
    char byte;
    return read(*(int *)end, &byte, 1) < 0 ? end : NULL;
}

static void links_of(const char *tag) {
    static const char *const places[] = {"/proc/self", "/proc/self/task", "/proc/thread-self", "/proc/self/fd", "/proc/self/ns", "/proc/self/exe", "/proc/self/stat"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct stat st;
        say("stat", tag, "%s %lu", places[i], lstat(places[i], &st) ? 0 : (unsigned long)st.st_nlink);
    }
    struct stat st;
    say("stat", tag, "%lu %lu", stat("/proc/self", &st) ? 0 : (unsigned long)st.st_nlink, stat("/proc/thread-self", &st) ? 0 : (unsigned long)st.st_nlink);
}

static void links(void) {
    links_of("links");
    int ends[2];
    if (pipe(ends)) return;
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, waits, &ends[0]);
    links_of("links_of_threads");
    close(ends[1]);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
}

static void changes(void) {
    int fd = open("/proc/self/comm", O_WRONLY);
    T("comm", write, fd, "renamed", 7);
    char name[16] = {0};
    prctl(PR_GET_NAME, name);
    say("write", "comm", "%s %s", name, get("/proc/self/comm"));
    T("comm_long", write, fd, "a-name-that-is-much-too-long", 28);
    say("write", "comm_long", "%s", get("/proc/self/comm"));
    fd = open("/proc/self/oom_score_adj", O_RDWR);
    T("oom", write, fd, "300", 3);
    say("write", "oom", "%s", get("/proc/self/oom_score_adj"));
    T("oom_nul", write, fd, "301\0x", 5);
    say("write", "oom_nul", "%s", get("/proc/self/oom_score_adj"));
    T("oom_bad", write, fd, "3000", 4);
    T("oom_text", write, fd, "abc", 3);
    fd = open("/proc/self/timerslack_ns", O_RDWR);
    say("open", "timerslack", "%d", fd >= 0);
    T("stat", open, "/proc/self/stat", O_WRONLY);
    T("status", open, "/proc/self/status", O_RDWR);
    T("cmdline", open, "/proc/self/cmdline", O_WRONLY);
    fd = open("/proc/self/coredump_filter", O_RDWR);
    say("open", "coredump_filter", "%d", fd >= 0);
    umask(0123);
    line_of("umask_changed", "/proc/self/status", "Umask:");
}

/* Everything below a directory of /proc, opened, read, mapped and advised on. */
static void visit(const char *directory, int depth) {
    DIR *dir = opendir(directory);
    if (!dir) return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        char path[PATH_MAX], buffer[4096];
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (readlink(path, buffer, sizeof buffer) >= 0) continue;
        if (entry->d_type == DT_DIR) {
            if (depth > 0) visit(path, depth - 1);
            continue;
        }
        int fd = open(path, O_RDONLY | O_NONBLOCK);
        if (fd < 0) continue;
        char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
        if (page != MAP_FAILED) {
            madvise(page, 4096, MADV_WILLNEED);
            madvise(page, 4096, MADV_POPULATE_READ);
            munmap(page, 4096);
        }
        for (int i = 0; i < 1000 && read(fd, buffer, sizeof buffer) > 0; i++) {}
        close(fd);
    }
    closedir(dir);
}

static void *visit_own(void *argument) {
    for (int i = 0; i < 3; i++) visit(argument, 2);
    return NULL;
}

/* Long files make the server's memory grow and shrink, and that once sent it into the tree that it serves. */
static void at_once(void) {
    enum { PAGES = 2000, THREADS = 4 };
    char *area = mmap(NULL, (size_t)PAGES * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, visit_own, i % 2 ? "/proc/thread-self" : "/proc/self");
    /* Each page a mapping of its own, more and more of them. */
    for (int i = 0; i < PAGES; i += 2) mprotect(area + (size_t)i * 4096, 4096, PROT_NONE);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    munmap(area, (size_t)PAGES * 4096);
    say("read", "at_once", "done");
}

FAMILY(procfs) {
    SECTION(own);
    SECTION(descriptors);
    SECTION(machine);
    SECTION(pagemap);
    SECTION(others);
    SECTION(links);
    SECTION(changes);
    SECTION(at_once);
}
