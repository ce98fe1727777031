/* open(2), openat(2), openat2(2), creat(2), close(2), close_range(2), dup(2) and friends. */
#include "guest.h"
#include <sys/resource.h>
#include <sys/socket.h>

#include <linux/openat2.h>

static long how_open(const char *tag, int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
    struct open_how how = {flags, mode, resolve};
    return T(tag, openat2, dirfd, path, &how, sizeof how);
}

static void shut(long fd) { if (fd >= 0) close((int)fd); }

static void flags_of(const char *tag, long fd) {
    if (fd < 0) return;
    int flags = fcntl((int)fd, F_GETFL);
    say("fcntl", tag, "flags=%#o fdflags=%d", (unsigned)flags, fcntl((int)fd, F_GETFD));
}

static void plain_open(void) {
    char buffer[64] = {0};
    long fd = T("read", open, "/work/file", O_RDONLY);
    flags_of("read", fd);
    say("open", "content", "n=%zd", read((int)fd, buffer, 63));
    say("open", "text", "%s", buffer);
    shut(fd);
    fd = T("cloexec", open, "/work/file", O_RDONLY | O_CLOEXEC);
    flags_of("cloexec", fd);
    shut(fd);
    fd = T("write", open, "/work/file", O_WRONLY);
    flags_of("write", fd);
    shut(fd);
    fd = T("create", open, "/work/new", O_RDWR | O_CREAT | O_EXCL, 0666);
    flags_of("create", fd);
    shut(fd);
    struct stat st;
    if (!stat("/work/new", &st)) say("open", "created", "mode=%o uid=%d gid=%d", st.st_mode, st.st_uid, st.st_gid);
    T("exists", open, "/work/new", O_RDWR | O_CREAT | O_EXCL, 0666);
    T("enoent", open, "/work/none", O_RDONLY);
    T("empty", open, "", O_RDONLY);
    T("enotdir", open, "/work/file/x", O_RDONLY);
    T("slash", open, "/work/file/", O_RDONLY);
    T("eisdir", open, "/work/dir", O_WRONLY);
    T("eisdir_creat", open, "/work/dir", O_RDONLY | O_CREAT, 0666);
    T("creat_slash", open, "/work/newdir/", O_RDWR | O_CREAT, 0666);
    T("eloop", open, "/work/loop", O_RDONLY);
    T("nofollow", open, "/work/link", O_RDONLY | O_NOFOLLOW);
    shut(T("follow", open, "/work/link", O_RDONLY));
    shut(T("absolute_link", open, "/work/abs", O_RDONLY));
    shut(T("dotdot_link", open, "/work/dotdot", O_RDONLY));
    T("dangling", open, "/work/dangling", O_RDONLY);
    shut(T("dangling_creat", open, "/work/dangling", O_RDWR | O_CREAT, 0600));
    T("dangling_excl", open, "/work/dangling2", O_RDWR | O_CREAT | O_EXCL, 0600);
    T("directory", open, "/work/file", O_RDONLY | O_DIRECTORY);
    shut(T("a_directory", open, "/work/dir", O_RDONLY | O_DIRECTORY));
    T("efault", open, BAD, O_RDONLY);
    T("efault_null", open, NULL, O_RDONLY);
    T("efault_kernel", open, KERNEL_POINTER, O_RDONLY);
    T("efault_unterminated", open, unterminated(), O_RDONLY);
    T("toolong", open, endless_path(), O_RDONLY);
    T("name_toolong", open, "/work/" LONG_NAME, O_RDONLY);
    T("rofs", open, "/ro/file", O_WRONLY);
    T("rofs_creat", open, "/ro/new", O_WRONLY | O_CREAT, 0600);
    shut(T("rofs_read", open, "/ro/file", O_RDONLY));
    shut(T("secret", open, "/work/secret", O_RDONLY));
    shut(T("locked", open, "/work/locked/inner", O_RDONLY));
    shut(T("mine", open, "/work/mine", O_RDWR));
    shut(T("group", open, "/work/grouped", O_RDONLY));
    shut(T("root_dir_creat", open, "/newfile", O_RDWR | O_CREAT, 0600));
    shut(T("outside", open, "/../../../../../../work/file", O_RDONLY));
    T("fifo_nonblock_write", open, "/work/fifo", O_WRONLY | O_NONBLOCK);
    shut(T("fifo_nonblock_read", open, "/work/fifo", O_RDONLY | O_NONBLOCK));
    T("socket_file", open, "/work/socket", O_RDONLY);
    T("noatime", open, "/work/secret", O_RDONLY | O_NOATIME);
    shut(T("bad_flags", open, "/work/file", O_RDONLY | 0x40000000));
    shut(T("accmode3", open, "/work/file", O_ACCMODE));
}

