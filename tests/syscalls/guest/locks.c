/* Record locks (POSIX and of open file descriptions), flock(2) and leases. */
#include "guest.h"

#include <sys/file.h>
#include <sys/time.h>

#define LEN 100

static int fresh(const char *path) {
    char zeroes[LEN] = {0};
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (write(fd, zeroes, LEN) != LEN) say("write", "setup", "failed");
    return fd;
}

static struct flock range(short type, short whence, off_t start, off_t length) {
    return (struct flock){type, whence, start, length, 0};
}

static long set(const char *tag, int fd, int command, short type, short whence, off_t start, off_t length) {
    struct flock lock = range(type, whence, start, length);
    return T(tag, fcntl, fd, command, &lock);
}

/* Which lock of somebody else stands in the way of a write lock there. */
static void seen(const char *tag, int fd, off_t start, off_t length) {
    struct flock lock = range(F_WRLCK, SEEK_SET, start, length);
    if (fcntl(fd, F_GETLK, &lock) < 0) say("fcntl", tag, "!%s", errname(errno));
    else say("fcntl", tag, "type=%d start=%ld len=%ld parent=%d", lock.l_type, (long)lock.l_start, (long)lock.l_len, lock.l_pid == getppid());
}

/* The locks that this process has, as a child sees them, byte by byte. */
static void map(const char *tag, const char *path) {
    pid_t child = fork();
    if (child == 0) {
        int fd = open(path, O_RDWR);
        char shown[41] = {0};
        for (int i = 0; i < 40; i++) {
            struct flock lock = range(F_WRLCK, SEEK_SET, i, 1);
            fcntl(fd, F_GETLK, &lock);
            shown[i] = lock.l_type == F_UNLCK ? '.' : lock.l_type == F_RDLCK ? 'r' : 'w';
        }
        say("fcntl", tag, "%s", shown);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void ranges(void) {
    const char *path = "/work/lock1";
    int fd = fresh(path);
    set("whole", fd, F_SETLK, F_WRLCK, SEEK_SET, 0, 0);
    map("whole_map", path);
    set("split", fd, F_SETLK, F_UNLCK, SEEK_SET, 10, 5);
    map("split_map", path);
    set("to_read", fd, F_SETLK, F_RDLCK, SEEK_SET, 5, 15);
    map("to_read_map", path);
    set("merge", fd, F_SETLK, F_WRLCK, SEEK_SET, 0, 20);
    map("merge_map", path);
    set("drop", fd, F_SETLK, F_UNLCK, SEEK_SET, 0, 0);
    map("drop_map", path);
    lseek(fd, 10, SEEK_SET);
    set("cur", fd, F_SETLK, F_WRLCK, SEEK_CUR, 2, 3);
    set("cur_back", fd, F_SETLK, F_RDLCK, SEEK_CUR, -4, 2);
    set("end", fd, F_SETLK, F_WRLCK, SEEK_END, -LEN, 4);
    set("negative_length", fd, F_SETLK, F_WRLCK, SEEK_SET, 30, -5);
    map("relative_map", path);
    set("before_start", fd, F_SETLK, F_WRLCK, SEEK_SET, -1, 5);
    set("before_start_cur", fd, F_SETLK, F_WRLCK, SEEK_CUR, -11, 5);
    set("negative_before", fd, F_SETLK, F_WRLCK, SEEK_SET, 3, -5);
    set("bad_whence", fd, F_SETLK, F_WRLCK, 9, 0, 5);
    set("bad_type", fd, F_SETLK, 9, SEEK_SET, 0, 5);
    set("overflow", fd, F_SETLK, F_WRLCK, SEEK_SET, LONG_MAX, 5);
    set("last_byte", fd, F_SETLK, F_WRLCK, SEEK_SET, LONG_MAX, 1);
    set("unlock_nothing", fd, F_SETLK, F_UNLCK, SEEK_SET, 70, 5);
    struct flock lock = range(F_UNLCK, SEEK_SET, 0, 0);
    T("getlk_unlck", fcntl, fd, F_GETLK, &lock);
    T("getlk_efault", fcntl, fd, F_GETLK, BAD);
    T("ofd_efault", fcntl, fd, F_OFD_SETLK, BAD);
    T("ebadf", fcntl, 99, F_SETLK, &lock);
    int reader = open(path, O_RDONLY), writer = open(path, O_WRONLY), path_only = open(path, O_PATH);
    set("write_by_reader", reader, F_SETLK, F_WRLCK, SEEK_SET, 50, 1);
    set("read_by_reader", reader, F_SETLK, F_RDLCK, SEEK_SET, 50, 1);
    set("read_by_writer", writer, F_SETLK, F_RDLCK, SEEK_SET, 52, 1);
    set("write_by_writer", writer, F_SETLK, F_WRLCK, SEEK_SET, 52, 1);
    set("by_path", path_only, F_SETLK, F_RDLCK, SEEK_SET, 54, 1);
    int dir = open("/work", O_RDONLY), pipes[2];
    set("directory", dir, F_SETLK, F_RDLCK, SEEK_SET, 0, 1);
    if (pipe(pipes)) return;
    set("pipe", pipes[0], F_SETLK, F_RDLCK, SEEK_SET, 0, 1);
    int null = open("/dev/null", O_RDWR);
    set("device", null, F_SETLK, F_WRLCK, SEEK_SET, 0, 1);
}

static void owners(void) {
    const char *path = "/work/lock2";
    int fd = fresh(path);
    set("mine", fd, F_SETLK, F_WRLCK, SEEK_SET, 0, 10);
    set("mine_read", fd, F_SETLK, F_RDLCK, SEEK_SET, 20, 10);
    pid_t child = fork();
    if (child == 0) {
        seen("child_sees", fd, 5, 100);
        seen("child_sees_read", fd, 22, 1);
        set("child_write", fd, F_SETLK, F_WRLCK, SEEK_SET, 9, 5);
        set("child_read", fd, F_SETLK, F_RDLCK, SEEK_SET, 9, 5);
        set("child_shares_read", fd, F_SETLK, F_RDLCK, SEEK_SET, 25, 1);
        set("child_beside", fd, F_SETLK, F_WRLCK, SEEK_SET, 10, 10);
        set("child_unlocks_parents", fd, F_SETLK, F_UNLCK, SEEK_SET, 0, 10);
        set("still_taken", fd, F_SETLK, F_WRLCK, SEEK_SET, 0, 1);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    set("childs_are_gone", fd, F_SETLK, F_WRLCK, SEEK_SET, 10, 10);
    int other = open(path, O_RDWR);
    set("same_process", other, F_SETLK, F_WRLCK, SEEK_SET, 0, 10);
    map("before_close", path);
    close(other);
    map("after_close_of_another", path);
    set("again", fd, F_SETLK, F_WRLCK, SEEK_SET, 0, 10);
    int copy = dup(fd);
    close(copy);
    map("after_close_of_dup", path);
    set("for_exec", fd, F_SETLK, F_WRLCK, SEEK_SET, 0, 10);
    unlink("/work/lock2");
    set("deleted", fd, F_SETLK, F_RDLCK, SEEK_SET, 0, 10);
}

static void nothing(int signal) { (void)signal; }

/* A lock that has to be waited for: it comes, or a signal ends the wait. */
static void waiting(void) {
    const char *path = "/work/lock3";
    int fd = fresh(path), go[2];
    if (pipe(go)) return;
    char byte;
    set("holder", fd, F_SETLK, F_WRLCK, SEEK_SET, 0, 10);
    pid_t child = fork();
    if (child == 0) {
        if (read(go[0], &byte, 1) != 1) _exit(1);
        set("waited", fd, F_SETLKW, F_WRLCK, SEEK_SET, 0, 10);
        _exit(0);
    }
    if (write(go[1], "x", 1) != 1) return;
    millis(50);
    set("release", fd, F_SETLK, F_UNLCK, SEEK_SET, 0, 10);
    waitpid(child, NULL, 0);
    set("holder_again", fd, F_SETLK, F_WRLCK, SEEK_SET, 0, 10);
    child = fork();
    if (child == 0) {
        struct sigaction action = {.sa_handler = nothing};
        sigaction(SIGALRM, &action, NULL);
        struct itimerval soon = {{0, 20000}, {0, 20000}};
        setitimer(ITIMER_REAL, &soon, NULL);
        set("interrupted", fd, F_SETLKW, F_WRLCK, SEEK_SET, 0, 10);
        set("ofd_interrupted", fd, F_OFD_SETLKW, F_WRLCK, SEEK_SET, 0, 10);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

/* Two processes, each waiting for what the other has: one is told. */
static void deadlock(void) {
    int fd = fresh("/work/lock4"), go[2], ready[2];
    char byte;
    if (pipe(go) || pipe(ready)) return;
    set("first", fd, F_SETLK, F_WRLCK, SEEK_SET, 0, 1);
    pid_t child = fork();
    if (child == 0) {
        set("second", fd, F_SETLK, F_WRLCK, SEEK_SET, 1, 1);
        if (write(ready[1], "x", 1) != 1) _exit(1);
        /* Waits for the parent's lock; the parent then asks for this one's. */
        struct flock lock = range(F_WRLCK, SEEK_SET, 0, 1);
        int got = fcntl(fd, F_SETLKW, &lock);
        if (write(go[1], got == 0 ? "y" : "n", 1) != 1) _exit(1);
        _exit(0);
    }
    if (read(ready[0], &byte, 1) != 1) return;
    millis(100);
    set("deadlock", fd, F_SETLKW, F_WRLCK, SEEK_SET, 1, 1);
    set("give_way", fd, F_SETLK, F_UNLCK, SEEK_SET, 0, 1);
    if (read(go[0], &byte, 1) == 1) say("fcntl", "other_got_it", "%c", byte);
    waitpid(child, NULL, 0);
}

static void of_descriptions(void) {
    const char *path = "/work/lock5";
    int fd = fresh(path), other = open(path, O_RDWR), same = dup(fd);
    set("ofd", fd, F_OFD_SETLK, F_WRLCK, SEEK_SET, 0, 10);
    set("ofd_same", same, F_OFD_SETLK, F_WRLCK, SEEK_SET, 5, 10);
    set("ofd_other", other, F_OFD_SETLK, F_WRLCK, SEEK_SET, 5, 10);
    set("ofd_other_read", other, F_OFD_SETLK, F_RDLCK, SEEK_SET, 5, 10);
    set("ofd_beside", other, F_OFD_SETLK, F_WRLCK, SEEK_SET, 20, 10);
    set("posix_against_ofd", fd, F_SETLK, F_WRLCK, SEEK_SET, 0, 1);
    struct flock lock = range(F_WRLCK, SEEK_SET, 0, 1);
    T("ofd_getlk", fcntl, other, F_OFD_GETLK, &lock);
    say("fcntl", "ofd_seen", "type=%d pid=%d start=%ld len=%ld", lock.l_type, lock.l_pid, (long)lock.l_start, (long)lock.l_len);
    lock = range(F_WRLCK, SEEK_SET, 0, 1);
    lock.l_pid = 7;
    T("ofd_pid", fcntl, other, F_OFD_SETLK, &lock);
    pid_t child = fork();
    if (child == 0) {
        set("ofd_inherited", fd, F_OFD_SETLK, F_WRLCK, SEEK_SET, 0, 10);
        close(same);
        close(fd);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    set("ofd_still", other, F_OFD_SETLK, F_WRLCK, SEEK_SET, 0, 1);
    close(fd);
    set("ofd_dup_holds", other, F_OFD_SETLK, F_WRLCK, SEEK_SET, 0, 1);
    close(same);
    set("ofd_gone", other, F_OFD_SETLK, F_WRLCK, SEEK_SET, 0, 1);
}

static void whole_files(void) {
    const char *path = "/work/lock6";
    int fd = fresh(path), other = open(path, O_RDONLY), same = dup(fd), dir = open("/work", O_RDONLY), path_only = open(path, O_PATH);
    T("shared", flock, fd, LOCK_SH);
    T("shared_too", flock, other, LOCK_SH | LOCK_NB);
    T("upgrade", flock, fd, LOCK_EX | LOCK_NB);
    T("downgrade_other", flock, other, LOCK_UN);
    T("upgrade_now", flock, fd, LOCK_EX | LOCK_NB);
    T("exclusive_other", flock, other, LOCK_EX | LOCK_NB);
    T("shared_other", flock, other, LOCK_SH | LOCK_NB);
    T("same_description", flock, same, LOCK_EX | LOCK_NB);
    T("nothing", flock, fd, 0);
    T("nb_alone", flock, fd, LOCK_NB);
    T("two", flock, fd, LOCK_EX | LOCK_SH);
    T("mandatory", flock, fd, LOCK_MAND | LOCK_READ);
    T("directory", flock, dir, LOCK_EX | LOCK_NB);
    T("path", flock, path_only, LOCK_SH | LOCK_NB);
    set("records_are_apart", other, F_SETLK, F_RDLCK, SEEK_SET, 0, 0);
    pid_t child = fork();
    if (child == 0) {
        T("inherited", flock, fd, LOCK_EX | LOCK_NB);
        T("unlock_by_child", flock, fd, LOCK_UN);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    T("after_childs_unlock", flock, other, LOCK_EX | LOCK_NB);
    T("not_mine", flock, fd, LOCK_SH | LOCK_NB);
    close(other);
    T("after_close", flock, fd, LOCK_SH | LOCK_NB);
    close(fd);
    other = open(path, O_RDONLY);
    T("dup_keeps", flock, other, LOCK_EX | LOCK_NB);
    close(same);
    T("last_close", flock, other, LOCK_EX | LOCK_NB);
    int null = open("/dev/null", O_RDONLY), pipes[2];
    T("device", flock, null, LOCK_EX | LOCK_NB);
    if (pipe(pipes)) return;
    T("pipe", flock, pipes[0], LOCK_EX | LOCK_NB);
    /* A wait for the whole file ends by a signal. */
    child = fork();
    if (child == 0) {
        struct sigaction action = {.sa_handler = nothing};
        sigaction(SIGALRM, &action, NULL);
        struct itimerval soon = {{0, 20000}, {0, 20000}};
        setitimer(ITIMER_REAL, &soon, NULL);
        int mine = open(path, O_RDONLY);
        T("interrupted", flock, mine, LOCK_SH);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void leases(void) {
    int fd = fresh("/work/lock7");
    close(fd);
    fd = open("/work/lock7", O_RDONLY);
    T("get", fcntl, fd, F_GETLEASE);
    T("take", fcntl, fd, F_SETLEASE, F_RDLCK);
    T("release", fcntl, fd, F_SETLEASE, F_UNLCK);
    T("notify_file", fcntl, fd, F_NOTIFY, DN_CREATE);
    T("hint_get", fcntl, fd, F_GET_RW_HINT, BAD);
    uint64_t hint = 2;
    T("hint_set", fcntl, fd, F_SET_RW_HINT, &hint);
    hint = 0;
    T("hint", fcntl, fd, F_GET_RW_HINT, &hint);
    say("fcntl", "hint_value", "%lu", (unsigned long)hint);
}

static volatile int notices;
static void noticed(int signal) { (void)signal; notices++; }

static void of_directories(void) {
    mkdir("/work/lock8", 0777);
    int dir = open("/work/lock8", O_RDONLY | O_DIRECTORY);
    signal(SIGRTMIN, noticed);
    T("signal", fcntl, dir, F_SETSIG, SIGRTMIN);
    T("notify", fcntl, dir, F_NOTIFY, DN_CREATE | DN_DELETE | DN_MULTISHOT);
    close(creat("/work/lock8/one", 0600));
    say("fcntl", "created", "%d", notices);
    unlink("/work/lock8/one");
    say("fcntl", "deleted", "%d", notices);
    T("notify_off", fcntl, dir, F_NOTIFY, 0);
    close(creat("/work/lock8/two", 0600));
    say("fcntl", "off", "%d", notices);
}

FAMILY(locks) {
    SECTION(ranges);
    SECTION(owners);
    SECTION(waiting);
    SECTION(deadlock);
    SECTION(of_descriptions);
    SECTION(whole_files);
    SECTION(leases);
    SECTION(of_directories);
}
