/* stat(2) and its kin, access(2), readlink(2), statfs(2). */
#include "guest.h"

#include <sys/statfs.h>
#include <linux/stat.h>

/* glibc's sys/stat.h and linux/stat.h agree on struct statx. */
static void show(const char *call, const char *tag, const struct stat *st) {
    say(call, tag, "mode=%o uid=%u gid=%u nlink=%lu size=%ld rdev=%lx", st->st_mode, st->st_uid, st->st_gid,
        (unsigned long)st->st_nlink, S_ISDIR(st->st_mode) ? 0L : (long)st->st_size, (unsigned long)st->st_rdev);
}

static void show_x(const char *tag, const struct statx *st) {
    say("statx", tag, "mask=%x mode=%o uid=%u gid=%u nlink=%u size=%lld rdev=%u:%u", st->stx_mask & 0x7ff, st->stx_mode,
        st->stx_uid, st->stx_gid, st->stx_nlink, S_ISDIR(st->stx_mode) ? 0LL : (long long)st->stx_size,
        st->stx_rdev_major, st->stx_rdev_minor);
}

static const char *const paths[][2] = {
    {"file", "/work/file"}, {"dir", "/work/dir"}, {"link", "/work/link"}, {"fifo", "/work/fifo"},
    {"dangling", "/work/dangling"}, {"loop", "/work/loop"}, {"none", "/work/none"}, {"notdir", "/work/file/x"},
    {"secret", "/work/secret"}, {"inner", "/work/locked/inner"}, {"null", "/dev/null"}, {"tty", "/dev/tty"},
    {"root", "/"}, {"tmp", "/tmp"}, {"empty", ""}, {"slash", "/work/file/"}, {"linkslash", "/work/link/"},
    {"dotdot", "/work/dir/../file"}, {"roof", "/.."}, {"suid", "/work/suid"}, {"ro", "/ro/file"}, {"socket", "/work/socket"},
    {"exe", "/proc/self/exe"}, {"stdinlink", "/dev/stdin"}, {"proc", "/proc/self"}, {"ptmx", "/dev/ptmx"},
};
#define COUNT(a) (sizeof(a) / sizeof *(a))

static void by_path(void) {
    struct stat st;
    struct statx sx;
    for (size_t i = 0; i < COUNT(paths); i++) {
        const char *tag = paths[i][0], *path = paths[i][1];
        int steady = strcmp(tag, "exe") && strcmp(tag, "stdinlink") && strcmp(tag, "proc") && strcmp(tag, "tmp") && strcmp(tag, "root");
        if (T(tag, stat, path, &st) == 0 && steady) show("stat", tag, &st);
        if (T(tag, lstat, path, &st) == 0 && steady) show("lstat", tag, &st);
        if (T(tag, newfstatat, AT_FDCWD, path, &st, 0) == 0 && steady) show("newfstatat", tag, &st);
        memset(&sx, 0, sizeof sx);
        if (T(tag, statx, AT_FDCWD, path, 0, STATX_BASIC_STATS, &sx) == 0 && steady) show_x(tag, &sx);
    }
    T("efault_path", stat, BAD, &st);
    T("efault_buffer", stat, "/work/file", BAD);
    T("efault_both_enoent", stat, "/work/none", BAD);
    T("readonly_buffer", stat, "/work/file", "constant memory that cannot be written");
    T("toolong", stat, endless_path(), &st);
    T("name_toolong", stat, "/work/" LONG_NAME, &st);
    T("efault_path", lstat, BAD, &st);
    T("efault_buffer", lstat, "/work/file", BAD);
    T("efault_buffer", newfstatat, AT_FDCWD, "/work/file", BAD, 0);
    T("efault_buffer", statx, AT_FDCWD, "/work/file", 0, STATX_BASIC_STATS, BAD);
}

