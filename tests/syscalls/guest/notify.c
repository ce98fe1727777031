/* inotify(7) and fanotify(7). */
#include "guest.h"

#include <sys/inotify.h>

static void drain(const char *tag, int fd) {
    char buffer[4096] __attribute__((aligned(8)));
    ssize_t n = read(fd, buffer, sizeof buffer);
    if (n < 0) {
        say("inotify_add_watch", tag, "none: %s", errname(errno));
        return;
    }
    for (char *at = buffer; at < buffer + n;) {
        struct inotify_event *event = (void *)at;
        say("inotify_add_watch", tag, "wd=%d mask=%x name=%s", event->wd, event->mask, event->len ? event->name : "");
        at += sizeof *event + event->len;
    }
}

static void calls(void) {
    mkdir("/work/watched", 0755);
    T("plain", inotify_init);
    int fd = (int)T("flags", inotify_init1, IN_NONBLOCK | IN_CLOEXEC);
    T("bad_flags", inotify_init1, 7);
    T("dir", inotify_add_watch, fd, "/work/watched", IN_CREATE | IN_DELETE | IN_MODIFY | IN_MOVE | IN_CLOSE_WRITE | IN_ATTRIB);
    put("/work/watched/a", "x");
    drain("create", fd);
    rename("/work/watched/a", "/work/watched/b");
    drain("rename", fd);
    truncate("/work/watched/b", 0);
    drain("truncate", fd);
    chmod("/work/watched/b", 0600);
    drain("chmod", fd);
    int writer = open("/work/watched/b", O_WRONLY | O_TRUNC);
    close(writer);
    drain("trunc_open", fd);
    unlink("/work/watched/b");
    drain("unlink", fd);
    T("file", inotify_add_watch, fd, "/work/link", IN_OPEN | IN_ACCESS);
    get("/work/file");
    drain("read", fd);
    T("enoent", inotify_add_watch, fd, "/work/none", IN_OPEN);
    T("efault", inotify_add_watch, fd, BAD, IN_OPEN);
    T("ebadf", inotify_add_watch, 99, "/work", IN_OPEN);
    T("not_inotify", inotify_add_watch, 0, "/work", IN_OPEN);
    T("no_events", inotify_add_watch, fd, "/work", 0);
    T("locked", inotify_add_watch, fd, "/work/secret", IN_OPEN);
    T("onlydir", inotify_add_watch, fd, "/work/file", IN_OPEN | IN_ONLYDIR);
    T("exists", inotify_add_watch, fd, "/work/watched", IN_OPEN | IN_MASK_CREATE);
    T("first", inotify_rm_watch, fd, 1);
    drain("removed", fd);
    T("again", inotify_rm_watch, fd, 1);
    T("ebadf", inotify_rm_watch, 99, 1);
    T("not_inotify", inotify_rm_watch, 0, 1);
}

FAMILY(notify) { SECTION(calls); }
