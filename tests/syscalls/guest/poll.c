/* Waiting for descriptors: poll, select, epoll. */
#include "guest.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

static void waits(void) {
    int pipes[2], file = open("/work/file", O_RDONLY);
    if (pipe(pipes)) return;
    struct pollfd fds[3] = {{pipes[0], POLLIN, 0}, {pipes[1], POLLOUT, 0}, {file, POLLIN | POLLOUT, 0}};
    T("three", poll, fds, 3, 0);
    say("poll", "events", "%x %x %x", fds[0].revents, fds[1].revents, fds[2].revents);
    fds[0].fd = 99;
    T("nval", poll, fds, 1, 0);
    say("poll", "nval", "%x", fds[0].revents);
    T("efault", poll, BAD, 1, 0);
    T("too_many", poll, fds, 0xffffffffu, 0);
    fds[0].fd = pipes[0];
    T("timeout", poll, fds, 1, 10);
    struct timespec zero = {0, 0};
    T("three", ppoll, fds, 3, &zero, NULL, 8);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pipes[1], &set);
    struct timeval tv = {0, 0};
    T("one", select, 10, NULL, &set, NULL, &tv);
    T("negative", select, -1, NULL, &set, NULL, &tv);
    T("efault", select, 10, BAD, NULL, NULL, &tv);
    T("one", pselect6, 10, NULL, &set, NULL, &zero, NULL);
    int epoll = (int)T("cloexec", epoll_create1, EPOLL_CLOEXEC);
    T("size", epoll_create, 5);
    T("zero", epoll_create, 0);
    T("flags", epoll_create1, 7);
    struct epoll_event event = {EPOLLIN, {.u64 = 0x1122}}, got[4];
    T("add", epoll_ctl, epoll, EPOLL_CTL_ADD, pipes[0], &event);
    T("again", epoll_ctl, epoll, EPOLL_CTL_ADD, pipes[0], &event);
    T("file", epoll_ctl, epoll, EPOLL_CTL_ADD, file, &event);
    T("itself", epoll_ctl, epoll, EPOLL_CTL_ADD, epoll, &event);
    T("ebadf", epoll_ctl, epoll, EPOLL_CTL_ADD, 99, &event);
    T("efault", epoll_ctl, epoll, EPOLL_CTL_MOD, pipes[0], BAD);
    T("nothing", epoll_wait, epoll, got, 4, 0);
    if (write(pipes[1], "x", 1) < 0) return;
    T("ready", epoll_wait, epoll, got, 4, 1000);
    say("epoll_wait", "data", "%lx", (unsigned long)got[0].data.u64);
    T("ready", epoll_pwait, epoll, got, 4, 0, NULL, 8);
    T("ready", epoll_pwait2, epoll, got, 4, &zero, NULL, 8);
    T("max", epoll_wait, epoll, got, 0, 0);
    T("efault", epoll_wait, epoll, BAD, 4, 0);
    T("delete", epoll_ctl, epoll, EPOLL_CTL_DEL, pipes[0], NULL);
}

FAMILY(poll) { SECTION(waits); }
