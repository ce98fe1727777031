/* Resource limits. */
#include "guest.h"

#include <sys/resource.h>
#include <sys/wait.h>

static void rlimits(void) {
    struct rlimit limit;
    for (int which = 0; which < 17; which++) {
        char tag[24];
        snprintf(tag, sizeof tag, "r%d", which);
        if (T(tag, getrlimit, which, &limit) == 0 && (which == RLIMIT_NOFILE || which == RLIMIT_CORE || which == RLIMIT_NPROC))
            say("getrlimit", tag, "soft=%ld hard=%ld", (long)limit.rlim_cur, (long)limit.rlim_max);
    }
    T("efault", getrlimit, RLIMIT_NOFILE, BAD);
    limit = (struct rlimit){64, 1000};
    T("lower", setrlimit, RLIMIT_NOFILE, &limit);
    T("emfile_soft", dup2, 0, 64);
    T("in_range", dup2, 0, 63);
    long last = 0;
    for (int i = 0; i < 100; i++) last = open("/work/file", O_RDONLY);
    say("setrlimit", "open_beyond", "%ld %s", last, errname(errno));
    close(10);
    T("one_free", openat, AT_FDCWD, "/work/file", O_RDONLY);
    T("none_free", openat, AT_FDCWD, "/work/file", O_RDONLY);
    T("no_socket", socket, 1, 1, 0);
    close_range(3, ~0u, 0);
    limit = (struct rlimit){2000, 2000};
    T("raise_hard", setrlimit, RLIMIT_NOFILE, &limit);
    limit = (struct rlimit){500, 400};
    T("inverted", setrlimit, RLIMIT_NOFILE, &limit);
    T("efault", setrlimit, RLIMIT_NOFILE, BAD);
    T("bad", setrlimit, 99, &limit);
    struct rlimit64 old, new = {300, 900};
    T("swap", prlimit64, 0, RLIMIT_NOFILE, &new, &old);
    say("prlimit64", "old", "soft=%ld hard=%ld", (long)old.rlim_cur, (long)old.rlim_max);
    T("get", prlimit64, 0, RLIMIT_NOFILE, NULL, &old);
    say("prlimit64", "new", "soft=%ld hard=%ld", (long)old.rlim_cur, (long)old.rlim_max);
    T("own_pid", prlimit64, getpid(), RLIMIT_NOFILE, NULL, &old);
    T("parent", prlimit64, getppid(), RLIMIT_NOFILE, NULL, &old);
    T("none", prlimit64, 99999, RLIMIT_NOFILE, NULL, &old);
    T("bad", prlimit64, 0, 99, NULL, &old);
    T("efault", prlimit64, 0, RLIMIT_NOFILE, NULL, BAD);
    T("efault_new", prlimit64, 0, RLIMIT_NOFILE, BAD, NULL);
    limit = (struct rlimit){4096, 4096};
    signal(SIGXFSZ, SIG_IGN);
    T("fsize", setrlimit, RLIMIT_FSIZE, &limit);
    int fd = open("/work/fsize", O_RDWR | O_CREAT, 0600);
    T("fsize_write", pwrite64, fd, "xx", 2, 5000L);
    T("fsize_truncate", truncate, "/work/fsize", 5000L);
    T("fsize_ftruncate", ftruncate, fd, 5000L);
}

static void child_limit(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    say("setrlimit", "child", "soft=%ld hard=%ld", (long)limit.rlim_cur, (long)limit.rlim_max);
}

static void fork_once(const char *tag) {
    pid_t child = fork();
    int error = errno;
    if (child == 0) _exit(0);
    if (child > 0) waitpid(child, NULL, 0);
    say("fork", tag, "%s", child > 0 ? "made" : errname(error));
}

static void child_processes(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NPROC, &limit);
    say("setrlimit", "nproc_child", "soft=%ld hard=%ld", (long)limit.rlim_cur, (long)limit.rlim_max);
    fork_once("grandchild");
}

static void inherited(void) {
    struct rlimit limit = {123, 456};
    setrlimit(RLIMIT_NOFILE, &limit);
    in_child(child_limit);
}

/* RLIMIT_NPROC does not bind root, whoever is not root any more it does. */
static void processes(void) {
    struct rlimit limit = {0, 5};
    T("nproc", setrlimit, RLIMIT_NPROC, &limit);
    T("nproc", getrlimit, RLIMIT_NPROC, &limit);
    say("setrlimit", "nproc", "soft=%ld hard=%ld", (long)limit.rlim_cur, (long)limit.rlim_max);
    limit = (struct rlimit){6, 6};
    T("nproc_raised", setrlimit, RLIMIT_NPROC, &limit);
    fork_once("limited");
    in_child(child_processes);
    T("leave_root", setresuid, 1234, 1234, 0);
    fork_once("left_root");
    T("come_back", setresuid, 0, 0, 0);
    fork_once("came_back");
    T("other_user", setresuid, 1234, 1234, 1234);
    fork_once("other_user");
    limit = (struct rlimit){5, 5};
    T("nproc_more", setrlimit, RLIMIT_NPROC, &limit);
}

FAMILY(limits) {
    SECTION(rlimits);
    SECTION(inherited);
    SECTION(processes);
}
