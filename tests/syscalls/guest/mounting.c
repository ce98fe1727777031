/* Mounts made by a guest with CAP_SYS_ADMIN: what it sees of them, and what they keep others from doing. */
#include "guest.h"

#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

/* Type and options of what is mounted at `point`, by /proc/self/mountinfo; the last line counts. */
static void line_of(const char *tag, const char *point) {
    FILE *table = fopen("/proc/self/mountinfo", "r");
    static char line[8192];
    char shown[256] = "none";
    int count = 0;
    while (table && fgets(line, sizeof line, table)) {
        char at[1024], options[256], kind[64];
        if (sscanf(line, "%*s %*s %*s %*s %1023s %255s", at, options) != 2 || strcmp(at, point)) continue;
        char *rest = strstr(line, " - ");
        if (!rest || sscanf(rest, " - %63s", kind) != 1) continue;
        /* Devices never count in the sandbox: see the table. */
        char *nodev = strstr(options, ",nodev");
        if (nodev) memmove(nodev, nodev + 6, strlen(nodev + 6) + 1);
        snprintf(shown, sizeof shown, "%s %s", kind, options);
        count++;
    }
    if (table) fclose(table);
    say("mount", tag, "%d %s", count, shown);
}

static void flags_of(const char *tag, const char *path) {
    struct statvfs fs;
    if (statvfs(path, &fs)) say("statfs", tag, "!%s", errname(errno));
    else say("statfs", tag, "ro=%d nosuid=%d noexec=%d noatime=%d", !!(fs.f_flag & ST_RDONLY), !!(fs.f_flag & ST_NOSUID), !!(fs.f_flag & ST_NOEXEC), !!(fs.f_flag & ST_NOATIME));
}

static void show(const char *tag, const char *path) {
    struct stat st;
    if (lstat(path, &st)) say("lstat", tag, "!%s", errname(errno));
    else say("lstat", tag, "mode=%o uid=%u gid=%u", st.st_mode, st.st_uid, st.st_gid);
}

static void tmpfs(void) {
    mkdir("/work/t", 0755);
    put("/work/t/under", "covered");
    T("tmpfs", mount, "source", "/work/t", "tmpfs", MS_NOSUID, "size=64k,mode=0750,uid=3,gid=4");
    line_of("tmpfs_line", "/work/t");
    flags_of("tmpfs", "/work/t");
    show("tmpfs_root", "/work/t");
    T("covered", access, "/work/t/under", F_OK);
    put("/work/t/f", "inside");
    say("open", "tmpfs_content", "%s", get("/work/t/f"));
    struct stat a, b;
    stat("/work/t", &a);
    stat("/work", &b);
    say("stat", "tmpfs_device", "differs=%d", a.st_dev != b.st_dev);
    T("cross_rename", rename, "/work/t/f", "/work/f2");
    T("cross_link", link, "/work/t/f", "/work/f2");
    T("mountpoint_rename", rename, "/work/t", "/work/t2");
    T("mountpoint_rmdir", rmdir, "/work/t");
    int fd = open("/work/t/big", O_RDWR | O_CREAT, 0600);
    static char block[32768];
    long total = 0, n;
    for (int i = 0; i < 4 && (n = write(fd, block, sizeof block)) > 0; i++) total += n;
    say("write", "tmpfs_full", "limited=%d %s", total <= 65536, errname(errno));
    T("busy", umount2, "/work/t", 0);
    close(fd);
    T("not_root", umount2, "/work/t/f", 0);
    T("umount", umount2, "/work/t", 0);
    T("again", umount2, "/work/t", 0);
    T("uncovered", access, "/work/t/under", F_OK);
    line_of("tmpfs_gone", "/work/t");
    T("on_file", mount, "t", "/work/file", "tmpfs", 0, NULL);
    T("bad_option", mount, "t", "/work/t", "tmpfs", 0, "nonsense=1");
    T("bad_size", mount, "t", "/work/t", "tmpfs", 0, "size=x");
    T("no_type", mount, "t", "/work/t", NULL, 0, NULL);
    T("unknown_type", mount, "t", "/work/t", "nonsensefs", 0, NULL);
    T("no_target", mount, "t", "/work/none", "tmpfs", 0, NULL);
    T("efault_data", mount, "t", "/work/t", "tmpfs", 0, BAD);
    T("magic", mount, "t", "/work/t", "tmpfs", 0xc0ed0000UL | MS_NOEXEC, NULL);
    line_of("magic_line", "/work/t");
    T("no_source", mount, NULL, "/work/t", "tmpfs", 0, NULL);
    line_of("stacked", "/work/t");
    T("upper", umount2, "/work/t", 0);
    T("through_link", umount2, "/work/tlink", 0);
    symlink("t", "/work/tlink");
    T("nofollow", umount2, "/work/tlink", UMOUNT_NOFOLLOW);
    T("through_link", umount2, "/work/tlink", 0);
}

