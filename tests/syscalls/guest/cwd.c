/* Working directory, root directory and file mode mask. */
#include "guest.h"

#include <pthread.h>

static void where(const char *tag) {
    char cwd[256] = {0};
    long n = syscall(SYS_getcwd, cwd, sizeof cwd);
    say("getcwd", tag, "%ld %s", n, n > 0 ? cwd : errname(errno));
}

static void chdir_calls(void) {
    where("start");
    T("dir", chdir, "/work/dir");
    where("dir");
    T("relative", chdir, "sub");
    where("relative");
    T("dotdot", chdir, "../..");
    where("dotdot");
    T("link", chdir, "/work/dirlink");
    where("link");
    T("root", chdir, "/");
    T("above_root", chdir, "../../..");
    where("above_root");
    T("file", chdir, "/work/file");
    T("enoent", chdir, "/work/none");
    T("efault", chdir, BAD);
    T("loop", chdir, "/work/loop");
    T("toolong", chdir, endless_path());
    T("locked", chdir, "/work/locked");
    chdir("/");
    T("empty", chdir, "");
    T("proc", chdir, "/proc/self");
    T("procfd", chdir, "/proc/self/fd");
    chdir("/");
    int dir = open("/work/dir", O_RDONLY), file = open("/work/file", O_RDONLY), path = open("/work/dir/sub", O_PATH);
    T("dir", fchdir, dir);
    where("fchdir");
    T("path", fchdir, path);
    where("fchdir_path");
    T("file", fchdir, file);
    T("ebadf", fchdir, 99);
    char small[4];
    T("erange", getcwd, small, 4);
    T("zero", getcwd, small, 0);
    T("efault", getcwd, BAD, 100);
    T("huge", getcwd, small, 1UL << 40);
    mkdir("/work/gonecwd", 0755);
    chdir("/work/gonecwd");
    rmdir("/work/gonecwd");
    where("deleted");
    T("dot_deleted", open, ".", O_RDONLY);
    T("from_deleted", chdir, "..");
    where("from_deleted");
    mkdir("/work/mv", 0755);
    chdir("/work/mv");
    rename("/work/mv", "/work/mv2");
    where("renamed");
}

static void child_cwd(void) {
    where("inherited");
    chdir("/tmp");
    where("child");
}

static void inheritance(void) {
    chdir("/work/dir");
    in_child(child_cwd);
    where("after_child");
    umask(027);
    say("umask", "inherit", "%o", umask(027));
}

static void *thread_cwd(void *argument) {
    (void)argument;
    chdir("/work/dir/sub");
    umask(055);
    return NULL;
}

static void threads_share(void) {
    pthread_t thread;
    chdir("/");
    pthread_create(&thread, NULL, thread_cwd, NULL);
    pthread_join(thread, NULL);
    where("set_by_thread");
    say("umask", "set_by_thread", "%o", umask(0));
}

static void umask_calls(void) {
    T("first", umask, 077);
    T("second", umask, 0170022);
    T("third", umask, 0);
    T("fourth", umask, 022);
}

static void chroot_calls(void) {
    T("enoent", chroot, "/work/none");
    T("file", chroot, "/work/file");
    T("efault", chroot, BAD);
    int outside = open("/", O_RDONLY);
    if (T("dir", chroot, "/work/dir") != 0) return;
    where("outside_root");
    T("absolute", open, "/a", O_RDONLY);
    T("gone", open, "/work/file", O_RDONLY);
    say("chroot", "relative_still", "%d", access("work/file", F_OK));
    chdir("/");
    where("inside");
    T("dotdot", chdir, "../../..");
    where("dotdot");
    T("escape_by_fd", fchdir, outside);
    where("escaped");
    T("escaped_file", open, "work/file", O_RDONLY);
    T("abs_link", readlink, "/proc/self/root", BAD, 1);
}

FAMILY(cwd) {
    SECTION(chdir_calls);
    SECTION(inheritance);
    SECTION(threads_share);
    SECTION(umask_calls);
    SECTION(chroot_calls);
}
