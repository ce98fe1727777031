/* Anonymous files: memfd_create(2), seals, and what can be done with a file that has no name. */
#include "guest.h"

#include <linux/memfd.h>
#include <sys/socket.h>
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#define MFD_EXEC 0x10U
#endif

static int made(unsigned flags) {
    int fd = (int)syscall(SYS_memfd_create, "made", flags);
    if (ftruncate(fd, 8192)) say("ftruncate", "made", "%s", errname(errno));
    return fd;
}

static void making(void) {
    char name[300];
    memset(name, 'n', sizeof name);
    name[249] = 0;
    TOK("longest", memfd_create, name, 0);
    name[249] = 'n';
    name[250] = 0;
    T("too_long", memfd_create, name, 0);
    TOK("empty", memfd_create, "", 0);
    TOK("slash", memfd_create, "a/b", 0);
    T("efault", memfd_create, BAD, 0);
    T("flags", memfd_create, "x", 0x100);
    T("both_exec", memfd_create, "x", MFD_EXEC | MFD_NOEXEC_SEAL);
    int fd = (int)TOK("cloexec", memfd_create, "x", MFD_CLOEXEC);
    say("memfd_create", "cloexec_fd", "%d %#o", fcntl(fd, F_GETFD), fcntl(fd, F_GETFL));
    char link[64] = {0}, path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (readlink(path, link, 63) > 0) say("memfd_create", "link", "%s", link);
    struct stat st;
    fstat(fd, &st);
    say("memfd_create", "stat", "mode=%o size=%ld nlink=%lu", st.st_mode, (long)st.st_size, (unsigned long)st.st_nlink);
    fd = (int)TOK("noexec", memfd_create, "x", MFD_NOEXEC_SEAL);
    fstat(fd, &st);
    say("memfd_create", "noexec_stat", "mode=%o seals=%#x", st.st_mode, fcntl(fd, F_GET_SEALS));
}

