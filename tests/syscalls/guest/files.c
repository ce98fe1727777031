/* Corners of files: flags of open, openat2, renameat2, links, sparse files, limits, directories, notifications. */
#include "guest.h"

#include <dirent.h>
#include <ftw.h>
#include <linux/openat2.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U
#endif

static void shut(long fd) { if (fd >= 0) close((int)fd); }

static void show(const char *call, const char *tag, const char *path) {
    struct stat st;
    if (lstat(path, &st)) say(call, tag, "!%s", errname(errno));
    else say(call, tag, "mode=%o uid=%u gid=%u size=%ld nlink=%lu", st.st_mode, st.st_uid, st.st_gid, (long)st.st_size, (unsigned long)st.st_nlink);
}

/* Every pair of flags that could mean something together, on a file, a directory, a link and nothing. */
static void flag_pairs(void) {
    static const struct { const char *name; int flags; } flags[] = {
        {"creat", O_CREAT}, {"excl", O_EXCL}, {"trunc", O_TRUNC}, {"dir", O_DIRECTORY}, {"nofollow", O_NOFOLLOW},
        {"path", O_PATH}, {"append", O_APPEND}, {"noatime", O_NOATIME}, {"tmp", O_TMPFILE}, {"wronly", O_WRONLY}, {"rdwr", O_RDWR}};
    static const char *const targets[] = {"file", "d", "link", "dirlink", "none", "dangling", "file/", "d/", "dirlink/", "loop"};
    enum { FLAGS = sizeof flags / sizeof *flags };
    mkdir("/work/fp", 0755);
    if (chdir("/work/fp")) return;
    for (size_t t = 0; t < sizeof targets / sizeof *targets; t++)
        for (int a = 0; a < FLAGS; a++)
            for (int b = a; b < FLAGS; b++) {
                if ((flags[a].flags | flags[b].flags) & O_PATH && (strcmp(targets[t], "link") == 0 || strcmp(targets[t], "dirlink") == 0 || strcmp(targets[t], "dangling") == 0 || strcmp(targets[t], "loop") == 0))
                    continue; /* Of links themselves no descriptors are given out: see the table. */
                put("file", "content");
                mkdir("d", 0755);
                symlink("file", "link");
                symlink("d", "dirlink");
                symlink("nothing", "dangling");
                symlink("loop", "loop");
                unlink("nothing");
                unlink("none");
                char tag[64];
                snprintf(tag, sizeof tag, "%s_%s_%s", targets[t], flags[a].name, flags[b].name);
                shut(TOK(tag, open, targets[t], flags[a].flags | flags[b].flags, 0640));
            }
    show("open", "untouched", "file");
}

static long how_open(const char *tag, int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
    struct open_how how = {flags, mode, resolve};
    long fd = TOK(tag, openat2, dirfd, path, &how, sizeof how);
    shut(fd);
    return fd;
}