static void by_descriptor(void) {
    struct stat st;
    struct statx sx;
    int fd = open("/work/file", O_RDONLY), dir = open("/work/dir", O_RDONLY), path = open("/work/locked", O_PATH);
    T("fd", fstat, fd, &st);
    show("fstat", "fd", &st);
    T("ebadf", fstat, 99, &st);
    T("efault", fstat, fd, BAD);
    T("path", fstat, path, &st);
    show("fstat", "path", &st);
    T("empty_path", newfstatat, fd, "", &st, AT_EMPTY_PATH);
    show("newfstatat", "empty_path", &st);
    T("empty_null", newfstatat, fd, NULL, &st, AT_EMPTY_PATH);
    T("empty_cwd", newfstatat, AT_FDCWD, "", &st, AT_EMPTY_PATH);
    T("empty_opath", newfstatat, path, "", &st, AT_EMPTY_PATH);
    T("relative", newfstatat, dir, "a", &st, 0);
    T("nofollow", newfstatat, AT_FDCWD, "/work/link", &st, AT_SYMLINK_NOFOLLOW);
    show("newfstatat", "nofollow", &st);
    T("ebadf", newfstatat, 99, "a", &st, 0);
    T("enotdir", newfstatat, fd, "a", &st, 0);
    T("flags", newfstatat, dir, "a", &st, 0x40000);
    T("automount", newfstatat, dir, "a", &st, AT_NO_AUTOMOUNT);
    memset(&sx, 0, sizeof sx);
    T("empty_path", statx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx);
    show_x("empty_path", &sx);
    T("nofollow", statx, AT_FDCWD, "/work/link", AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &sx);
    show_x("nofollow", &sx);
    T("flags", statx, fd, "", 0x40000, STATX_BASIC_STATS, &sx);
    T("reserved", statx, fd, "", AT_EMPTY_PATH, 0x80000000, &sx);
    T("sync_both", statx, fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &sx);
    T("dont_sync", statx, fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MODE, &sx);
    T("ebadf", statx, 99, "a", 0, STATX_BASIC_STATS, &sx);
    T("btime", statx, fd, "", AT_EMPTY_PATH, STATX_BTIME, &sx);
    struct stat by_name;
    stat("/work/file", &by_name);
    fstat(fd, &st);
    say("fstat", "same", "ino=%d dev=%d", st.st_ino == by_name.st_ino, st.st_dev == by_name.st_dev);
    statx(AT_FDCWD, "/work/file", 0, STATX_BASIC_STATS, (void *)&sx);
    say("statx", "same", "ino=%d mtime=%d", sx.stx_ino == by_name.st_ino, sx.stx_mtime.tv_sec == by_name.st_mtime);
}

static void access_calls(void) {
    for (size_t i = 0; i < COUNT(paths); i++) {
        for (int mode = 0; mode < 8; mode++) {
            char tag[64];
            snprintf(tag, sizeof tag, "%s_%d", paths[i][0], mode);
            T(tag, access, paths[i][1], mode);
            if (mode == R_OK || mode == W_OK || mode == X_OK) {
                T(tag, faccessat, AT_FDCWD, paths[i][1], mode);
                T(tag, faccessat2, AT_FDCWD, paths[i][1], mode, AT_EACCESS);
                T(tag, faccessat2, AT_FDCWD, paths[i][1], mode, AT_SYMLINK_NOFOLLOW);
            }
        }
    }
    int dir = open("/work/dir", O_RDONLY);
    T("mode", access, "/work/file", 8);
    T("efault", access, BAD, 0);
    T("rofs", access, "/ro/file", W_OK);
    T("relative", faccessat, dir, "a", R_OK);
    T("ebadf", faccessat, 99, "a", R_OK);
    T("mode", faccessat, dir, "a", 64);
    T("efault", faccessat, dir, BAD, 0);
    T("flags", faccessat2, dir, "a", R_OK, 0x80000);
    T("empty_path", faccessat2, dir, "", X_OK, AT_EMPTY_PATH);
    T("empty", faccessat2, dir, "", X_OK, 0);
    T("efault", faccessat2, dir, BAD, 0, 0);
}