static int runs(const char *path) {
    pid_t child = fork();
    if (child == 0) {
        char *argv[] = {"true", NULL}, *envp[] = {NULL};
        execve(path, argv, envp);
        _exit(errno == EACCES ? 13 : 99);
    }
    int status;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

static void flags(void) {
    mkdir("/work/fl", 0755);
    T("plain", mount, "t", "/work/fl", "tmpfs", 0, NULL);
    int from = open("/bin/syscall-guest", O_RDONLY), to = open("/work/fl/true", O_WRONLY | O_CREAT, 0755);
    static char block[65536];
    ssize_t n;
    while ((n = read(from, block, sizeof block)) > 0)
        if (write(to, block, (size_t)n) != n) say("write", "program", "%s", errname(errno));
    close(to);
    say("execve", "plain", "%d", runs("/work/fl/true"));
    T("noexec", mount, NULL, "/work/fl", NULL, MS_REMOUNT | MS_BIND | MS_NOEXEC, NULL);
    say("execve", "noexec", "%d", runs("/work/fl/true"));
    T("noexec_x", access, "/work/fl/true", X_OK);
    to = open("/work/fl/true", O_RDONLY);
    void *map = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, to, 0);
    say("mmap", "noexec", "%s", map == MAP_FAILED ? errname(errno) : "mapped");
    close(to);
    T("exec_again", mount, NULL, "/work/fl", NULL, MS_REMOUNT | MS_BIND, NULL);
    say("execve", "exec_again", "%d", runs("/work/fl/true"));
    T("read_only", mount, NULL, "/work/fl", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL);
    flags_of("read_only", "/work/fl");
    T("ro_create", open, "/work/fl/new", O_CREAT | O_RDWR, 0600);
    T("ro_write", open, "/work/fl/true", O_WRONLY);
    T("ro_unlink", unlink, "/work/fl/true");
    T("ro_chmod", chmod, "/work/fl/true", 0700);
    T("ro_w", access, "/work/fl", W_OK);
    T("writable", mount, NULL, "/work/fl", NULL, MS_REMOUNT | MS_BIND, NULL);
    T("rw_chmod", chmod, "/work/fl/true", 04755);
    T("filesystem_ro", mount, NULL, "/work/fl", NULL, MS_REMOUNT | MS_RDONLY, NULL);
    flags_of("filesystem_ro", "/work/fl");
    line_of("filesystem_ro_line", "/work/fl");
    T("filesystem_rw", mount, NULL, "/work/fl", NULL, MS_REMOUNT | MS_NOATIME, "size=128k");
    flags_of("filesystem_rw", "/work/fl");
    T("strictatime", mount, NULL, "/work/fl", NULL, MS_REMOUNT | MS_BIND | MS_STRICTATIME, NULL);
    line_of("strictatime_line", "/work/fl");
    T("nosymfollow", mount, NULL, "/work/fl", NULL, MS_REMOUNT | MS_BIND | 256, NULL);
    symlink("true", "/work/fl/link");
    T("nosymfollow", open, "/work/fl/link", O_RDONLY);
    T("not_a_mount", mount, NULL, "/work", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL);
    T("remount_not_a_mount", mount, NULL, "/work", NULL, MS_REMOUNT | MS_RDONLY, NULL);
    T("busy_ro", open, "/work/fl/held", O_RDWR | O_CREAT, 0600);
    T("busy_ro", mount, NULL, "/work/fl", NULL, MS_REMOUNT | MS_RDONLY, NULL);
    T("busy_bind_ro", mount, NULL, "/work/fl", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL);
    T("detach", umount2, "/work/fl", MNT_DETACH);
    T("detached", access, "/work/fl/true", F_OK);
}