static void resolving(void) {
    static const struct { const char *name; uint64_t bits; } how[] = {
        {"none", 0}, {"beneath", RESOLVE_BENEATH}, {"root", RESOLVE_IN_ROOT}, {"nosym", RESOLVE_NO_SYMLINKS}, {"nomagic", RESOLVE_NO_MAGICLINKS},
        {"noxdev", RESOLVE_NO_XDEV}, {"beneath_nosym", RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS}, {"root_noxdev", RESOLVE_IN_ROOT | RESOLVE_NO_XDEV}};
    static const char *const paths[] = {".", "..", "a", "sub", "sub/..", "sub/../..", "../file", "/work/file", "/", "up", "abs", "sub/up2", "inner", "proclink", "../../tmp", "/proc/self/cwd", "/proc/self/exe", "a/", "absent", ""};
    mkdir("/work/rs", 0755);
    mkdir("/work/rs/sub", 0755);
    put("/work/rs/a", "a");
    symlink("../file", "/work/rs/up");
    symlink("/work/file", "/work/rs/abs");
    symlink("../../file", "/work/rs/sub/up2");
    symlink("a", "/work/rs/inner");
    symlink("/proc/self/exe", "/work/rs/proclink");
    int dir = open("/work/rs", O_RDONLY | O_DIRECTORY);
    for (size_t h = 0; h < sizeof how / sizeof *how; h++)
        for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
            char tag[96];
            snprintf(tag, sizeof tag, "%s_%zu_%s", how[h].name, p, *paths[p] ? paths[p] : "empty");
            how_open(tag, dir, paths[p], O_RDONLY, 0, how[h].bits);
        }
    if (chdir("/work/rs")) return;
    how_open("cwd_beneath", AT_FDCWD, "a", O_RDONLY, 0, RESOLVE_BENEATH);
    how_open("cwd_beneath_out", AT_FDCWD, "../file", O_RDONLY, 0, RESOLVE_BENEATH);
    how_open("cwd_root", AT_FDCWD, "/a", O_RDONLY, 0, RESOLVE_IN_ROOT);
    how_open("cwd_root_out", AT_FDCWD, "/../../a", O_RDONLY, 0, RESOLVE_IN_ROOT);
    how_open("cached", AT_FDCWD, "a", O_RDONLY, 0, RESOLVE_CACHED);
    how_open("cached_creat", AT_FDCWD, "a", O_RDWR | O_CREAT, 0600, RESOLVE_CACHED);
    how_open("creat_beneath", dir, "new", O_RDWR | O_CREAT, 0600, RESOLVE_BENEATH);
    how_open("creat_out", dir, "../new", O_RDWR | O_CREAT, 0600, RESOLVE_BENEATH);
    how_open("tmpfile", dir, "sub", O_RDWR | O_TMPFILE, 0600, RESOLVE_BENEATH);
    how_open("tmpfile_no_mode", dir, "sub", O_RDWR | O_TMPFILE, 0, 0);
    how_open("tmpfile_rdonly", dir, "sub", O_RDONLY | O_TMPFILE, 0600, 0);
    how_open("path_rdwr", dir, "a", O_PATH | O_RDWR, 0, 0);
    how_open("path_trunc", dir, "a", O_PATH | O_TRUNC, 0, 0);
    how_open("path_creat", dir, "a", O_PATH | O_CREAT, 0600, 0);
    how_open("path_cloexec", dir, "a", O_PATH | O_CLOEXEC, 0, 0);
    how_open("path_dir", dir, "sub", O_PATH | O_DIRECTORY, 0, 0);
    how_open("creat_dir", dir, "newdir", O_CREAT | O_DIRECTORY, 0600, 0);
    how_open("tmpfile_bit_alone", dir, "a", O_RDWR | (O_TMPFILE & ~O_DIRECTORY), 0, 0);
    how_open("accmode3", dir, "a", O_ACCMODE, 0, 0);
    how_open("directory_of_file", dir, "a", O_RDONLY | O_DIRECTORY, 0, 0);
    how_open("excl_alone", dir, "a", O_RDONLY | O_EXCL, 0, 0);
    how_open("mode_sticky", dir, "new2", O_RDWR | O_CREAT, 07777, 0);
    struct open_how zero = {0, 0, 0};
    T("size_0", openat2, dir, "a", &zero, 0);
    T("size_23", openat2, dir, "a", &zero, 23);
    T("size_4097", openat2, dir, "a", &zero, 4097);
    T("path_first", openat2, 99, BAD, &zero, sizeof zero);
}

