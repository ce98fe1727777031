/* Namespaces: a container without CAP_SYS_ADMIN cannot make or enter any but a user namespace, and
 * the sandbox refuses that one as well; the outcome of the refusals is in the refused family. */
#include "guest.h"

#include <sched.h>

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

FAMILY(namespace) { SECTION(calls); }