static void binds(void) {
    mkdir("/work/a", 0755);
    mkdir("/work/a/sub", 0755);
    mkdir("/work/b", 0755);
    put("/work/a/file", "of a");
    put("/work/target", "target");
    T("directory", mount, "/work/a", "/work/b", NULL, MS_BIND, NULL);
    say("open", "bind", "%s", get("/work/b/file"));
    put("/work/b/new", "through b");
    say("open", "bind_back", "%s", get("/work/a/new"));
    T("same_rename", rename, "/work/b/new", "/work/a/new2");
    T("same_link", link, "/work/b/new", "/work/a/new3");
    T("file", mount, "/work/a/file", "/work/target", NULL, MS_BIND, NULL);
    say("open", "bind_file", "%s", get("/work/target"));
    T("unlink_target", unlink, "/work/target");
    T("file_over_dir", mount, "/work/a/file", "/work/a/sub", NULL, MS_BIND, NULL);
    T("dir_over_file", mount, "/work/a", "/work/a/file", NULL, MS_BIND, NULL);
    T("no_source", mount, NULL, "/work/b", NULL, MS_BIND, NULL);
    T("empty_source", mount, "", "/work/b", NULL, MS_BIND, NULL);
    T("source_enoent", mount, "/work/none", "/work/b", NULL, MS_BIND, NULL);
    T("target_enoent", mount, "/work/a", "/work/none", NULL, MS_BIND, NULL);
    T("flags_ignored", mount, "/work/a", "/work/b", NULL, MS_BIND | MS_RDONLY, NULL);
    T("still_writable", access, "/work/b", W_OK);
    T("upper", umount2, "/work/b", 0);
    T("onto_itself", mount, "/work/a", "/work/a", NULL, MS_BIND, NULL);
    T("itself_ro", mount, NULL, "/work/a", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL);
    T("ro_here", open, "/work/a/x", O_CREAT | O_RDWR, 0600);
    T("rw_there", open, "/work/b/x", O_CREAT | O_RDWR, 0600);
    T("itself", umount2, "/work/a", 0);
    T("inner", mount, "t", "/work/a/sub", "tmpfs", 0, NULL);
    put("/work/a/sub/deep", "deep");
    T("not_recursive", mount, "/work/a", "/work/b", NULL, MS_BIND, NULL);
    T("not_there", access, "/work/b/sub/deep", F_OK);
    T("not_recursive", umount2, "/work/b", 0);
    T("recursive", mount, "/work/a", "/work/b", NULL, MS_BIND | MS_REC, NULL);
    T("there", access, "/work/b/sub/deep", F_OK);
    T("has_children", umount2, "/work/b", 0);
    T("with_children", umount2, "/work/b", MNT_DETACH);
    mkdir("/work/moved", 0755);
    T("move", mount, "/work/a/sub", "/work/moved", NULL, MS_MOVE, NULL);
    T("moved", access, "/work/moved/deep", F_OK);
    T("moved_from", access, "/work/a/sub/deep", F_OK);
    T("move_no_mount", mount, "/work/a", "/work/b", NULL, MS_MOVE, NULL);
    T("move_into_itself", mount, "/work/moved", "/work/moved", NULL, MS_MOVE, NULL);
    T("moved", umount2, "/work/moved", 0);
    T("file", umount2, "/work/target", 0);
    T("first", umount2, "/work/b", 0);
    /* A copy of a read-only mount stays so where the sandbox is stricter; of a writable one it may be either. */
    T("of_noexec", mount, "/noexec", "/work/b", NULL, MS_BIND, NULL);
    say("execve", "copy_noexec", "%d", runs("/work/b/true"));
    T("of_noexec", umount2, "/work/b", 0);
    int fd = open("/work/a/file", O_RDONLY);
    char name[40];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    T("by_descriptor", mount, name, "/work/target", NULL, MS_BIND, NULL);
    say("open", "by_descriptor", "%s", get("/work/target"));
    T("by_descriptor", umount2, "/work/target", 0);
}