static void temporary_files(void) {
    long fd = TOK("tmp_excl", open, "/work", O_RDWR | O_TMPFILE | O_EXCL, 0600);
    char name[40];
    snprintf(name, sizeof name, "/proc/self/fd/%ld", fd);
    T("tmp_excl", linkat, AT_FDCWD, name, AT_FDCWD, "/work/tx", AT_SYMLINK_FOLLOW);
    shut(fd);
    umask(027);
    fd = TOK("tmp_mode", open, "/work", O_WRONLY | O_TMPFILE, 0666);
    struct stat st;
    fstat((int)fd, &st);
    say("open", "tmp_mode_seen", "%o nlink=%lu", st.st_mode, (unsigned long)st.st_nlink);
    if (write((int)fd, "abc", 3) != 3) say("write", "tmp", "%s", errname(errno));
    snprintf(name, sizeof name, "/proc/self/fd/%ld", fd);
    T("tmp", linkat, AT_FDCWD, name, AT_FDCWD, "/work/tl", AT_SYMLINK_FOLLOW);
    T("tmp_exists", linkat, AT_FDCWD, name, AT_FDCWD, "/work/tl", AT_SYMLINK_FOLLOW);
    show("linkat", "tmp_seen", "/work/tl");
    shut(fd);
    umask(022);
    T("tmp_in_file", open, "/work/file", O_RDWR | O_TMPFILE, 0600);
    T("tmp_in_none", open, "/work/none", O_RDWR | O_TMPFILE, 0600);
    T("tmp_in_locked", open, "/work/locked", O_RDWR | O_TMPFILE, 0600);
    T("tmp_in_dir", open, "/work/dir", O_RDWR | O_TMPFILE, 0600);
    T("tmp_in_ro", open, "/ro", O_RDWR | O_TMPFILE, 0600);
    T("tmp_in_proc", open, "/proc", O_RDWR | O_TMPFILE, 0600);
    TOK("tmp_in_tmpfs", open, "/tmp", O_RDWR | O_TMPFILE, 0600);
    T("tmp_link", open, "/work/dirlink", O_RDWR | O_TMPFILE | O_NOFOLLOW, 0600);
}