static void seals(void) {
    int fd = made(MFD_ALLOW_SEALING), plain = made(0), file = open("/work/file", O_RDONLY);
    T("get", fcntl, fd, F_GET_SEALS);
    T("get_plain", fcntl, plain, F_GET_SEALS);
    T("get_file", fcntl, file, F_GET_SEALS);
    T("add_plain", fcntl, plain, F_ADD_SEALS, F_SEAL_WRITE);
    T("unknown", fcntl, fd, F_ADD_SEALS, 0x1000);
    T("shrink", fcntl, fd, F_ADD_SEALS, F_SEAL_SHRINK);
    T("shrunk", ftruncate, fd, 4096L);
    T("grown", ftruncate, fd, 16384L);
    T("grow", fcntl, fd, F_ADD_SEALS, F_SEAL_GROW);
    T("grown_not", ftruncate, fd, 20000L);
    T("write_beyond", pwrite64, fd, "x", 1, 16384L);
    T("write_within", pwrite64, fd, "x", 1, 100L);
    T("fallocate_beyond", fallocate, fd, 0, 0L, 100000L);
    T("punch", fallocate, fd, 3, 0L, 4096L);
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    T("write_mapped", fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE);
    T("future_write", fcntl, fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
    *map = 'm';
    T("write_future", pwrite64, fd, "x", 1, 0L);
    munmap(map, 4096);
    T("write", fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE);
    T("written", pwrite64, fd, "x", 1, 0L);
    T("punch_sealed", fallocate, fd, 3, 0L, 4096L);
    errno = 0;
    void *again = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    say("mmap", "shared_writable", "%d %s", again != MAP_FAILED, errname(errno));
    errno = 0;
    again = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    say("mmap", "shared_readable", "%d %s", again != MAP_FAILED, errname(errno));
    T("mprotect_writable", mprotect, again, 4096, PROT_READ | PROT_WRITE);
    again = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    say("mmap", "private_writable", "%d", again != MAP_FAILED);
    T("exec", fcntl, fd, F_ADD_SEALS, F_SEAL_EXEC);
    T("chmod_sealed", fchmod, fd, 0600);
    T("chmod_keeps_exec", fchmod, fd, 0500);
    T("seal", fcntl, fd, F_ADD_SEALS, F_SEAL_SEAL);
    T("after_seal", fcntl, fd, F_ADD_SEALS, F_SEAL_GROW);
    T("get_end", fcntl, fd, F_GET_SEALS);
    char name[40];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    int reader = (int)TOK("reopen_read", openat, AT_FDCWD, name, O_RDONLY);
    T("seal_by_reader", fcntl, reader, F_ADD_SEALS, F_SEAL_WRITE);
    T("reader_get", fcntl, reader, F_GET_SEALS);
    TOK("reopen_write", openat, AT_FDCWD, name, O_RDWR);
}

/* By a descriptor of a file that was made natively, everything that an owner may do. */
static void owner(void) {
    int fd = made(MFD_ALLOW_SEALING);
    struct stat st;
    T("memfd", fchmod, fd, 0640);
    fstat(fd, &st);
    say("fchmod", "memfd_mode", "%o", st.st_mode);
    T("memfd_own", fchown, fd, getuid(), getgid());
    T("memfd_nothing", fchown, fd, -1, -1);
    struct timespec times[2] = {{1000, 0}, {2000, 0}};
    T("memfd", utimensat, fd, NULL, times, 0);
    fstat(fd, &st);
    say("utimensat", "memfd_times", "%ld %ld", (long)st.st_atime, (long)st.st_mtime);
    T("memfd_user", fsetxattr, fd, "user.a", "v", 1, 0);
    char value[16];
    T("memfd_user", fgetxattr, fd, "user.a", value, sizeof value);
    char name[40];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    T("memfd_link", chmod, name, 0600);
    T("memfd_link", truncate, name, 100L);
    TOK("memfd_trunc", openat, AT_FDCWD, name, O_RDWR | O_TRUNC);
    T("memfd_link", access, name, R_OK | W_OK);
    int pipes[2];
    if (pipe(pipes)) return;
    T("pipe", fchmod, pipes[0], 0600);
    fstat(pipes[0], &st);
    say("fchmod", "pipe_mode", "%o", st.st_mode);
    int sock = socket(AF_UNIX, SOCK_STREAM, 0);
    T("socket", fchmod, sock, 0600);
    T("linkat_memfd", linkat, fd, "", AT_FDCWD, "/tmp/memfd-link", AT_EMPTY_PATH);
}

static void executed(void) {
    static char *const none[] = {NULL};
    int from = open("/bin/busybox", O_RDONLY);
    int fd = (int)syscall(SYS_memfd_create, "program", 0);
    char block[65536];
    ssize_t n;
    while ((n = read(from, block, sizeof block)) > 0)
        if (write(fd, block, (size_t)n) != n) say("write", "program", "%s", errname(errno));
    char *argv[] = {"echo", "execve::memfd", "ran", NULL};
    pid_t child = fork();
    if (child == 0) {
        T("memfd", execveat, fd, "", argv, none, AT_EMPTY_PATH);
        _exit(99);
    }
    int status;
    waitpid(child, &status, 0);
    say("execveat", "memfd_ended", "%s", ended(status));
    char name[40];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    int reader = open(name, O_RDONLY | O_CLOEXEC);
    close(fd);
    child = fork();
    if (child == 0) {
        T("memfd_reader", execveat, reader, "", argv, none, AT_EMPTY_PATH);
        _exit(99);
    }
    waitpid(child, &status, 0);
    say("execveat", "memfd_reader_ended", "%s", ended(status));
    snprintf(name, sizeof name, "/proc/self/fd/%d", reader);
    child = fork();
    if (child == 0) {
        T("memfd_name", execve, name, argv, none);
        _exit(99);
    }
    waitpid(child, &status, 0);
    say("execve", "memfd_name_ended", "%s", ended(status));
    fd = (int)syscall(SYS_memfd_create, "script", MFD_CLOEXEC);
    if (write(fd, "#!/bin/true\n", 12) != 12) return;
    child = fork();
    if (child == 0) {
        T("memfd_script_cloexec", execveat, fd, "", argv, none, AT_EMPTY_PATH);
        _exit(99);
    }
    waitpid(child, &status, 0);
    say("execveat", "memfd_script_cloexec_ended", "%s", ended(status));
    fcntl(fd, F_SETFD, 0);
    child = fork();
    if (child == 0) {
        T("memfd_script", execveat, fd, "", argv, none, AT_EMPTY_PATH);
        _exit(99);
    }
    waitpid(child, &status, 0);
    say("execveat", "memfd_script_ended", "%s", ended(status));
    fd = (int)syscall(SYS_memfd_create, "noexec", MFD_NOEXEC_SEAL | MFD_CLOEXEC);
    if (write(fd, "#!/bin/true\n", 12) != 12) return;
    T("memfd_noexec", execveat, fd, "", argv, none, AT_EMPTY_PATH);
    fd = (int)syscall(SYS_memfd_create, "mode", MFD_CLOEXEC);
    fchmod(fd, 0600);
    T("memfd_mode", execveat, fd, "", argv, none, AT_EMPTY_PATH);
}

FAMILY(memfd) {
    SECTION(making);
    SECTION(seals);
    SECTION(owner);
    SECTION(executed);
}