static void truncation_and_append(void) {
    put("/work/t", "0123456789");
    long fd = T("trunc", open, "/work/t", O_WRONLY | O_TRUNC);
    struct stat st;
    fstat((int)fd, &st);
    say("open", "truncated", "size=%ld", (long)st.st_size);
    shut(fd);
    fd = T("append", open, "/work/t", O_WRONLY | O_APPEND);
    flags_of("append", fd);
    if (write((int)fd, "abc", 3) < 0) say("write", "append", "failed");
    if (pwrite((int)fd, "def", 3, 0) < 0) say("pwrite", "append", "failed");
    shut(fd);
    say("open", "appended", "%s", get("/work/t"));
    fd = T("tmpfile", open, "/work", O_RDWR | O_TMPFILE, 0600);
    flags_of("tmpfile", fd);
    if (fd >= 0) {
        char name[64];
        snprintf(name, sizeof name, "/proc/self/fd/%ld", fd);
        say("linkat", "tmpfile", "%d %s", linkat(AT_FDCWD, name, AT_FDCWD, "/work/linked", AT_SYMLINK_FOLLOW), errname(errno));
        fstat((int)fd, &st);
        say("open", "tmpfile_links", "nlink=%lu mode=%o", (unsigned long)st.st_nlink, st.st_mode);
    }
    shut(fd);
    T("tmpfile_readonly", open, "/work", O_RDONLY | O_TMPFILE, 0600);
    fd = T("sync", open, "/work/t", O_RDWR | O_SYNC);
    flags_of("sync", fd);
    shut(fd);
    fd = T("nonblock", open, "/work/t", O_RDWR | O_NONBLOCK | O_NOCTTY);
    flags_of("nonblock", fd);
    shut(fd);
}

static void umask_applies(void) {
    umask(077);
    shut(T("umask077", open, "/work/u077", O_RDWR | O_CREAT, 0666));
    umask(0);
    shut(T("umask0", open, "/work/u0", O_RDWR | O_CREAT, 06777));
    struct stat st;
    if (!stat("/work/u077", &st)) say("open", "umask077_mode", "%o", st.st_mode);
    if (!stat("/work/u0", &st)) say("open", "umask0_mode", "%o", st.st_mode);
}

static void at_calls(void) {
    int dir = open("/work/dir", O_RDONLY | O_DIRECTORY);
    int path = open("/work/dir", O_PATH | O_DIRECTORY);
    int file = open("/work/file", O_RDONLY);
    shut(T("relative", openat, dir, "a", O_RDONLY));
    shut(T("path_dirfd", openat, path, "a", O_RDONLY));
    shut(T("dotdot", openat, dir, "../file", O_RDONLY));
    shut(T("absolute_ignores_dirfd", openat, -7, "/work/file", O_RDONLY));
    T("ebadf", openat, 99, "a", O_RDONLY);
    T("negative", openat, -7, "a", O_RDONLY);
    T("enotdir", openat, file, "a", O_RDONLY);
    T("empty", openat, dir, "", O_RDONLY);
    shut(T("cwd", openat, AT_FDCWD, "work/file", O_RDONLY));
    T("efault", openat, AT_FDCWD, BAD, O_RDONLY);
    T("enoent", openat, dir, "zzz", O_RDONLY);
    long fd = T("create", openat, dir, "created", O_CREAT | O_EXCL | O_WRONLY, 0644);
    shut(fd);
    T("eexist", openat, dir, "created", O_CREAT | O_EXCL | O_WRONLY, 0644);
    fd = T("tmp", openat, AT_FDCWD, "/tmp/t", O_CREAT | O_RDWR, 0644);
    shut(fd);
    shut(T("proc", openat, AT_FDCWD, "/proc/self/status", O_RDONLY));
    shut(T("dev_null", openat, AT_FDCWD, "/dev/null", O_RDWR));
    shut(T("dev_zero", openat, AT_FDCWD, "/dev/zero", O_RDWR));
    shut(T("dev_urandom", openat, AT_FDCWD, "/dev/urandom", O_RDONLY));
    T("dev_full", openat, AT_FDCWD, "/dev/full", O_RDWR);
    T("dev_tty", openat, AT_FDCWD, "/dev/tty", O_RDWR);
    T("dev_stdout", openat, AT_FDCWD, "/dev/fd/99", O_RDWR);
    T("self_fd", openat, AT_FDCWD, "/proc/self/fd/99", O_RDWR);
    char name[40];
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    shut(TOK("reopen", openat, AT_FDCWD, name, O_RDONLY));
    unlink("/work/dir/created");
}