static int removed(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void renames(void) {
    static const struct { const char *name; unsigned flags; } how[] = {{"plain", 0}, {"noreplace", 1}, {"exchange", 2}};
    static const char *const kinds[] = {"file", "other", "dir", "empty", "full", "link", "none", "fifo", "file/", "empty/", ".", "..", "full/inner", "linkdir", "linkdir/"};
    enum { KINDS = sizeof kinds / sizeof *kinds };
    for (size_t h = 0; h < 3; h++)
        for (size_t a = 0; a < KINDS; a++)
            for (size_t b = 0; b < KINDS; b++) {
                mkdir("/work/rn", 0755);
                if (chdir("/work/rn")) return;
                put("file", "file");
                put("other", "other");
                mkdir("dir", 0755);
                mkdir("empty", 0755);
                mkdir("full", 0755);
                mkdir("full/inner", 0755);
                symlink("file", "link");
                symlink("dir", "linkdir");
                mkfifo("fifo", 0644);
                char tag[96];
                snprintf(tag, sizeof tag, "%s_%zu_%zu", how[h].name, a, b);
                T(tag, renameat2, AT_FDCWD, kinds[a], AT_FDCWD, kinds[b], how[h].flags);
                if (chdir("/work")) return;
                nftw("/work/rn", removed, 8, FTW_DEPTH | FTW_PHYS);
            }
}

static void link_depths(void) {
    mkdir("/work/ld", 0755);
    if (chdir("/work/ld")) return;
    put("l0", "end");
    for (int i = 1; i <= 45; i++) {
        char to[16], name[16];
        snprintf(to, sizeof to, "l%d", i - 1);
        snprintf(name, sizeof name, "l%d", i);
        symlink(to, name);
    }
    struct stat st;
    shut(T("links_40", open, "l40", O_RDONLY));
    T("links_41", open, "l41", O_RDONLY);
    T("links_40", stat, "l40", &st);
    T("links_41", stat, "l41", &st);
    T("links_45", lstat, "l45", &st);
    T("links_41", access, "l41", F_OK);
    T("links_41", chmod, "l41", 0600);
    T("links_41", truncate, "l41", 0L);
    T("links_41", execve, "l41", NULL, NULL);
    /* Names and paths of the greatest length. */
    char name[300];
    memset(name, 'n', sizeof name);
    name[255] = 0;
    T("name_255", mkdir, name, 0700);
    name[255] = 'n';
    name[256] = 0;
    T("name_256", mkdir, name, 0700);
    char path[PATH_MAX + 8];
    for (int i = 0; i < PATH_MAX + 7; i += 2) memcpy(path + i, "./", 2);
    memcpy(path + PATH_MAX - 3, "l0", 3);
    T("path_4095", stat, path, &st);
    memcpy(path + PATH_MAX - 3, "./l0", 5);
    T("path_4097", stat, path, &st);
    char target[PATH_MAX + 8];
    memset(target, 't', sizeof target);
    target[4095] = 0;
    T("target_4095", symlink, target, "long");
    char back[5000];
    T("target_4095", readlink, "long", back, sizeof back);
    T("target_part", readlink, "long", back, 10);
    T("target_zero", readlink, "long", back, 0);
    T("target_negative", readlink, "long", back, -1);
    T("of_file", readlink, "l0", back, 10);
    T("of_dir", readlink, ".", back, 10);
    T("efault", readlink, "l1", BAD, 10);
    T("slash", readlink, "l1/", back, 10);
}

static void sparse(void) {
    int fd = open("/work/sparse", O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (pwrite(fd, "x", 1, 1 << 20) != 1) return;
    struct stat st;
    fstat(fd, &st);
    say("pwrite64", "sparse", "size=%ld small=%d", (long)st.st_size, st.st_blocks < 64);
    T("data_0", lseek, fd, 0L, SEEK_DATA);
    T("hole_0", lseek, fd, 0L, SEEK_HOLE);
    T("hole_end", lseek, fd, (long)(1 << 20), SEEK_HOLE);
    T("data_end", lseek, fd, (long)(1 << 20) + 1, SEEK_DATA);
    T("keep_size", fallocate, fd, 1, 0L, 4L << 20);
    fstat(fd, &st);
    say("fallocate", "kept", "size=%ld", (long)st.st_size);
    T("punch_alone", fallocate, fd, 2, 0L, 4096L);
    T("punch", fallocate, fd, 3, 1L << 20, 4096L);
    char byte = 9;
    say("fallocate", "punched", "%zd %d", pread(fd, &byte, 1, 1 << 20), byte);
    T("zero_range", fallocate, fd, 0x10, 0L, 8192L);
    T("collapse_unaligned", fallocate, fd, 8, 1L, 10L);
    T("insert_unaligned", fallocate, fd, 0x20, 1L, 10L);
    T("both", fallocate, fd, 0x28, 0L, 4096L);
    T("unknown", fallocate, fd, 0x1000, 0L, 4096L);
    T("zero_length", fallocate, fd, 0, 0L, 0L);
    int pipes[2], dir = open("/work", O_RDONLY);
    if (pipe(pipes)) return;
    T("pipe", fallocate, pipes[1], 0, 0L, 10L);
    T("directory", fallocate, dir, 0, 0L, 10L);
    T("too_big", ftruncate, fd, LONG_MAX);
    T("big", ftruncate, fd, 1L << 40);
    fstat(fd, &st);
    say("ftruncate", "big_seen", "%ld", (long)st.st_size);
    /* Copies within and between files. */
    put("/work/cf", "0123456789");
    int a = open("/work/cf", O_RDWR), b = open("/work/cf2", O_RDWR | O_CREAT | O_TRUNC, 0644), ap = open("/work/cf2", O_WRONLY | O_APPEND), ro = open("/work/cf", O_RDONLY), wo = open("/work/cf", O_WRONLY);
    loff_t in = 2, out = 4;
    T("overlap", copy_file_range, a, &in, a, &out, 4, 0);
    in = 0, out = 20;
    T("within", copy_file_range, a, &in, a, &out, 4, 0);
    in = 100;
    T("beyond", copy_file_range, a, &in, b, NULL, 4, 0);
    T("zero", copy_file_range, a, NULL, b, NULL, 0, 0);
    T("append", copy_file_range, a, NULL, ap, NULL, 4, 0);
    T("to_reader", copy_file_range, a, NULL, ro, NULL, 4, 0);
    T("from_writer", copy_file_range, wo, NULL, b, NULL, 4, 0);
    T("directory", copy_file_range, dir, NULL, b, NULL, 4, 0);
    int temporary = open("/tmp/cf3", O_RDWR | O_CREAT | O_TRUNC, 0644);
    lseek(a, 0, SEEK_SET);
    T("other_filesystem", copy_file_range, a, NULL, temporary, NULL, 4, 0);
    in = -1;
    T("negative", copy_file_range, a, &in, b, NULL, 4, 0);
    T("efault", copy_file_range, a, BAD, b, NULL, 4, 0);
    int proc = open("/proc/self/status", O_RDONLY);
    long n = syscall(SYS_copy_file_range, proc, NULL, b, NULL, 100, 0);
    say("copy_file_range", "proc", "%s", n < 0 ? errname(errno) : "copied");
    lseek(a, 0, SEEK_SET);
    off_t at = 1;
    T("to_append", sendfile, ap, a, &at, 4);
    T("to_pipe", sendfile, pipes[1], a, NULL, 4);
    T("from_pipe", sendfile, b, pipes[0], NULL, 4);
    at = -5;
    T("negative", sendfile, b, a, &at, 4);
    T("to_reader", sendfile, ro, a, NULL, 4);
    T("from_directory", sendfile, b, dir, NULL, 4);
}

static void direct(void) {
    int fd = open("/work/direct", O_RDWR | O_CREAT | O_DIRECT, 0644);
    say("open", "direct", "%d flags=%#o", fd >= 0, fcntl(fd, F_GETFL));
    char *block = aligned_alloc(4096, 8192);
    memset(block, 'd', 8192);
    T("direct", pwrite64, fd, block, 4096, 0L);
    T("direct_unaligned", pwrite64, fd, block + 1, 4096, 0L);
    T("direct_length", pwrite64, fd, block, 100, 0L);
    T("direct_offset", pread64, fd, block, 4096, 1L);
    T("direct", pread64, fd, block, 4096, 0L);
    T("off", fcntl, fd, F_SETFL, 0);
    T("plain_now", pread64, fd, block, 100, 1L);
}

static volatile sig_atomic_t too_large;
static void on_xfsz(int signal) { (void)signal; too_large++; }

static void size_limit(void) {
    struct rlimit limit = {1000, 1000};
    int fd = open("/work/limited", O_RDWR | O_CREAT | O_TRUNC, 0644);
    put("/work/limited2", "0123456789");
    struct sigaction action = {.sa_handler = on_xfsz};
    sigaction(SIGXFSZ, &action, NULL);
    setrlimit(RLIMIT_FSIZE, &limit);
    char bytes[600] = {0};
    T("within", write, fd, bytes, 600);
    T("partial", write, fd, bytes, 600);
    say("write", "signals_partial", "%d", too_large);
    T("over", write, fd, bytes, 600);
    say("write", "signals", "%d", too_large);
    T("over", pwrite64, fd, bytes, 1, 5000L);
    say("pwrite64", "signals", "%d", too_large);
    T("over", ftruncate, fd, 2000L);
    say("ftruncate", "signals", "%d", too_large);
    T("over", truncate, "/work/limited2", 2000L);
    say("truncate", "signals", "%d", too_large);
    T("within", truncate, "/work/limited2", 900L);
    T("over", fallocate, fd, 0, 0L, 5000L);
    say("fallocate", "signals", "%d", too_large);
    T("shrink", ftruncate, fd, 10L);
    int tmp = open("/tmp/limited", O_RDWR | O_CREAT | O_TRUNC, 0644);
    T("tmpfs_over", pwrite64, tmp, bytes, 600, 700L);
    T("tmpfs_far", pwrite64, tmp, bytes, 600, 1700L);
    signal(SIGXFSZ, SIG_DFL);
    pid_t child = fork();
    if (child == 0) {
        (void)!pwrite(fd, bytes, 1, 5000);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    say("pwrite64", "default_action", "%s", ended(status));
    child = fork();
    if (child == 0) {
        (void)!truncate("/work/limited2", 5000);
        _exit(0);
    }
    waitpid(child, &status, 0);
    say("truncate", "default_action", "%s", ended(status));
    signal(SIGXFSZ, SIG_IGN);
    T("ignored", truncate, "/work/limited2", 5000L);
}

static void directories(void) {
    mkdir("/work/dl", 0755);
    char name[64];
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "/work/dl/entry-%02d", i);
        put(name, "");
    }
    DIR *dir = opendir("/work/dl");
    if (!dir) return;
    long positions[64];
    char names[64][32];
    int count = 0;
    for (struct dirent *entry; count < 64 && (entry = readdir(dir));) {
        snprintf(names[count], sizeof names[count], "%.31s", entry->d_name);
        positions[count++] = telldir(dir);
    }
    say("getdents64", "count", "%d", count);
    int right = 0;
    for (int i = 0; i + 1 < count; i++) {
        seekdir(dir, positions[i]);
        struct dirent *entry = readdir(dir);
        right += entry && strcmp(entry->d_name, names[i + 1]) == 0;
    }
    say("getdents64", "seekdir", "%d", right == count - 1);
    rewinddir(dir);
    int again = 0;
    while (readdir(dir)) again++;
    say("getdents64", "rewound", "%d", again == count);
    closedir(dir);
    int fd = open("/work/dl", O_RDONLY);
    T("dir_negative", lseek, fd, -1L, SEEK_SET);
    T("dir_write", write, fd, "x", 1);
    char buffer[32768];
    T("dir_pread", pread64, fd, buffer, 10, 0L);
    mkdir("/work/gone", 0755);
    int gone = open("/work/gone", O_RDONLY);
    rmdir("/work/gone");
    T("removed", getdents64, gone, buffer, sizeof buffer);
    T("removed_create", openat, gone, "x", O_CREAT | O_RDWR, 0600);
    T("removed_mkdir", mkdirat, gone, "x", 0700);
    T("removed_dot", openat, gone, ".", O_RDONLY);
    T("removed_dotdot", openat, gone, "..", O_RDONLY);
    struct stat st;
    T("removed_stat", newfstatat, gone, "", &st, AT_EMPTY_PATH);
    T("removed_fchdir", fchdir, gone);
    T("removed_getcwd", getcwd, buffer, sizeof buffer);
    T("removed_relative", open, "x", O_RDONLY);
    T("removed_up", chdir, "..");
    show("mkdir", "links", "/work/dl");
    mkdir("/work/dl/sub", 0755);
    show("mkdir", "links_after", "/work/dl");
}

static void drain(const char *tag, int fd) {
    char buffer[8192] __attribute__((aligned(8)));
    ssize_t n = read(fd, buffer, sizeof buffer);
    if (n < 0) say("inotify_add_watch", tag, "none: %s", errname(errno));
    for (char *at = buffer; n > 0 && at < buffer + n;) {
        struct inotify_event *event = (void *)at;
        say("inotify_add_watch", tag, "wd=%d mask=%x cookie=%d name=%s", event->wd, event->mask, event->cookie != 0, event->len ? event->name : "");
        at += sizeof *event + event->len;
    }
}

static void notifications(void) {
    mkdir("/work/nd", 0755);
    mkdir("/work/nd2", 0755);
    put("/work/nd/f", "x");
    int fd = inotify_init1(IN_NONBLOCK);
    unsigned mask = IN_ALL_EVENTS & ~(unsigned)(IN_ACCESS | IN_OPEN | IN_CLOSE_NOWRITE);
    T("dir", inotify_add_watch, fd, "/work/nd", mask);
    T("file", inotify_add_watch, fd, "/work/nd/f", mask);
    T("again", inotify_add_watch, fd, "/work/nd/f", mask);
    rename("/work/nd/f", "/work/nd2/f");
    drain("moved_out", fd);
    rename("/work/nd2/f", "/work/nd/g");
    drain("moved_in", fd);
    link("/work/nd/g", "/work/nd/h");
    drain("linked", fd);
    symlink("g", "/work/nd/s");
    drain("symlinked", fd);
    mkdir("/work/nd/d", 0700);
    drain("mkdir", fd);
    mkfifo("/work/nd/p", 0600);
    drain("mkfifo", fd);
    put("/work/nd/g", "yy");
    drain("written", fd);
    chmod("/work/nd/g", 0600);
    drain("chmod", fd);
    chown("/work/nd/g", (uid_t)-1, getgid());
    drain("chown", fd);
    utimensat(AT_FDCWD, "/work/nd/g", NULL, 0);
    drain("utimensat", fd);
    syscall(SYS_setxattr, "/work/nd/g", "user.n", "v", 1, 0);
    drain("setxattr", fd);
    truncate("/work/nd/g", 1);
    drain("truncate", fd);
    unlink("/work/nd/g");
    drain("unlink_name", fd);
    unlink("/work/nd/h");
    drain("unlink_last", fd);
    rmdir("/work/nd/d");
    drain("rmdir", fd);
    unlink("/work/nd/s");
    unlink("/work/nd/p");
    drain("unlinks", fd);
    rename("/work/nd", "/work/nd3");
    drain("dir_moved", fd);
    rmdir("/work/nd3");
    drain("dir_removed", fd);
    put("/work/once", "x");
    T("oneshot", inotify_add_watch, fd, "/work/once", IN_ATTRIB | IN_ONESHOT);
    chmod("/work/once", 0600);
    chmod("/work/once", 0644);
    drain("oneshot", fd);
    symlink("once", "/work/once-link");
    T("link_itself", inotify_add_watch, fd, "/work/once-link", IN_DELETE_SELF | IN_ATTRIB | IN_DONT_FOLLOW);
    unlink("/work/once-link");
    drain("link_removed", fd);
    T("unlinked_excluded", inotify_add_watch, fd, "/work", IN_MODIFY | IN_EXCL_UNLINK);
    int open_file = open("/work/excl", O_RDWR | O_CREAT, 0600);
    unlink("/work/excl");
    if (write(open_file, "x", 1) != 1) return;
    drain("excluded", fd);
    /* What reading and executing tells. */
    put("/work/seen", "content");
    T("reads", inotify_add_watch, fd, "/work/seen", IN_ALL_EVENTS);
    get("/work/seen");
    drain("reads", fd);
    struct stat st;
    stat("/work/seen", &st);
    access("/work/seen", R_OK);
    drain("stat", fd);
}

static void flags_of_files(void) {
    put("/work/fl", "x");
    int fd = open("/work/fl", O_RDWR), dir = open("/work", O_RDONLY);
    struct { uint64_t xflags; uint32_t extsize, nextents, projid, cowextsize; } attr = {0};
    T("get", file_getattr, AT_FDCWD, "/work/fl", &attr, sizeof attr, 0);
    say("file_getattr", "seen", "xflags=%lx extsize=%u projid=%u", (unsigned long)attr.xflags & 0x3f, attr.extsize, attr.projid);
    T("get_empty", file_getattr, fd, "", &attr, sizeof attr, AT_EMPTY_PATH);
    T("get_relative", file_getattr, dir, "fl", &attr, sizeof attr, AT_SYMLINK_NOFOLLOW);
    T("get_none", file_getattr, dir, "none", &attr, sizeof attr, 0);
    T("get_efault", file_getattr, dir, "fl", BAD, sizeof attr, 0);
    T("get_efault_path", file_getattr, dir, BAD, &attr, sizeof attr, 0);
    T("get_small", file_getattr, dir, "fl", &attr, 8, 0);
    T("get_huge", file_getattr, dir, "fl", &attr, 1 << 20, 0);
    T("get_flags", file_getattr, dir, "fl", &attr, sizeof attr, 1);
    T("get_ebadf", file_getattr, 99, "fl", &attr, sizeof attr, 0);
    attr.xflags |= 0x20; /* no atime */
    T("set", file_setattr, dir, "fl", &attr, sizeof attr, 0);
    T("get_after", file_getattr, dir, "fl", &attr, sizeof attr, 0);
    say("file_setattr", "seen", "xflags=%lx", (unsigned long)attr.xflags & 0x3f);
    attr.xflags = 8; /* immutable: a privilege that containers do not have */
    T("immutable", file_setattr, dir, "fl", &attr, sizeof attr, 0);
    attr.xflags = 0;
    T("set_ro", file_setattr, AT_FDCWD, "/ro/file", &attr, sizeof attr, 0);
    T("set_others", file_setattr, AT_FDCWD, "/work/file", &attr, sizeof attr, 0);
    T("set_efault", file_setattr, dir, "fl", BAD, sizeof attr, 0);
    T("set_small", file_setattr, dir, "fl", &attr, 8, 0);
    T("set_flags", file_setattr, dir, "fl", &attr, sizeof attr, 1);
}

static void extended_stat(void) {
    struct statx x;
    static const unsigned masks[] = {0, STATX_BASIC_STATS, STATX_ALL, STATX_BTIME, STATX_MNT_ID, STATX_MNT_ID_UNIQUE, 0x2000 /* DIOALIGN */, 0x7fffffff};
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        char tag[32];
        snprintf(tag, sizeof tag, "mask%x", masks[i]);
        T(tag, statx, AT_FDCWD, "/work/file", 0, masks[i], &x);
        say("statx", tag, "mask=%x mode=%o size=%lu", x.stx_mask & ~0x10000u, x.stx_mode, (unsigned long)x.stx_size);
    }
    struct statx root;
    syscall(SYS_statx, AT_FDCWD, "/", 0, STATX_MNT_ID, &root);
    syscall(SYS_statx, AT_FDCWD, "/tmp", 0, STATX_MNT_ID, &x);
    say("statx", "mounts", "differ=%d root_attr=%d tmp_attr=%d", root.stx_mnt_id != x.stx_mnt_id, !!(root.stx_attributes & 0x2000), !!(x.stx_attributes & 0x2000));
    T("null_path", statx, AT_FDCWD, NULL, AT_EMPTY_PATH, STATX_ALL, &x);
    T("null_path_plain", statx, AT_FDCWD, NULL, 0, STATX_ALL, &x);
    T("efault", statx, AT_FDCWD, "/work/file", 0, STATX_ALL, BAD);
    T("sync_both", statx, AT_FDCWD, "/work/file", 0x6000, STATX_ALL, &x);
    T("reserved", statx, AT_FDCWD, "/work/file", 0, 0x80000000u, &x);
    struct statfs fs;
    static const char *const places[] = {"/work/file", "/tmp", "/ro/file", "/noexec", "/small", "/dev/null", "/dev/shm", "/work/none", "/work/loop", "/work/locked/inner"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char tag[64];
        snprintf(tag, sizeof tag, "place%s", places[i]);
        if (T(tag, statfs, places[i], &fs) == 0)
            say("statfs", tag, "type=%lx namelen=%ld bsize=%ld flags=%lx", (long)fs.f_type, (long)fs.f_namelen, (long)fs.f_bsize, (long)fs.f_flags & ~4L);
    }
    T("efault", statfs, "/work", BAD);
    T("efault_path", statfs, BAD, &fs);
}

FAMILY(files) {
    SECTION(flag_pairs);
    SECTION(resolving);
    SECTION(temporary_files);
    SECTION(renames);
    SECTION(link_depths);
    SECTION(sparse);
    SECTION(direct);
    SECTION(size_limit);
    SECTION(directories);
    SECTION(notifications);
    SECTION(flags_of_files);
    SECTION(extended_stat);
}
