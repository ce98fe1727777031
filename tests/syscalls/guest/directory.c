/* Names in directories: mkdir, rmdir, unlink, rename, link, symlink, mknod. */
#include "guest.h"

#include <sys/sysmacros.h>

static void mode_of(const char *call, const char *tag, const char *path) {
    struct stat st;
    if (lstat(path, &st)) say(call, tag, "!%s", errname(errno));
    else say(call, tag, "mode=%o uid=%u gid=%u nlink=%lu rdev=%lx", st.st_mode, st.st_uid, st.st_gid, (unsigned long)st.st_nlink, (unsigned long)st.st_rdev);
}

static void mkdir_rmdir(void) {
    int dir = open("/work/dir", O_RDONLY), file = open("/work/file", O_RDONLY);
    T("new", mkdir, "/work/m", 0777);
    mode_of("mkdir", "mode", "/work/m");
    T("exists", mkdir, "/work/m", 0777);
    T("slash", mkdir, "/work/m2/", 0700);
    T("enoent", mkdir, "/work/none/m", 0777);
    T("notdir", mkdir, "/work/file/m", 0777);
    T("dangling", mkdir, "/work/dangling2", 0777);
    T("empty", mkdir, "", 0777);
    T("root", mkdir, "/", 0777);
    T("dot", mkdir, "/work/m/.", 0777);
    T("rofs", mkdir, "/ro/m", 0777);
    T("rofs_exists", mkdir, "/ro/file", 0777);
    T("efault", mkdir, BAD, 0777);
    T("toolong", mkdir, endless_path(), 0777);
    T("name_toolong", mkdir, "/work/" LONG_NAME, 0777);
    T("sticky", mkdir, "/work/sticky", 01777);
    mode_of("mkdir", "sticky", "/work/sticky");
    T("in_root_dir", mkdir, "/work/dir/m", 0777);
    T("relative", mkdirat, dir, "r", 0777);
    T("ebadf", mkdirat, 99, "r", 0777);
    T("notdir", mkdirat, file, "r", 0777);
    T("absolute", mkdirat, 99, "/work/r2", 0777);
    T("efault", mkdirat, dir, BAD, 0777);
    T("proc", mkdir, "/proc/x", 0777);
    T("sys", mkdir, "/sys/x", 0777);
    put("/work/m/f", "x");
    T("notempty", rmdir, "/work/m");
    T("file", rmdir, "/work/m/f");
    unlink("/work/m/f");
    T("dir", rmdir, "/work/m");
    T("gone", rmdir, "/work/m");
    T("dot", rmdir, "/work/m2/.");
    T("dotdot", rmdir, "/work/m2/..");
    T("mountpoint", rmdir, "/tmp");
    T("link", rmdir, "/work/dirlink");
    T("root", rmdir, "/");
    T("rofs", rmdir, "/ro/dir");
    T("efault", rmdir, BAD);
    T("eacces", rmdir, "/work/dir/sub");
    T("notdir", rmdir, "/work/file/x");
    mkdir("/work/cwd", 0700);
    if (chdir("/work/cwd") == 0) T("own_cwd", rmdir, "/work/cwd");
    T("in_dead_cwd", mkdir, "x", 0777);
    T("in_dead_cwd_open", open, "x", O_CREAT | O_RDWR, 0600);
}

