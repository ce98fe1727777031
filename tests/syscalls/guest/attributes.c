/* Owner, mode, times and length of files. */
#include "guest.h"

#include <sys/time.h>
#include <utime.h>

static void show(const char *call, const char *tag, const char *path) {
    struct stat st;
    if (lstat(path, &st)) say(call, tag, "!%s", errname(errno));
    else say(call, tag, "mode=%o uid=%u gid=%u size=%ld", st.st_mode, st.st_uid, st.st_gid, (long)st.st_size);
}

static void modes(void) {
    put("/work/m", "x");
    int fd = open("/work/m", O_RDWR), dir = open("/work", O_RDONLY), path = open("/work/m", O_PATH);
    T("own", chmod, "/work/m", 0640);
    show("chmod", "own", "/work/m");
    T("suid", chmod, "/work/m", 06755);
    show("chmod", "suid", "/work/m");
    T("others", chmod, "/work/secret", 0600);
    T("enoent", chmod, "/work/none", 0600);
    T("efault", chmod, BAD, 0600);
    T("rofs", chmod, "/ro/file", 0644);
    T("loop", chmod, "/work/loop", 0644);
    T("locked", chmod, "/work/locked/inner", 0644);
    T("notdir", chmod, "/work/file/x", 0644);
    T("high_bits", chmod, "/work/m", 0170600);
    show("chmod", "high_bits", "/work/m");
    T("fd", fchmod, fd, 0600);
    T("ebadf", fchmod, 99, 0600);
    T("path", fchmod, path, 0600);
    T("relative", fchmodat, dir, "m", 0644);
    T("ebadf", fchmodat, 99, "m", 0644);
    T("ebadf_empty", fchmodat, 99, "", 0644);
    T("ebadf_empty", fchownat, 99, "", 0, 0, 0);
    T("ebadf_empty_path", fchmodat2, 99, "", 0644, AT_EMPTY_PATH);
    T("efault", fchmodat, dir, BAD, 0644);
    T("relative", fchmodat2, dir, "m", 0604, 0);
    show("fchmodat2", "relative", "/work/m");
    symlink("m", "/work/ml");
    T("nofollow_link", fchmodat2, dir, "ml", 0604, AT_SYMLINK_NOFOLLOW);
    T("empty_path", fchmodat2, fd, "", 0606, AT_EMPTY_PATH);
    T("empty_opath", fchmodat2, path, "", 0606, AT_EMPTY_PATH);
    T("flags", fchmodat2, dir, "m", 0604, 1);
    show("fchmodat2", "end", "/work/m");
}

static void owners(void) {
    put("/work/o", "x");
    symlink("o", "/work/ol");
    int fd = open("/work/o", O_RDWR), dir = open("/work", O_RDONLY), path = open("/work/o", O_PATH);
    T("nothing", chown, "/work/o", -1, -1);
    T("own_group", chown, "/work/o", -1, getgid());
    T("other", chown, "/work/o", 7, 8);
    show("chown", "other", "/work/o");
    T("others_file", chown, "/work/secret", -1, -1);
    T("through_link", chown, "/work/ol", 9, 10);
    show("chown", "through_link", "/work/o");
    T("large", chown, "/work/o", 70000, 70001);
    show("chown", "large", "/work/o");
    T("enoent", chown, "/work/none", 1, 1);
    T("efault", chown, BAD, 1, 1);
    T("rofs", chown, "/ro/file", 1, 1);
    T("link", lchown, "/work/ol", 11, 12);
    show("lchown", "link", "/work/ol");
    T("enoent", lchown, "/work/none", 1, 1);
    T("efault", lchown, BAD, 1, 1);
    T("fd", fchown, fd, 13, 14);
    T("ebadf", fchown, 99, 1, 1);
    T("path", fchown, path, 1, 1);
    T("relative", fchownat, dir, "o", 15, 16, 0);
    T("nofollow", fchownat, dir, "ol", 17, 18, AT_SYMLINK_NOFOLLOW);
    show("fchownat", "nofollow", "/work/ol");
    T("empty_path", fchownat, fd, "", 19, 20, AT_EMPTY_PATH);
    T("flags", fchownat, dir, "o", 1, 1, 1);
    T("ebadf", fchownat, 99, "o", 1, 1, 0);
    T("efault", fchownat, dir, BAD, 1, 1, 0);
    show("fchownat", "end", "/work/o");
    put("/work/sg", "x");
    chmod("/work/sg", 06755);
    T("clears_suid", chown, "/work/sg", -1, getgid());
    show("chown", "clears_suid", "/work/sg");
}