static void readlink_calls(void) {
    char buffer[256];
    static const char *const links[][2] = {
        {"link", "/work/link"}, {"abs", "/work/abs"}, {"dangling", "/work/dangling"}, {"loop", "/work/loop"},
        {"file", "/work/file"}, {"none", "/work/none"}, {"dir", "/work/dir"}, {"empty", ""}, {"notdir", "/work/file/x"},
        {"exe", "/proc/self/exe"}, {"cwd", "/proc/self/cwd"}, {"root", "/proc/self/root"}, {"locked", "/work/locked/link"},
        {"devstdin", "/dev/stdin"}, {"devfd", "/dev/fd"}, {"mounts", "/proc/mounts"}, {"procnet", "/proc/net"},
    };
    for (size_t i = 0; i < COUNT(links); i++) {
        memset(buffer, 0, sizeof buffer);
        long n = T(links[i][0], readlink, links[i][1], buffer, sizeof buffer - 1);
        if (n > 0) say("readlink", links[i][0], "-> %s", buffer);
        memset(buffer, 0, sizeof buffer);
        n = T(links[i][0], readlinkat, AT_FDCWD, links[i][1], buffer, sizeof buffer - 1);
        if (n > 0) say("readlinkat", links[i][0], "-> %s", buffer);
    }
    memset(buffer, 0, sizeof buffer);
    T("short", readlink, "/work/abs", buffer, 3);
    say("readlink", "short", "-> %s", buffer);
    T("zero", readlink, "/work/link", buffer, 0);
    T("negative", readlink, "/work/link", buffer, -1);
    T("huge", readlink, "/work/link", buffer, 0x7fffffff);
    T("efault_path", readlink, BAD, buffer, 10);
    T("efault_buffer", readlink, "/work/link", BAD, 10);
    int fd = open("/work/link", O_PATH | O_NOFOLLOW), file = open("/work/file", O_RDONLY), dir = open("/work", O_RDONLY);
    memset(buffer, 0, sizeof buffer);
    T("empty_path", readlinkat, fd, "", buffer, 100);
    T("empty_file", readlinkat, file, "", buffer, 100);
    T("relative", readlinkat, dir, "link", buffer, 100);
    T("ebadf", readlinkat, 99, "link", buffer, 100);
    T("efault", readlinkat, dir, BAD, buffer, 100);
    T("efault_buffer", readlinkat, dir, "link", BAD, 100);
    T("zero", readlinkat, dir, "link", buffer, 0);
    char name[40];
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    memset(buffer, 0, sizeof buffer);
    T("fd", readlink, name, buffer, 100);
    say("readlink", "fd", "-> %s", buffer);
    unlink("/work/gone");
    put("/work/gone", "x");
    int gone = open("/work/gone", O_RDONLY);
    unlink("/work/gone");
    snprintf(name, sizeof name, "/proc/self/fd/%d", gone);
    memset(buffer, 0, sizeof buffer);
    T("deleted", readlink, name, buffer, 100);
    say("readlink", "deleted", "-> %s", buffer);
    int pipes[2];
    if (pipe(pipes) == 0) {
        snprintf(name, sizeof name, "/proc/self/fd/%d", pipes[0]);
        memset(buffer, 0, sizeof buffer);
        TOK("pipe", readlink, name, buffer, 100);
        buffer[6] = 0;
        say("readlink", "pipe", "-> %s", buffer);
    }
}

static void show_fs(const char *call, const char *tag, const struct statfs *fs) {
    say(call, tag, "type=%lx namelen=%ld bsize=%ld flags=%lx", (unsigned long)fs->f_type, (long)fs->f_namelen, (long)fs->f_bsize,
        (unsigned long)fs->f_flags & 0xf);
}