static void unlinks(void) {
    int dir = open("/work", O_RDONLY), file = open("/work/file", O_RDONLY);
    put("/work/u1", "x");
    put("/work/u2", "x");
    put("/work/u3", "x");
    mkdir("/work/ud", 0700);
    T("file", unlink, "/work/u1");
    T("again", unlink, "/work/u1");
    T("dir", unlink, "/work/ud");
    T("notdir", unlink, "/work/file/x");
    T("slash", unlink, "/work/u2/");
    T("rofs", unlink, "/ro/file");
    T("rofs_none", unlink, "/ro/none");
    T("efault", unlink, BAD);
    T("empty", unlink, "");
    T("eacces", unlink, "/work/dir/victim");
    T("sticky", unlink, "/work/secret");
    T("loop", unlink, "/work/loop/x");
    T("proc", unlink, "/proc/self/status");
    T("dev", unlink, "/dev/nothing");
    T("relative", unlinkat, dir, "u2", 0);
    T("dir_plain", unlinkat, dir, "ud", 0);
    T("dir_flag", unlinkat, dir, "ud", AT_REMOVEDIR);
    T("file_flag", unlinkat, dir, "u3", AT_REMOVEDIR);
    T("flags", unlinkat, dir, "u3", 0x1);
    T("ebadf", unlinkat, 99, "u3", 0);
    T("notdir", unlinkat, file, "u3", 0);
    T("efault", unlinkat, dir, BAD, 0);
    symlink("file", "/work/ul");
    T("symlink", unlink, "/work/ul");
    say("unlink", "target_lives", "%d", access("/work/file", F_OK));
    int fd = open("/work/still", O_RDWR | O_CREAT, 0600);
    unlink("/work/still");
    struct stat st;
    fstat(fd, &st);
    say("unlink", "open_file", "nlink=%lu write=%zd", (unsigned long)st.st_nlink, write(fd, "x", 1));
}

static void renames(void) {
    int dir = open("/work", O_RDONLY), file = open("/work/file", O_RDONLY);
    put("/work/r1", "one");
    put("/work/r2", "two");
    mkdir("/work/rd", 0700);
    mkdir("/work/rd2", 0700);
    put("/work/rd2/f", "x");
    T("move", rename, "/work/r1", "/work/r3");
    say("rename", "content", "%s", get("/work/r3"));
    T("replace", rename, "/work/r3", "/work/r2");
    say("rename", "replaced", "%s", get("/work/r2"));
    T("enoent", rename, "/work/r1", "/work/r4");
    T("same", rename, "/work/r2", "/work/r2");
    T("dir_over_file", rename, "/work/rd", "/work/r2");
    T("file_over_dir", rename, "/work/r2", "/work/rd");
    T("over_full", rename, "/work/rd", "/work/rd2");
    T("into_itself", rename, "/work/rd2", "/work/rd2/sub");
    T("cross_mount", rename, "/work/r2", "/tmp/r2");
    T("rofs", rename, "/ro/file", "/ro/file2");
    T("to_ro", rename, "/work/r2", "/ro/r2");
    T("mountpoint", rename, "/tmp", "/work/tmp2");
    T("efault_old", rename, BAD, "/work/x");
    T("efault_new", rename, "/work/r2", BAD);
    T("empty", rename, "", "/work/x");
    T("dot", rename, "/work/rd/.", "/work/x");
    T("eacces", rename, "/work/dir/victim", "/work/x");
    T("eacces_back", rename, "/work/x", "/work/dir/victim");
    T("sticky", rename, "/work/secret", "/work/secret2");
    T("sticky_back", rename, "/work/secret2", "/work/secret");
    T("move", renameat, dir, "r2", dir, "r5");
    T("ebadf", renameat, 99, "r5", dir, "r6");
    T("ebadf_new", renameat, dir, "r5", 99, "r6");
    T("notdir", renameat, file, "r5", dir, "r6");
    T("efault", renameat, dir, BAD, dir, "r6");
    put("/work/e1", "one");
    put("/work/e2", "two");
    T("noreplace", renameat2, dir, "e1", dir, "e2", 1);
    T("exchange", renameat2, dir, "e1", dir, "e2", 2);
    say("renameat2", "exchanged", "%s", get("/work/e1"));
    T("exchange_none", renameat2, dir, "e1", dir, "e9", 2);
    T("both", renameat2, dir, "e1", dir, "e2", 3);
    T("flags", renameat2, dir, "e1", dir, "e2", 1 << 8);
    T("plain", renameat2, dir, "e1", dir, "e2", 0);
    T("whiteout_exchange", renameat2, dir, "e2", dir, "e3", 6);
    T("efault", renameat2, dir, "e2", dir, BAD, 0);
}