static void path_descriptors(void) {
    long fd = T("o_path", open, "/work/secret", O_PATH);
    flags_of("o_path", fd);
    char byte;
    say("read", "o_path", "%zd %s", read((int)fd, &byte, 1), errname(errno));
    struct stat st;
    int told = fstat((int)fd, &st);
    say("fstat", "o_path", "%d mode=%o", told, st.st_mode);
    say("fchmod", "o_path", "%d %s", fchmod((int)fd, 0600), errname(errno));
    shut(fd);
    fd = T("o_path_link", open, "/work/link", O_PATH | O_NOFOLLOW);
    char target[64] = {0};
    say("readlinkat", "o_path", "%zd %s", readlinkat((int)fd, "", target, 63), target);
    fstat((int)fd, &st);
    say("fstat", "o_path_link", "%o", st.st_mode);
    shut(fd);
    fd = T("o_path_enoent", open, "/work/none", O_PATH);
    fd = T("o_path_dir", open, "/work/dir", O_PATH | O_CLOEXEC);
    flags_of("o_path_dir", fd);
    long inner = T("through_o_path", openat, (int)fd, "a", O_RDONLY);
    shut(inner);
    say("fchdir", "o_path", "%d", fchdir((int)fd));
    char cwd[100];
    say("getcwd", "o_path", "%s", getcwd(cwd, sizeof cwd));
    long again = T("dup", dup, (int)fd);
    flags_of("dup_o_path", again);
    shut(again);
    shut(fd);
}

/* Any kind of file, with no right to it but that to find it. */
static void path_descriptors_of_all_kinds(void) {
    static const struct { const char *tag, *path; } files[] = {
        {"fifo", "/work/pfifo"}, {"socket", "/work/psock"}, {"secret", "/work/secret"}, {"null", "/dev/null"},
        {"proc", "/proc/self/status"}, {"exe", "/proc/self/exe"}, {"cwd", "/proc/self/cwd"}, {"dangling", "/work/pdangling"}};
    mknod("/work/pfifo", S_IFIFO | 0600, 0);
    mknod("/work/psock", S_IFSOCK | 0600, 0);
    symlink("nowhere", "/work/pdangling");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        long fd = T(files[i].tag, open, files[i].path, O_PATH), link = T(files[i].tag, open, files[i].path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;
        if (!fstat((int)fd, &st)) say("fstat", files[i].tag, "%o", st.st_mode);
        if (!fstat((int)link, &st)) say("fstat", files[i].tag, "%o", st.st_mode);
        flags_of(files[i].tag, link);
        char text[8] = {0};
        TOK(files[i].tag, readlinkat, (int)link, "", text, 4);
        T(files[i].tag, write, (int)fd, "", 1);
        T(files[i].tag, fcntl, (int)fd, F_SETFL, O_NONBLOCK);
        shut(fd);
        shut(link);
    }
    unlink("/work/pfifo");
    unlink("/work/psock");
    unlink("/work/pdangling");
}

static void path_descriptors_are_passed_on(void) {
    int pair[2], gap = open("/dev/null", O_RDONLY);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    close(gap);
    long fd = T("lowest", open, "/work/file", O_PATH);
    char byte = 'x', control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS, head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &(int){(int)fd}, sizeof(int));
    say("sendmsg", "o_path", "%zd", sendmsg(pair[0], &message, 0));
    say("recvmsg", "o_path", "%zd", recvmsg(pair[1], &message, 0));
    int passed;
    memcpy(&passed, CMSG_DATA(head), sizeof passed);
    flags_of("passed", passed);
    char name[40];
    snprintf(name, sizeof name, "/proc/self/fd/%d", passed);
    shut(T("through_proc", open, name, O_RDONLY));
    shut(T("of_proc", open, name, O_PATH));
    T("path_proc", truncate, name, 1 << 12);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    struct rlimit few = {16, limit.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few);
    while (dup(passed) >= 0) continue;
    T("full", open, "/work/file", O_PATH);
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void fork_with_path(void) { _exit(open("/work/dir", O_PATH) < 0); }

static void path_descriptors_in_children(void) {
    for (int i = 0; i < 3; i++) say("open", "o_path_child", "%s", ended(in_child(fork_with_path)));
}