static void kinds(void) {
    mkdir("/work/p", 0755);
    T("proc", mount, "proc", "/work/p", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);
    line_of("proc_line", "/work/p");
    char path[64], comm[64];
    snprintf(path, sizeof path, "/work/p/%d/comm", getpid());
    snprintf(comm, sizeof comm, "%s", get(path));
    say("open", "proc_comm", "%s", comm);
    T("proc_self", access, "/work/p/self/status", R_OK);
    struct stat st;
    T("proc_exe", stat, "/work/p/self/exe", &st);
    T("proc_fd", open, "/work/p/self/fd/1", O_WRONLY);
    int inside = open("/work/p/self", O_PATH);
    pid_t child = fork();
    if (child == 0) {
        if (chdir("/work/p/1")) _exit(1);
        T("proc_busy", umount2, "/work/p", 0);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    close(inside);
    T("proc", umount2, "/work/p", 0);
    T("proc_gone", access, "/work/p/self", F_OK);
    T("proc_again", mount, "proc", "/work/p", "proc", 0, NULL);
    T("proc_over", mount, "t", "/work/p/tty", "tmpfs", 0, NULL);
    T("proc_over", umount2, "/work/p", 0);
    T("proc_over", umount2, "/work/p/tty", 0);
    T("proc", umount2, "/work/p", MNT_DETACH);
    T("sysfs", mount, "sysfs", "/work/p", "sysfs", MS_RDONLY, NULL);
    T("sysfs_content", access, "/work/p/kernel", F_OK);
    T("sysfs", umount2, "/work/p", 0);
    T("bind_proc", mount, "/proc", "/work/p", NULL, MS_BIND, NULL);
    T("bind_proc", access, "/work/p/self/status", R_OK);
    T("bind_proc", umount2, "/work/p", 0);
    T("bind_sys", mount, "/sys", "/work/p", NULL, MS_BIND, NULL);
    T("bind_sys", access, "/work/p/kernel", F_OK);
    T("bind_sys", umount2, "/work/p", 0);
    T("private", mount, NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL);
    T("slave", mount, NULL, "/", NULL, MS_SLAVE | MS_REC, NULL);
    T("two_kinds", mount, NULL, "/", NULL, MS_SLAVE | MS_PRIVATE, NULL);
    T("with_more", mount, NULL, "/", NULL, MS_PRIVATE | MS_RDONLY, NULL);
    T("not_a_mount", mount, NULL, "/work", NULL, MS_PRIVATE, NULL);
    T("flags", umount2, "/work/p", 0x100);
    T("expire_detach", umount2, "/work/p", MNT_EXPIRE | MNT_DETACH);
    T("plain_dir", umount2, "/work/p", 0);
    T("efault", umount2, BAD, 0);
    T("enoent", umount2, "/work/none", 0);
    if (getuid() != 0) return;
    T("expire", mount, "t", "/work/p", "tmpfs", 0, NULL);
    T("expire_first", umount2, "/work/p", MNT_EXPIRE);
    T("expire_second", umount2, "/work/p", MNT_EXPIRE);
    T("expired", umount2, "/work/p", 0);
    /* A shell stands there, and makes a process: (cd DIRECTORY; PROGRAM). */
    T("left", mount, "t", "/work/p", "tmpfs", 0, NULL);
    child = fork();
    if (child == 0) {
        if (chdir("/work/p")) _exit(1);
        if (fork() == 0) _exit(0);
        wait(NULL);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    T("left", umount2, "/work/p", 0);
}

static void in_chroot(void) {
    if (getuid() != 0) return;
    mkdir("/work/root", 0755);
    T("root", mount, "t", "/work/root", "tmpfs", 0, "mode=755");
    mkdir("/work/root/bin", 0755);
    mkdir("/work/root/proc", 0755);
    mkdir("/work/root/in", 0755);
    T("bin", mount, "/bin", "/work/root/bin", NULL, MS_BIND, NULL);
    T("proc", mount, "proc", "/work/root/proc", "proc", 0, NULL);
    pid_t child = fork();
    if (child == 0) {
        T("mounted", chroot, "/work/root");
        if (chdir("/")) _exit(1);
        T("inside", mount, "t", "/in", "tmpfs", 0, NULL);
        put("/in/f", "x");
        T("inside", access, "/in/f", F_OK);
        T("inside_dotdot", umount2, "/in/..", 0);
        T("inside", umount2, "in", 0);
        char *argv[] = {"sh", "-c", "echo mounting::execve.chroot $PWD; ls /proc/self/fd | wc -l | grep -c .", NULL}, *envp[] = {"PATH=/bin", NULL};
        execve("/bin/sh", argv, envp);
        _exit(1);
    }
    int status;
    waitpid(child, &status, 0);
    say("execve", "chroot_ended", "%s", ended(status));
    T("root", umount2, "/work/root", MNT_DETACH);
    /* A process that stands in what was unmounted still stands there. */
    mkdir("/work/stand", 0755);
    T("stand", mount, "t", "/work/stand", "tmpfs", 0, NULL);
    if (chdir("/work/stand")) return;
    put("here", "x");
    T("busy_cwd", umount2, "/work/stand", 0);
    T("detach_cwd", umount2, "/work/stand", MNT_DETACH);
    T("still_here", access, "here", F_OK);
    T("above", access, "../file", F_OK);
    /* What is mounted over the working directory has no other name from here. */
    mkdir("/work/over", 0755);
    if (chdir("/work/over")) return;
    T("over_nothing", umount2, ".", 0);
    T("over", mount, "t", "/work/over", "tmpfs", 0, NULL);
    put("/work/over/upper", "x");
    T("over_first", mount, "t", "/work/over", "tmpfs", 0, NULL);
    T("over_second", umount2, "./", 0);
    T("over_upper", access, "/work/over/upper", F_OK);
    T("over_below", access, "upper", F_OK);
    T("over", umount2, ".", 0);
    T("over_gone", access, "/work/over/upper", F_OK);
    T("over_again", umount2, ".", MNT_DETACH);
}

/* Mounts end with what they are mounted on, and leave nothing behind that would run out. */
static void many(void) {
    mkdir("/work/many", 0755);
    int failed = 0, error = 0;
    for (int i = 0; i < 1100 && !failed; i++) {
        failed |= mount("t", "/work/many", "tmpfs", 0, NULL) && (error = errno);
        mkdir("/work/many/inner", 0755);
        failed |= mount("t", "/work/many/inner", "tmpfs", 0, NULL) && (error = errno);
        failed |= umount2("/work/many", MNT_DETACH) && (error = errno);
    }
    say("mount", "many", "%d %s", failed, errname(error));
}

static void without_right(void) {
    if (getuid() == 0 && setresuid(1000, 1000, 1000)) return;
    mkdir("/tmp/mine", 0755);
    T("user", mount, "t", "/tmp/mine", "tmpfs", 0, NULL);
    T("user_bind", mount, "/tmp/mine", "/tmp/mine", NULL, MS_BIND, NULL);
    T("user", umount2, "/tmp", 0);
    T("user_enoent", mount, "t", "/tmp/none", "tmpfs", 0, NULL);
    T("user_efault", mount, "t", BAD, "tmpfs", 0, NULL);
}

/* What the container began with; here the sandbox does what Linux does for a user namespace. */
static void locked(void) {
    if (getuid() != 0) return;
    T("locked", umount2, "/tmp", 0);
    T("locked_detach", umount2, "/proc", MNT_DETACH);
    T("locked_rw", mount, NULL, "/ro", NULL, MS_REMOUNT | MS_BIND, NULL);
    T("locked_exec", mount, NULL, "/noexec", NULL, MS_REMOUNT | MS_BIND, NULL);
    T("locked_remount", mount, NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
    T("locked_copy", mount, "/ro", "/mnt", NULL, MS_BIND, NULL);
    T("locked_copy_rw", mount, NULL, "/mnt", NULL, MS_REMOUNT | MS_BIND, NULL);
    T("locked_children", mount, "/", "/mnt", NULL, MS_BIND, NULL);
    T("locked_tighter", mount, NULL, "/small", NULL, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | MS_RDONLY, NULL);
    T("locked_tighter", open, "/small/x", O_RDWR | O_CREAT, 0600);
    T("locked_move", mount, "/small", "/mnt", NULL, MS_MOVE, NULL);
    T("locked_dev", mount, "t", "/mnt", "devtmpfs", 0, NULL);
    T("locked_node", mknod, "/dev/shm/node", S_IFCHR | 0666, makedev(1, 3));
}

static void new_root(void) {
    T("to", pivot_root, "/work/root", "/work/root/old");
    T("inside", access, "/marker", F_OK);
    T("old", access, "/old/work/file", F_OK);
    char where[256] = "";
    if (getcwd(where, sizeof where)) say("pivot_root", "cwd", "%s", where);
    T("old_busy", umount2, "/old", 0);
    T("old", umount2, "/old", MNT_DETACH);
    T("old_gone", access, "/old/work/file", F_OK);
    T("proc", mount, "proc", "/proc", "proc", 0, NULL);
    say("mount", "lines", "%d", strstr(get("/proc/self/mountinfo"), " /proc ") != NULL);
    T("above", access, "/../marker", F_OK);
    pid_t child = fork();
    if (child == 0) {
        T("child", access, "/marker", F_OK);
        T("child", mount, "t", "/old", "tmpfs", 0, NULL);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    T("of_child", umount2, "/old", 0);
}

/* The same with one directory for both, as container runtimes do it. */
static void new_root_in_place(void) {
    int old = open("/", O_PATH | O_DIRECTORY);
    if (chdir("/work/root")) return;
    T("in_place", pivot_root, ".", ".");
    if (fchdir(old)) return;
    T("in_place", umount2, ".", MNT_DETACH);
    if (chdir("/")) return;
    T("in_place", access, "/marker", F_OK);
    T("in_place_gone", access, "/work", F_OK);
}

/* A root that is no namespace's: to take it from its place uncovers what is below it. */
static void root_of_a_chroot(void) {
    T("chroot", chdir, "/small");
    T("chroot", mount, "t", "/small", "tmpfs", 0, NULL);
    int over = open("/small", O_RDONLY | O_DIRECTORY);
    T("chroot", chroot, ".");
    T("chroot", fchdir, over);
    T("chroot", mkdir, "old", 0755);
    T("chroot_of_containers", pivot_root, ".", "old");
}

static void own_namespace(void (*body)(void)) {
    pid_t child = fork();
    if (child == 0) {
        if (unshare(CLONE_NEWNS)) say("unshare", "failed", "%s", errname(errno));
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
        mkdir("/work/root", 0755);
        mount("/work/root", "/work/root", NULL, MS_BIND, NULL);
        mkdir("/work/root/old", 0755);
        mkdir("/work/root/proc", 0755);
        put("/work/root/marker", "x");
        body();
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

/* A mount namespace of its own: what is mounted in it nobody else sees, and it goes with its processes. */
static void namespaces(void) {
    mkdir("/work/space", 0755);
    if (getuid() != 0) {
        T("user", unshare, CLONE_NEWNS);
        T("user", pivot_root, "/work/space", "/work/space");
        return;
    }
    mount("t", "/work/space", "tmpfs", 0, NULL);
    put("/work/space/outer", "x");
    char before[64] = "", after[64] = "";
    if (readlink("/proc/self/ns/mnt", before, 63) < 0) return;
    pid_t child = fork();
    if (child == 0) {
        if (chdir("/work/space")) _exit(1);
        T("new", unshare, CLONE_NEWNS);
        if (readlink("/proc/self/ns/mnt", after, 63) > 0) say("readlink", "new_namespace", "%d", strcmp(before, after) != 0);
        T("private", mount, "none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
        T("cwd", access, "outer", F_OK);
        mkdir("/work/mine", 0755);
        T("mine", mount, "t", "/work/mine", "tmpfs", 0, NULL);
        put("/work/mine/inner", "x");
        T("inner", access, "/work/mine/inner", F_OK);
        say("mount", "shown", "%d", strstr(get("/proc/self/mounts"), "/work/mine") != NULL);
        T("inherited_busy", umount2, "/work/space", 0);
        if (chdir("/")) _exit(1);
        T("inherited", umount2, "/work/space", 0);
        T("inherited_gone", access, "/work/space/outer", F_OK);
        T("again", unshare, CLONE_NEWNS | CLONE_FS);
        T("still", access, "/work/mine/inner", F_OK);
        T("mine", umount2, "/work/mine", 0);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    T("untouched", access, "/work/space/outer", F_OK);
    T("not_ours", access, "/work/mine/inner", F_OK);
    say("mount", "not_shown", "%d", strstr(get("/proc/self/mounts"), "/work/mine") != NULL);
    T("space", umount2, "/work/space", 0);
    own_namespace(new_root);
    own_namespace(new_root_in_place);
    own_namespace(root_of_a_chroot);
    T("enoent", pivot_root, "/work/none", "/work");
    T("efault", pivot_root, BAD, "/work");
    int failed = 0, error = 0;
    for (int i = 0; i < 300 && !failed; i++) {
        child = fork();
        if (child == 0) _exit(unshare(CLONE_NEWNS) ? errno : 0);
        int status = 0;
        waitpid(child, &status, 0);
        failed |= status != 0;
        error = WEXITSTATUS(status);
    }
    say("unshare", "many", "%d %s", failed, errname(error));
}

/* Another process while roots are pivoted: where it stands then. */
struct bystander {
    pid_t pid;
    int go[2];
};

static struct bystander bystander(const char *tag, const char *root, const char *cwd, const char *looks_for) {
    struct bystander one;
    if (pipe(one.go)) say("pipe", tag, "%s", errname(errno));
    int ready[2];
    if (pipe(ready)) say("pipe", tag, "%s", errname(errno));
    one.pid = fork();
    if (one.pid != 0) {
        char byte;
        close(one.go[0]);
        close(ready[1]);
        if (read(ready[0], &byte, 1) != 1) say("read", tag, "%s", errname(errno));
        close(ready[0]);
        return one;
    }
    close(one.go[1]);
    if (root && chroot(root)) _exit(1);
    if (chdir(cwd) || write(ready[1], "x", 1) != 1) _exit(2);
    char byte, where[256] = "";
    if (read(one.go[0], &byte, 1) < 0) _exit(3);
    if (getcwd(where, sizeof where)) say("pivot_root", tag, "%s", where);
    T(tag, access, looks_for, F_OK);
    _exit(0);
}

static void dismiss(struct bystander one) {
    int status;
    if (write(one.go[1], "x", 1) != 1) say("write", "bystander", "%s", errname(errno));
    waitpid(one.pid, &status, 0);
    say("pivot_root", "bystander", "%s", ended(status));
}

static void refused_roots(void) {
    T("own_same", pivot_root, "/", "/");
    T("own_put_old_outside", pivot_root, "/work/root", "/work");
    T("own_new_no_mount", pivot_root, "/work/root/old", "/work/root");
    T("own_file", pivot_root, "/work/root/marker", "/work/root");
    T("own_put_old_file", pivot_root, "/work/root", "/work/root/marker");
    T("own_enoent", pivot_root, "/work/root", "/work/root/none");
    pid_t child = fork();
    if (child == 0) {
        T("own_chroot", chroot, "/work");
        T("own_chroot", pivot_root, "/root", "/root/old");
        _exit(0);
    }
    waitpid(child, NULL, 0);
    child = fork();
    if (child == 0) {
        if (setresuid(1000, 1000, 1000)) _exit(1);
        T("own_user", pivot_root, "/work/root", "/work/root/old");
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

/* The root of the namespace that the container began in: everybody in it stands on another root then. */
static void root_of_the_container(void) {
    if (getuid() != 0) return;
    char before[64] = "", after[64] = "", where[256] = "";
    mkdir("/work/root", 0755);
    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    mount("/work/root", "/work/root", NULL, MS_BIND, NULL);
    mkdir("/work/root/old", 0755);
    mkdir("/work/root/proc", 0755);
    put("/work/root/marker", "x");
    refused_roots();
    if (readlink("/proc/self/ns/mnt", before, 63) < 0) return;
    int space = open("/proc/self/ns/mnt", O_RDONLY), info = open("/proc/self/mountinfo", O_RDONLY);
    int old = open("/", O_RDONLY | O_DIRECTORY), deep = open("/work", O_RDONLY | O_DIRECTORY);
    struct bystander all[] = {
        bystander("on_root", NULL, "/", "marker"),
        bystander("in_old", NULL, "/work", "file"),
        bystander("in_new", NULL, "/work/root/proc", "../marker"),
        bystander("in_chroot", "/work", "/root", "/file"),
    };
    pid_t apart = fork();
    if (apart == 0) {
        if (unshare(CLONE_NEWNS) || raise(SIGSTOP)) _exit(1);
        T("apart", access, "/work/file", F_OK);
        _exit(0);
    }
    waitpid(apart, NULL, WUNTRACED);
    T("own", pivot_root, "/work/root", "/work/root/old");
    T("own", access, "/marker", F_OK);
    T("own_old", access, "/old/work/file", F_OK);
    T("own_before", access, "/work/file", F_OK);
    if (getcwd(where, sizeof where)) say("pivot_root", "own_cwd", "%s", where);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) dismiss(all[i]);
    kill(apart, SIGCONT);
    waitpid(apart, NULL, 0);
    T("own_proc", mount, "proc", "/proc", "proc", 0, NULL);
    if (readlink("/proc/self/ns/mnt", after, 63) < 0) say("readlink", "own", "%s", errname(errno));
    say("readlink", "own_namespace", "%d", strcmp(before, after) == 0);
    struct pollfd news = {.fd = info, .events = POLLPRI};
    say("poll", "own_news", "%d", poll(&news, 1, 0));
    T("own_fchdir", fchdir, old);
    T("own_fchdir", access, "work/file", F_OK);
    T("own_fchdir_deep", fchdir, deep);
    T("own_fchdir_deep", access, "file", F_OK);
    T("own_setns", setns, space, 0);
    T("own_setns", access, "/marker", F_OK);
    pid_t child = fork();
    if (child == 0) {
        T("own_child", access, "/marker", F_OK);
        T("own_child", unshare, CLONE_NEWNS);
        T("own_child", umount2, "/old", MNT_DETACH);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    T("own_still", access, "/old/work/file", F_OK);
    T("own_busy", umount2, "/old", 0);
    T("own_proc", umount2, "/proc", 0);
    T("own_back", pivot_root, "/old", "/old/work/root");
    T("own_back", access, "/work/file", F_OK);
    T("own_back", access, "/work/root/marker", F_OK);
    T("own_new", umount2, "/work/root", MNT_DETACH);
}

static void root_in_place(void) {
    if (getuid() != 0) return;
    mkdir("/work/root", 0755);
    mount("/work/root", "/work/root", NULL, MS_BIND, NULL);
    put("/work/root/marker", "x");
    T("own_in_place", chdir, "/work/root");
    int old = open("/", O_PATH | O_DIRECTORY);
    T("own_in_place", pivot_root, ".", ".");
    T("own_in_place", fchdir, old);
    T("own_in_place", umount2, ".", MNT_DETACH);
    T("own_in_place", chdir, "/");
    T("own_in_place", access, "/marker", F_OK);
    T("own_in_place_gone", access, "/work", F_OK);
}

/* Names of the system in a namespace of its own. */
static void other_names(void) {
    T("uts", unshare, CLONE_NEWUTS);
    T("uts", sethostname, "inner", 5);
    struct utsname name;
    uname(&name);
    say("uname", "uts", "%s %s", name.nodename, get("/proc/sys/kernel/hostname"));
    pid_t child = fork();
    if (child == 0) {
        uname(&name);
        say("uname", "uts_child", "%s", name.nodename);
        T("uts_child", sethostname, "deeper", 6);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    uname(&name);
    say("uname", "uts_shared", "%s", name.nodename);
    T("both", unshare, CLONE_NEWUTS | CLONE_NEWNS);
}

static void names_of_the_system(void) {
    struct utsname before, after;
    uname(&before);
    pid_t child = fork();
    if (child == 0) {
        other_names();
        _exit(0);
    }
    waitpid(child, NULL, 0);
    uname(&after);
    say("uname", "uts_outside", "%d", strcmp(before.nodename, after.nodename) == 0);
}

FAMILY(mounting) {
    SECTION(names_of_the_system);
    SECTION(namespaces);
    SECTION(tmpfs);
    SECTION(flags);
    SECTION(binds);
    SECTION(kinds);
    SECTION(in_chroot);
    SECTION(many);
    SECTION(without_right);
    SECTION(root_of_the_container);
    SECTION(locked);
    SECTION(root_in_place);
}