static void links(void) {
    int dir = open("/work", O_RDONLY), fd = open("/work/file", O_RDONLY);
    put("/work/l1", "x");
    T("new", link, "/work/l1", "/work/l2");
    mode_of("link", "mode", "/work/l2");
    T("exists", link, "/work/l1", "/work/l2");
    T("enoent", link, "/work/none", "/work/l3");
    T("dir", link, "/work/dir", "/work/l3");
    T("cross", link, "/work/l1", "/tmp/l3");
    T("rofs", link, "/ro/file", "/ro/l");
    T("efault", link, BAD, "/work/l3");
    T("efault_new", link, "/work/l1", BAD);
    T("notdir", link, "/work/file/x", "/work/l3");
    T("protected", link, "/work/secret", "/work/l4");
    T("symlink_itself", link, "/work/link", "/work/l5");
    mode_of("link", "symlink_itself", "/work/l5");
    T("relative", linkat, dir, "l1", dir, "l6", 0);
    T("follow", linkat, dir, "link", dir, "l7", AT_SYMLINK_FOLLOW);
    mode_of("linkat", "follow", "/work/l7");
    T("empty_path", linkat, fd, "", dir, "l8", AT_EMPTY_PATH);
    T("flags", linkat, dir, "l1", dir, "l9", 1);
    T("ebadf", linkat, 99, "l1", dir, "l9", 0);
    T("ebadf_new", linkat, dir, "l1", 99, "l9", 0);
    T("efault", linkat, dir, BAD, dir, "l9", 0);
    char name[40];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    T("proc_fd", linkat, AT_FDCWD, name, dir, "l10", AT_SYMLINK_FOLLOW);
    T("proc_fd_nofollow", linkat, AT_FDCWD, name, dir, "l11", 0);
    T("new", symlink, "../anything", "/work/s1");
    mode_of("symlink", "mode", "/work/s1");
    T("exists", symlink, "x", "/work/s1");
    T("empty", symlink, "", "/work/s2");
    T("enoent", symlink, "x", "/work/none/s");
    T("rofs", symlink, "x", "/ro/s");
    T("efault", symlink, BAD, "/work/s3");
    T("efault_new", symlink, "x", BAD);
    T("toolong", symlink, endless_path(), "/work/s4");
    T("eacces", symlink, "x", "/work/dir/s");
    T("relative", symlinkat, "x", dir, "s5");
    T("ebadf", symlinkat, "x", 99, "s6");
    T("notdir", symlinkat, "x", fd, "s6");
    T("efault", symlinkat, BAD, dir, "s6");
}

static void nodes(void) {
    int dir = open("/work", O_RDONLY);
    T("fifo", mknod, "/work/n1", S_IFIFO | 0666, 0);
    mode_of("mknod", "fifo", "/work/n1");
    T("exists", mknod, "/work/n1", S_IFIFO | 0666, 0);
    T("regular", mknod, "/work/n2", S_IFREG | 0600, 0);
    T("untyped", mknod, "/work/n3", 0600, 0);
    mode_of("mknod", "untyped", "/work/n3");
    T("socket", mknod, "/work/n4", S_IFSOCK | 0600, 0);
    mode_of("mknod", "socket", "/work/n4");
    T("dir", mknod, "/work/n5", S_IFDIR | 0600, 0);
    T("badtype", mknod, "/work/n6", 0130000 | 0600, 0);
    T("enoent", mknod, "/work/none/n", S_IFIFO | 0600, 0);
    T("rofs", mknod, "/ro/n", S_IFIFO | 0600, 0);
    T("efault", mknod, BAD, S_IFIFO | 0600, 0);
    T("eacces", mknod, "/work/dir/n", S_IFIFO | 0600, 0);
    T("relative", mknodat, dir, "n7", S_IFIFO | 0600, 0);
    T("ebadf", mknodat, 99, "n8", S_IFIFO | 0600, 0);
    T("efault", mknodat, dir, BAD, S_IFIFO | 0600, 0);
    T("null_device", mknodat, dir, "n9", S_IFCHR | 0666, makedev(1, 3));
    mode_of("mknodat", "null_device", "/work/n9");
}

FAMILY(directory) {
    SECTION(mkdir_rmdir);
    SECTION(unlinks);
    SECTION(renames);
    SECTION(links);
    SECTION(nodes);
}