/* Writers that are gone by the time their reader's open could have looked for them. */
static void fifo_meetings(void) {
    mkfifo("/work/meet", 0600);
    int met = 0;
    for (int i = 0; i < 300; i++) {
        pid_t child = fork();
        if (child == 0) {
            int fd = open("/work/meet", O_WRONLY);
            _exit(write(fd, "x", 1) != 1);
        }
        char byte;
        int fd = open("/work/meet", O_RDONLY);
        met += read(fd, &byte, 1) == 1;
        close(fd);
        waitpid(child, NULL, 0);
    }
    say("open", "fifo_meetings", "%d", met);
    unlink("/work/meet");
}

static void openat2_calls(void) {
    int dir = open("/work/dir", O_RDONLY | O_DIRECTORY);
    shut(how_open("plain", AT_FDCWD, "/work/file", O_RDONLY, 0, 0));
    shut(how_open("cloexec", AT_FDCWD, "/work/file", O_RDONLY | O_CLOEXEC, 0, 0));
    shut(how_open("create", AT_FDCWD, "/work/how", O_RDWR | O_CREAT, 0640, 0));
    how_open("mode_without_creat", AT_FDCWD, "/work/file", O_RDONLY, 0640, 0);
    how_open("bad_mode", AT_FDCWD, "/work/how2", O_RDWR | O_CREAT, 0170640, 0);
    how_open("bad_flags", AT_FDCWD, "/work/file", 1ULL << 40, 0, 0);
    how_open("bad_resolve", AT_FDCWD, "/work/file", O_RDONLY, 0, 1 << 20);
    how_open("enoent", AT_FDCWD, "/work/none", O_RDONLY, 0, 0);
    how_open("ebadf", 99, "a", O_RDONLY, 0, 0);
    how_open("efault_path", AT_FDCWD, BAD, O_RDONLY, 0, 0);
    T("efault_how", openat2, AT_FDCWD, "/work/file", BAD, sizeof(struct open_how));
    struct open_how how = {O_RDONLY, 0, 0};
    T("small", openat2, AT_FDCWD, "/work/file", &how, 8);
    T("huge", openat2, AT_FDCWD, "/work/file", &how, 1 << 20);
    struct { struct open_how how; uint64_t extra; } longer = {{O_RDONLY, 0, 0}, 0};
    shut(T("longer_zero", openat2, AT_FDCWD, "/work/file", &longer, sizeof longer));
    longer.extra = 1;
    T("longer_nonzero", openat2, AT_FDCWD, "/work/file", &longer, sizeof longer);
    shut(how_open("beneath", dir, "a", O_RDONLY, 0, RESOLVE_BENEATH));
    how_open("beneath_dotdot", dir, "../file", O_RDONLY, 0, RESOLVE_BENEATH);
    how_open("beneath_absolute", dir, "/work/file", O_RDONLY, 0, RESOLVE_BENEATH);
    how_open("in_root", dir, "/../../file", O_RDONLY, 0, RESOLVE_IN_ROOT);
    shut(how_open("in_root_found", dir, "/../../a", O_RDONLY, 0, RESOLVE_IN_ROOT));
    how_open("no_symlinks", AT_FDCWD, "/work/link", O_RDONLY, 0, RESOLVE_NO_SYMLINKS);
    shut(how_open("no_symlinks_plain", AT_FDCWD, "/work/file", O_RDONLY, 0, RESOLVE_NO_SYMLINKS));
    how_open("no_xdev", AT_FDCWD, "/tmp", O_RDONLY, 0, RESOLVE_NO_XDEV);
    how_open("no_magiclinks", AT_FDCWD, "/proc/self/fd/0", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS);
    how_open("beneath_and_root", dir, "a", O_RDONLY, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT);
}

static void creat_calls(void) {
    long fd = T("new", creat, "/work/c1", 0600);
    flags_of("creat", fd);
    shut(fd);
    shut(T("again", creat, "/work/c1", 0600));
    T("dir", creat, "/work/dir", 0600);
    T("rofs", creat, "/ro/c", 0600);
    T("enoent", creat, "/work/none/c", 0600);
    T("efault", creat, BAD, 0600);
    shut(T("eacces", creat, "/work/dir/by-user", 0600));
    unlink("/work/dir/by-user");
}

FAMILY(open) {
    SECTION(plain_open);
    SECTION(truncation_and_append);
    SECTION(umask_applies);
    SECTION(at_calls);
    SECTION(path_descriptors);
    SECTION(path_descriptors_of_all_kinds);
    SECTION(path_descriptors_are_passed_on);
    SECTION(path_descriptors_in_children);
    SECTION(fifo_meetings);
    SECTION(openat2_calls);
    SECTION(creat_calls);
}
