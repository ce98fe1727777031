/* Namespaces: a container without CAP_SYS_ADMIN cannot make or enter any but a user namespace, and
 * the sandbox refuses that one as well; the outcome of the refusals is in the refused family. */
#include "guest.h"

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

static void calls(void) {
    T("nothing", unshare, 0);
    T("files", unshare, CLONE_FILES);
    T("fs", unshare, CLONE_FS);
    T("sysvsem", unshare, CLONE_SYSVSEM);
    T("mount", unshare, CLONE_NEWNS);
    T("net", unshare, CLONE_NEWNET);
    T("bad", unshare, 0x1);
    int fd = open("/proc/self/ns/net", O_RDONLY);
    T("ebadf", setns, 99, 0);
    T("file", setns, 0, 0);
    T("own", setns, open("/proc/self/ns/uts", O_RDONLY), 0);
    T("own_type", setns, open("/proc/self/ns/mnt", O_RDONLY), CLONE_NEWNS);
    T("other_type", setns, fd, CLONE_NEWNS);
    T("no_type", setns, fd, 1);
    T("pidfd_no_type", setns, (int)syscall(SYS_pidfd_open, getpid(), 0), 0);
    T("pidfd_wrong_type", setns, (int)syscall(SYS_pidfd_open, getpid(), 0), 1);
    say("open", "ns", "%d", fd >= 0);
    char link[64] = {0};
    say("readlink", "ns", "%d %.4s", readlink("/proc/self/ns/net", link, 63) > 0, link);
    T("newns", clone, CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0);
    T("newpid", clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
}

static pthread_barrier_t step;

static void next(void) { pthread_barrier_wait(&step); }

/* Where a thread stands, by the calls that tell of it. */
static void place(const char *who) {
    char name[256];
    mode_t mask = umask(0);
    umask(mask);
    say("getcwd", who, "%s %03o reads=%d", getcwd(name, sizeof name) ? name : "none", mask, access("version", R_OK) == 0);
}

static void *apart(void *unused) {
    (void)unused;
    T("thread", unshare, CLONE_FS);
    place("copied");
    T("apart", chdir, "/proc");
    umask(012);
    next();
    next();
    place("apart");
    pid_t child = fork();
    if (child == 0) {
        place("its_child");
        _exit(0);
    }
    waitpid(child, NULL, 0);
    T("again", unshare, CLONE_FS);
    place("again");
    next();
    return NULL;
}

static void *together(void *unused) {
    (void)unused;
    place("new_thread");
    next();
    next();
    place("left");
    return NULL;
}

static void *executes(void *unused) {
    (void)unused;
    T("before_exec", unshare, CLONE_FS);
    chdir("/proc");
    umask(012);
    execl("/bin/sh", "sh", "-c", "test \"$(pwd -P)\" = /proc && test $(umask) = 0012 && exit 7", NULL);
    return NULL;
}

/* unshare(CLONE_FS) parts one thread from the others. */
static void threads(void) {
    pthread_t one, other;
    pthread_barrier_init(&step, NULL, 2);
    umask(022);
    pthread_create(&one, NULL, apart, NULL);
    next();
    place("main");
    T("main", chdir, "/work");
    umask(077);
    next();
    next();
    pthread_join(one, NULL);
    place("main_after");
    pthread_create(&other, NULL, together, NULL);
    next();
    T("main_thread", unshare, CLONE_FS);
    T("main_apart", chdir, "/proc");
    next();
    pthread_join(other, NULL);
    place("main_apart");
    pid_t child = fork();
    if (child == 0) {
        chdir("/work");
        pthread_create(&one, NULL, executes, NULL);
        for (;;) pause();
    }
    int status;
    waitpid(child, &status, 0);
    say("execve", "of_thread", "%s", ended(status));
}

FAMILY(namespace) {
    SECTION(calls);
    SECTION(threads);
}