static void ustat_calls(void) {
    struct {
        int free_blocks;
        unsigned long free_inodes;
        char names[16];
    } answer = {0};
    struct stat st;
    stat("/small", &st);
    T("tmpfs", ustat, (unsigned)st.st_dev, &answer);
    say("ustat", "tmpfs", "%d %d", answer.free_blocks, answer.free_inodes > 0);
    T("none", ustat, 0xfffffU, &answer);
    T("zero", ustat, 0, &answer);
    T("efault", ustat, (unsigned)st.st_dev, BAD);
}

static void statfs_calls(void) {
    struct statfs fs;
    static const char *const where[][2] = {{"work", "/work"}, {"tmp", "/tmp"}, {"proc", "/proc"}, {"ro", "/ro"}, {"pts", "/dev/pts"},
        {"shm", "/dev/shm"}, {"none", "/work/none"}, {"loop", "/work/loop"}, {"locked", "/work/locked/inner"}, {"sys", "/sys"}, {"file", "/work/file/x"}};
    for (size_t i = 0; i < COUNT(where); i++) {
        if (T(where[i][0], statfs, where[i][1], &fs) == 0) show_fs("statfs", where[i][0], &fs);
    }
    T("efault", statfs, BAD, &fs);
    T("efault_buffer", statfs, "/work", BAD);
    int fd = open("/tmp", O_RDONLY), path = open("/work/file", O_PATH);
    if (T("tmp", fstatfs, fd, &fs) == 0) show_fs("fstatfs", "tmp", &fs);
    T("path", fstatfs, path, &fs);
    T("ebadf", fstatfs, 99, &fs);
    T("efault", fstatfs, fd, BAD);
    char buffer[64];
    struct stat st;
    stat("/tmp", &st);
    T("tmp", ustat, st.st_dev, buffer);
    T("bad", ustat, 0xfffff, buffer);
}

static void handle(const char *tag, int dir, const char *path, unsigned room, int flags) {
    struct { unsigned bytes; int type; unsigned char handle[200]; } handle = {room, 0, {0}};
    int mount = -1;
    long r = T(tag, name_to_handle_at, dir, path, &handle, &mount, flags);
    say("name_to_handle_at", tag, "bytes=%u type=%d mount=%d", handle.bytes, r ? 0 : handle.type, mount != -1);
}

static void handles(void) {
    int tmp = open("/dev/shm", O_RDONLY | O_DIRECTORY), file = openat(tmp, "handle", O_RDWR | O_CREAT, 0600);
    if (symlinkat("handle", tmp, "handle_link") && errno != EEXIST) return;
    handle("file", tmp, "handle", 128, 0);
    handle("absolute", -1, "/dev/shm/handle", 128, 0);
    handle("link", tmp, "handle_link", 128, 0);
    handle("followed", tmp, "handle_link", 128, AT_SYMLINK_FOLLOW);
    handle("descriptor", file, "", 128, AT_EMPTY_PATH);
    handle("no_room", tmp, "handle", 0, 0);
    handle("little_room", tmp, "handle", 4, 0);
    handle("too_large", tmp, "handle", 129, 0);
    handle("flags", tmp, "handle", 128, 0x10);
    handle("empty", file, "", 128, 0);
    handle("none", tmp, "none", 128, 0);
    handle("not_directory", file, "x", 128, 0);
    handle("ebadf", 99, "x", 128, 0);
    handle("proc", AT_FDCWD, "/proc/self/status", 128, 0);
    int mount;
    char header[200] = {(char)128};
    T("efault", name_to_handle_at, tmp, "handle", BAD, &mount, 0);
    T("efault_path", name_to_handle_at, tmp, BAD, header, &mount, 0);
    T("efault_mount", name_to_handle_at, tmp, "handle", header, BAD, 0);
    unlinkat(tmp, "handle", 0);
    unlinkat(tmp, "handle_link", 0);
}

FAMILY(stat) {
    SECTION(ustat_calls);
    SECTION(by_path);
    SECTION(by_descriptor);
    SECTION(access_calls);
    SECTION(readlink_calls);
    SECTION(statfs_calls);
    SECTION(handles);
}