static void when(const char *call, const char *tag, const char *path) {
    struct stat st;
    if (lstat(path, &st)) return;
    say(call, tag, "atime=%ld.%09ld mtime=%ld.%09ld", (long)st.st_atim.tv_sec, st.st_atim.tv_nsec, (long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static void times(void) {
    put("/work/t", "x");
    symlink("t", "/work/tl");
    int fd = open("/work/t", O_RDWR), dir = open("/work", O_RDONLY);
    struct utimbuf one = {1000, 2000};
    struct timeval two[2] = {{3000, 5}, {4000, 6}};
    struct timespec three[2] = {{5000, 7}, {6000, 8}};
    T("set", utime, "/work/t", &one);
    when("utime", "set", "/work/t");
    T("now", utime, "/work/t", NULL);
    T("efault", utime, "/work/t", BAD);
    T("efault_path", utime, BAD, &one);
    T("enoent", utime, "/work/none", &one);
    T("others", utime, "/work/secret", &one);
    T("others_now", utime, "/work/file", NULL);
    T("set", utimes, "/work/t", two);
    when("utimes", "set", "/work/t");
    T("rofs", utimes, "/ro/file", two);
    two[0].tv_usec = 1000000;
    T("einval", utimes, "/work/t", two);
    two[0].tv_usec = 0;
    T("efault", utimes, "/work/t", BAD);
    T("set", futimesat, dir, "t", two);
    T("fd", futimesat, fd, NULL, two);
    T("ebadf", futimesat, 99, "t", two);
    T("set", utimensat, dir, "t", three, 0);
    when("utimensat", "set", "/work/t");
    T("fd", utimensat, fd, NULL, three, 0);
    T("nofollow", utimensat, dir, "tl", three, AT_SYMLINK_NOFOLLOW);
    struct timespec omit[2] = {{0, UTIME_OMIT}, {1, 0}};
    T("omit", utimensat, dir, "t", omit, 0);
    when("utimensat", "omit", "/work/t");
    struct timespec both[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    T("omit_both", utimensat, dir, "none", both, 0);
    struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    T("now", utimensat, dir, "t", now, 0);
    T("now_others", utimensat, dir, "secret", now, 0);
    T("set_others", utimensat, dir, "secret", three, 0);
    struct timespec bad[2] = {{0, 2000000000}, {0, 0}};
    T("einval", utimensat, dir, "t", bad, 0);
    T("flags", utimensat, dir, "t", three, 1);
    T("ebadf", utimensat, 99, "t", three, 0);
    T("efault", utimensat, dir, "t", BAD, 0);
    T("efault_path", utimensat, dir, BAD, three, 0);
    T("empty_path", utimensat, fd, "", three, AT_EMPTY_PATH);
    T("cwd_null", utimensat, AT_FDCWD, NULL, three, 0);
}

static void lengths(void) {
    put("/work/len", "0123456789");
    int fd = open("/work/len", O_RDWR), reader = open("/work/len", O_RDONLY);
    T("shrink", truncate, "/work/len", 5L);
    show("truncate", "shrink", "/work/len");
    T("grow", truncate, "/work/len", 100L);
    show("truncate", "grow", "/work/len");
    T("negative", truncate, "/work/len", -1L);
    T("dir", truncate, "/work/dir", 0L);
    T("enoent", truncate, "/work/none", 0L);
    T("efault", truncate, BAD, 0L);
    T("rofs", truncate, "/ro/file", 0L);
    T("others", truncate, "/work/secret", 6L);
    T("fifo", truncate, "/work/fifo", 0L);
    T("link", truncate, "/work/loop", 0L);
    T("huge", truncate, "/tmp/none", 1L << 62);
    T("fd", ftruncate, fd, 3L);
    T("reader", ftruncate, reader, 3L);
    T("negative", ftruncate, fd, -1L);
    T("ebadf", ftruncate, 99, 3L);
    put("/work/suidtrunc", "x");
    chmod("/work/suidtrunc", 04755);
    T("clears_suid", truncate, "/work/suidtrunc", 0L);
    show("truncate", "clears_suid", "/work/suidtrunc");
}

FAMILY(attributes) {
    SECTION(modes);
    SECTION(owners);
    SECTION(times);
    SECTION(lengths);
}
