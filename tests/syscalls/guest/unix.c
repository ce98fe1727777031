/* AF_UNIX in depth: names in message headers, credentials and descriptors beside data, and the states of the
 * three kinds of sockets. */
#include "guest.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

struct name {
    struct sockaddr_un address;
    socklen_t length;
};

static struct name path_name(const char *path) {
    struct name name = {{AF_UNIX, ""}, 0};
    strncpy(name.address.sun_path, path, sizeof name.address.sun_path - 1);
    name.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
    return name;
}

static struct name abstract_name(const char *text) {
    struct name name = {{AF_UNIX, ""}, 0};
    strncpy(name.address.sun_path + 1, text, sizeof name.address.sun_path - 2);
    name.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(text));
    return name;
}

static int bound(int kind, struct name name) {
    int fd = socket(AF_UNIX, kind, 0);
    if (bind(fd, (void *)&name.address, name.length)) say("bind", "bound", "%s", errname(errno));
    return fd;
}

static int listening(int kind, struct name name) {
    int fd = bound(kind, name);
    listen(fd, 8);
    return fd;
}

/* One datagram with where it came from. */
static void receive(const char *tag, int fd) {
    char buffer[64] = {0};
    struct sockaddr_un from = {0};
    socklen_t length = sizeof from;
    long r = T(tag, recvfrom, fd, buffer, sizeof buffer - 1, MSG_DONTWAIT, &from, &length);
    if (r >= 0) say("recvfrom", tag, "%s from=%u %s%s", buffer, length, length > 2 && !from.sun_path[0] ? "@" : "", length > 2 ? from.sun_path + !from.sun_path[0] : "");
}

static void header_names(void) {
    struct name path = path_name("/work/un-dgram"), abstract = abstract_name("caisson-un"), none = path_name("/work/un-none");
    int by_path = bound(SOCK_DGRAM, path), by_name = bound(SOCK_DGRAM, abstract), sender = socket(AF_UNIX, SOCK_DGRAM, 0);
    struct iovec parts[2] = {{"one ", 4}, {"two", 3}};
    struct msghdr message = {&path.address, path.length, parts, 2, NULL, 0, 0};
    T("path", sendmsg, sender, &message, 0);
    receive("path", by_path);
    message.msg_name = &abstract.address;
    message.msg_namelen = abstract.length;
    T("abstract", sendmsg, sender, &message, 0);
    receive("abstract", by_name);
    T("sender_named", bind, sender, &(struct sockaddr_un){AF_UNIX, "/work/un-sender"}, sizeof(struct sockaddr_un));
    message.msg_name = &path.address;
    message.msg_namelen = path.length;
    T("named", sendmsg, sender, &message, 0);
    receive("named", by_path);
    chdir("/work");
    struct name relative = path_name("un-dgram");
    message.msg_name = &relative.address;
    message.msg_namelen = relative.length;
    T("relative", sendmsg, sender, &message, 0);
    receive("relative", by_path);
    symlink("un-dgram", "/work/un-link");
    struct name link = path_name("/work/un-link");
    message.msg_name = &link.address;
    message.msg_namelen = link.length;
    T("link", sendmsg, sender, &message, 0);
    receive("link", by_path);
    message.msg_name = &none.address;
    message.msg_namelen = none.length;
    T("none", sendmsg, sender, &message, 0);
    struct name plain = path_name("/work/file");
    message.msg_name = &plain.address;
    message.msg_namelen = plain.length;
    T("plain_file", sendmsg, sender, &message, 0);
    message.msg_name = BAD;
    T("efault_name", sendmsg, sender, &message, 0);
    message.msg_name = &path.address;
    message.msg_namelen = 5000;
    T("long_name", sendmsg, sender, &message, 0);
    message.msg_namelen = (socklen_t)-1;
    T("negative_name", sendmsg, sender, &message, 0);
    message.msg_namelen = 1;
    T("short_name", sendmsg, sender, &message, 0);
    message.msg_namelen = 0;
    T("empty_name", sendmsg, sender, &message, 0);
    message.msg_name = NULL;
    message.msg_namelen = 20;
    T("null_name", sendmsg, sender, &message, 0);
    message.msg_namelen = path.length;
    struct sockaddr_un wrong = path.address;
    wrong.sun_family = AF_INET;
    message.msg_name = &wrong;
    T("wrong_family", sendmsg, sender, &message, 0);
    message.msg_name = &path.address;
    message.msg_iovlen = 0;
    T("no_data", sendmsg, sender, &message, 0);
    receive("no_data", by_path);
    message.msg_iovlen = 1025;
    T("many_parts", sendmsg, sender, &message, 0);
    struct iovec bad = {BAD, 10};
    message.msg_iov = &bad;
    message.msg_iovlen = 1;
    T("efault_data", sendmsg, sender, &message, 0);
    message.msg_iov = BAD;
    T("efault_parts", sendmsg, sender, &message, 0);
    bad = (struct iovec){parts, (size_t)-1};
    message.msg_iov = &bad;
    T("negative_part", sendmsg, sender, &message, 0);
    T("efault", sendmsg, sender, BAD, 0);
    T("ebadf", sendmsg, 99, &message, 0);
    message.msg_iov = parts;
    T("notsock", sendmsg, open("/work/file", O_RDONLY), &message, 0);
    T("oob", sendmsg, sender, &message, MSG_OOB);
    struct mmsghdr many[3];
    for (int i = 0; i < 3; i++) many[i] = (struct mmsghdr){{&path.address, path.length, parts, 1 + (i == 1), NULL, 0, 0}, 77};
    T("three", sendmmsg, sender, many, 3, 0);
    say("sendmmsg", "three", "%u %u %u", many[0].msg_len, many[1].msg_len, many[2].msg_len);
    for (int i = 0; i < 3; i++) receive("three", by_path);
    many[1].msg_hdr.msg_name = &none.address;
    many[1].msg_hdr.msg_namelen = none.length;
    T("second_fails", sendmmsg, sender, many, 3, 0);
    receive("second_fails", by_path);
    T("first_fails", sendmmsg, sender, many + 1, 2, 0);
    T("zero", sendmmsg, sender, many, 0, 0);
    T("efault", sendmmsg, sender, BAD, 2, 0);
    T("ebadf", sendmmsg, 99, many, 2, 0);
    struct mmsghdr *ro = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *ro = many[0];
    mprotect(ro, 4096, PROT_READ);
    T("efault_length", sendmmsg, sender, ro, 1, 0);
    receive("efault_length", by_path);
    close(by_path);
    message = (struct msghdr){&path.address, path.length, parts, 1, NULL, 0, 0};
    T("refused", sendmsg, sender, &message, 0);
    /* A full queue. */
    int sent = 0;
    message.msg_name = &abstract.address;
    message.msg_namelen = abstract.length;
    while (syscall(SYS_sendmsg, sender, &message, MSG_DONTWAIT) > 0) sent++;
    say("sendmsg", "queue", "%s some=%d", errname(errno), sent > 0);
    pid_t child = fork();
    if (child == 0) {
        parts[0].iov_base = "late";
        T("late", sendmsg, sender, &message, 0);
        _exit(0);
    }
    millis(60);
    while (sent-- > 0) recv(by_name, (char[8]){0}, 8, 0);
    millis(60);
    receive("late", by_name);
    waitpid(child, NULL, 0);
}

static void connected(void) {
    struct name one = abstract_name("caisson-c1"), two = abstract_name("caisson-c2");
    int first = bound(SOCK_DGRAM, one), second = bound(SOCK_DGRAM, two), third = socket(AF_UNIX, SOCK_DGRAM, 0);
    T("peer", connect, first, &two.address, two.length);
    /* A connected datagram socket takes nothing from others. */
    T("stranger", sendto, third, "x", 1, MSG_DONTWAIT, &one.address, one.length);
    T("peer", sendto, second, "y", 1, 0, &one.address, one.length);
    receive("peer", first);
    T("no_peer", sendto, third, "z", 1, 0, NULL, 0);
    T("connected_elsewhere", sendto, first, "w", 1, 0, &one.address, one.length);
    T("listen", listen, first, 1);
    T("accept", accept, first, NULL, NULL);
    close(second);
    T("gone", sendto, first, "v", 1, 0, NULL, 0);
    struct name server_name = path_name("/work/un-stream");
    int server = listening(SOCK_STREAM, server_name), client = socket(AF_UNIX, SOCK_STREAM, 0);
    struct iovec part = {"abc", 3};
    struct msghdr message = {&server_name.address, server_name.length, &part, 1, NULL, 0, 0};
    T("stream_unconnected", sendmsg, client, &message, MSG_NOSIGNAL);
    T("stream_unconnected", sendto, client, "x", 1, MSG_NOSIGNAL, NULL, 0);
    T("stream_listener", sendto, server, "x", 1, MSG_NOSIGNAL, NULL, 0);
    T("stream_unconnected", recvfrom, client, (char[4]){0}, 4, MSG_DONTWAIT, NULL, NULL);
    T("stream", connect, client, &server_name.address, server_name.length);
    T("stream_connected", sendmsg, client, &message, MSG_NOSIGNAL);
    T("stream_connected", sendto, client, "x", 1, MSG_NOSIGNAL, &server_name.address, server_name.length);
    int accepted = accept(server, NULL, NULL);
    T("data", write, client, "0123456789", 10);
    char buffer[32] = {0};
    T("peek", recvfrom, accepted, buffer, 4, MSG_PEEK, NULL, NULL);
    T("part", recvfrom, accepted, buffer, 4, 0, NULL, NULL);
    T("waitall", recvfrom, accepted, buffer, 6, MSG_WAITALL, NULL, NULL);
    int count = 0;
    T("empty", ioctl, accepted, FIONREAD, &count);
    say("ioctl", "empty", "%d", count);
    T("write_end", shutdown, client, SHUT_WR);
    T("after_shutdown", sendto, client, "x", 1, MSG_NOSIGNAL, NULL, 0);
    T("eof", recvfrom, accepted, buffer, 4, 0, NULL, NULL);
    T("other_way", write, accepted, "back", 4);
    T("other_way", read, client, buffer, 4);
    T("read_end", shutdown, client, SHUT_RD);
    T("to_closed", sendto, accepted, "x", 1, MSG_NOSIGNAL, NULL, 0);
    T("unread", write, client, "x", 1);
    close(client);
    T("after_close", read, accepted, buffer, 4);
    T("after_close", sendto, accepted, "x", 1, MSG_NOSIGNAL, NULL, 0);
    int pair[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    if (write(pair[0], "lost", 4) < 0) return;
    close(pair[1]);
    T("reset", read, pair[0], buffer, 4);
    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
    T("record", sendto, pair[0], "record", 6, MSG_EOR, NULL, 0);
    T("record", sendto, pair[0], "next", 4, 0, NULL, 0);
    T("truncated", recvfrom, pair[1], buffer, 3, 0, NULL, NULL);
    struct iovec in = {buffer, 2};
    message = (struct msghdr){NULL, 0, &in, 1, NULL, 0, 0};
    T("truncated", recvmsg, pair[1], &message, 0);
    say("recvmsg", "truncated", "flags=%#x", (unsigned)message.msg_flags);
    sendto(pair[0], "12345", 5, 0, NULL, 0);
    T("real_length", recvfrom, pair[1], buffer, 2, MSG_TRUNC, NULL, NULL);
    T("empty_record", sendto, pair[0], "", 0, 0, NULL, 0);
    T("empty_record", recvfrom, pair[1], buffer, 4, MSG_DONTWAIT, NULL, NULL);
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    static char huge[1 << 20];
    T("too_big", sendto, pair[0], huge, sizeof huge, MSG_DONTWAIT, NULL, 0);
    T("peek_off", setsockopt, pair[1], SOL_SOCKET, 42, &(int){1}, 4);
}

static void names_of_sockets(void) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un name = {AF_UNIX, ""};
    T("auto", bind, fd, &name, 2);
    socklen_t length = sizeof name;
    T("auto", getsockname, fd, &name, &length);
    int hex = 1;
    for (int i = 1; i < 6; i++) hex &= strchr("0123456789abcdef", name.sun_path[i]) != NULL && name.sun_path[i];
    say("getsockname", "auto", "len=%u abstract=%d hex=%d", length, name.sun_path[0] == 0, hex);
    T("auto_again", bind, fd, &name, 2);
    int on = 1;
    T("passcred", setsockopt, other, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    listen(fd, 1);
    T("passcred", connect, other, &name, length);
    length = sizeof name;
    T("passcred", getsockname, other, &name, &length);
    say("getsockname", "passcred", "len=%u", length);
    int plain = socket(AF_UNIX, SOCK_STREAM, 0);
    length = sizeof name;
    T("unnamed", getsockname, plain, &name, &length);
    say("getsockname", "unnamed", "len=%u", length);
    length = 1;
    T("short", getsockname, plain, &name, &length);
    length = (socklen_t)-1;
    T("negative", getsockname, plain, &name, &length);
    T("efault", getsockname, plain, BAD, &length);
    T("efault_length", getsockname, plain, &name, BAD);
    T("ebadf", getsockname, 99, &name, &length);
    T("notsock", getsockname, 0, &name, &length);
    T("unbound_listen", listen, plain, 1);
    struct name nul = abstract_name("a");
    memcpy(nul.address.sun_path, "\0x\0y", 4);
    int odd = socket(AF_UNIX, SOCK_STREAM, 0);
    T("inner_nul", bind, odd, &nul.address, 6);
    length = sizeof name;
    T("inner_nul", getsockname, odd, &name, &length);
    say("getsockname", "inner_nul", "len=%u same=%d", length, memcmp(name.sun_path, "\0x\0y", 4) == 0);
    T("abstract_in_use", bind, plain, &nul.address, 6);
    T("abstract_longer", bind, plain, &nul.address, 7);
    umask(027);
    struct name path = path_name("/work/un-mode");
    bound(SOCK_STREAM, path);
    struct stat st;
    if (!lstat("/work/un-mode", &st)) say("bind", "umask", "%o", st.st_mode);
    umask(0);
    T("unlink", unlink, "/work/un-mode");
    T("rename_bind", bind, socket(AF_UNIX, SOCK_STREAM, 0), &path.address, path.length);
    T("moved", rename, "/work/un-mode", "/work/un-moved");
    T("no_such", connect, socket(AF_UNIX, SOCK_STREAM, 0), &path.address, path.length);
    struct name trailing = path_name("/work/un-dir/");
    T("trailing_slash", bind, socket(AF_UNIX, SOCK_STREAM, 0), &trailing.address, trailing.length);
    struct name below = path_name("/work/file/x");
    T("not_dir", bind, socket(AF_UNIX, SOCK_STREAM, 0), &below.address, below.length);
    struct name locked = path_name("/work/locked/x");
    T("locked", bind, socket(AF_UNIX, SOCK_STREAM, 0), &locked.address, locked.length);
    struct name loop = path_name("/work/loop/x");
    T("loop", bind, socket(AF_UNIX, SOCK_STREAM, 0), &loop.address, loop.length);
    struct name dangling = path_name("/work/dangling");
    T("dangling", bind, socket(AF_UNIX, SOCK_STREAM, 0), &dangling.address, dangling.length);
    struct name dead = path_name("/work/socket");
    T("dead_socket", connect, socket(AF_UNIX, SOCK_STREAM, 0), &dead.address, dead.length);
}

static void file_permission(void) {
    struct name name = path_name("/work/un-private");
    unlink("/work/un-private");
    int server = listening(SOCK_STREAM, name), receiver = bound(SOCK_DGRAM, path_name("/work/un-private-d"));
    chmod("/work/un-private", 0600);
    chmod("/work/un-private-d", 0600);
    (void)server;
    (void)receiver;
    if (fork() == 0) {
        syscall(SYS_setresuid, 4010, 4010, 4010);
        T("not_writable", connect, socket(AF_UNIX, SOCK_STREAM, 0), &name.address, name.length);
        struct name letters = path_name("/work/un-private-d");
        T("not_writable", sendto, socket(AF_UNIX, SOCK_DGRAM, 0), "x", 1, 0, &letters.address, letters.length);
        struct iovec part = {"x", 1};
        struct msghdr message = {&letters.address, letters.length, &part, 1, NULL, 0, 0};
        T("not_writable", sendmsg, socket(AF_UNIX, SOCK_DGRAM, 0), &message, 0);
        _exit(0);
    }
    wait(NULL);
    chmod("/work/un-private", 0622);
    if (fork() == 0) {
        syscall(SYS_setresuid, 4010, 4010, 4010);
        T("writable", connect, socket(AF_UNIX, SOCK_STREAM, 0), &name.address, name.length);
        _exit(0);
    }
    wait(NULL);
}

static long send_credentials(const char *tag, int fd, pid_t pid, uid_t uid, gid_t gid) {
    char control[CMSG_SPACE(sizeof(struct ucred))] = {0};
    struct iovec part = {"c", 1};
    struct msghdr message = {NULL, 0, &part, 1, control, sizeof control, 0};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    *head = (struct cmsghdr){CMSG_LEN(sizeof(struct ucred)), SOL_SOCKET, SCM_CREDENTIALS};
    memcpy(CMSG_DATA(head), &(struct ucred){pid, uid, gid}, sizeof(struct ucred));
    return T(tag, sendmsg, fd, &message, MSG_DONTWAIT);
}

static void show_control(const char *tag, int fd, pid_t expected) {
    char control[256] = {0}, data[64];
    struct iovec part = {data, sizeof data};
    struct msghdr message = {NULL, 0, &part, 1, control, sizeof control, 0};
    if (T(tag, recvmsg, fd, &message, MSG_DONTWAIT) < 0) return;
    say("recvmsg", tag, "flags=%#x", (unsigned)message.msg_flags);
    for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
        if (head->cmsg_type == SCM_CREDENTIALS) {
            struct ucred cred;
            memcpy(&cred, CMSG_DATA(head), sizeof cred);
            say("recvmsg", tag, "credentials pid=%s uid=%d gid=%d", cred.pid == expected ? "expected" : cred.pid ? "other" : "0", (int)cred.uid, (int)cred.gid);
        } else if (head->cmsg_type == SCM_RIGHTS) {
            say("recvmsg", tag, "rights %zu", (head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        } else if (head->cmsg_type == SCM_PIDFD) {
            say("recvmsg", tag, "pidfd");
        } else say("recvmsg", tag, "type %d", head->cmsg_type);
    }
}

static void credentials(void) {
    int pair[2], on = 1;
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    pid_t own = getpid();
    uid_t uid = getuid();
    gid_t gid = getgid();
    send_credentials("own", pair[0], own, uid, gid);
    show_control("own", pair[1], own);
    send_credentials("other_uid", pair[0], own, 4321, gid);
    show_control("other_uid", pair[1], own);
    send_credentials("other_gid", pair[0], own, uid, 4322);
    show_control("other_gid", pair[1], own);
    send_credentials("other_pid", pair[0], 1, uid, gid);
    show_control("other_pid", pair[1], 1);
    send_credentials("no_pid", pair[0], 4999999, uid, gid);
    send_credentials("zero_pid", pair[0], 0, uid, gid);
    send_credentials("negative_uid", pair[0], own, (uid_t)-1, gid);
    pid_t child = fork();
    if (child == 0) {
        send_credentials("child", pair[0], getpid(), uid, gid);
        send_credentials("child_parent", pair[0], getppid(), uid, gid);
        syscall(SYS_setresgid, 4030, 4031, 4032);
        syscall(SYS_setresuid, 4020, 4021, 4022);
        for (int i = 0; i < 3; i++) send_credentials("real_effective_saved", pair[0], getpid(), 4020 + (uid_t)i, 4030 + (gid_t)i);
        send_credentials("dropped", pair[0], getpid(), 0, 0);
        millis(50);
        _exit(0);
    }
    millis(30);
    show_control("child", pair[1], child);
    for (int i = 0; i < 5; i++) show_control("child_more", pair[1], child);
    waitpid(child, NULL, 0);
    /* Without data on a datagram socket, and with a stream. */
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    send_credentials("nobody_asks", pair[0], own, uid, gid);
    show_control("nobody_asks", pair[1], own);
    setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    send_credentials("stream", pair[0], own, uid, gid);
    show_control("stream", pair[1], own);
    /* By name. */
    struct name name = abstract_name("caisson-cred"), path = path_name("/work/un-cred");
    int receiver = bound(SOCK_DGRAM, name), letters = bound(SOCK_DGRAM, path), sender = socket(AF_UNIX, SOCK_DGRAM, 0);
    setsockopt(receiver, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    setsockopt(letters, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    T("named", sendto, sender, "x", 1, 0, &name.address, name.length);
    show_control("named_sendto", receiver, own);
    T("path", sendto, sender, "x", 1, 0, &path.address, path.length);
    show_control("path_sendto", letters, own);
    struct iovec part = {"x", 1};
    struct msghdr message = {&name.address, name.length, &part, 1, NULL, 0, 0};
    T("named", sendmsg, sender, &message, 0);
    show_control("named_sendmsg", receiver, own);
    int value = 0;
    socklen_t size = sizeof value;
    T("passcred", getsockopt, receiver, SOL_SOCKET, SO_PASSCRED, &value, &size);
    say("getsockopt", "passcred", "%d %u", value, size);
}

static long send_rights(const char *tag, int fd, const int *fds, size_t count, size_t length) {
    char control[CMSG_SPACE(300 * sizeof(int))] = {0};
    struct iovec part = {"r", 1};
    struct msghdr message = {NULL, 0, &part, 1, control, CMSG_SPACE(count * sizeof(int)), 0};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    *head = (struct cmsghdr){length ? length : CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(head), fds, count * sizeof(int));
    return T(tag, sendmsg, fd, &message, MSG_DONTWAIT);
}

static void rights(void) {
    int pair[2], fds[300], got[4];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    for (int i = 0; i < 300; i++) fds[i] = 1;
    send_rights("three", pair[0], fds, 3, 0);
    show_control("three", pair[1], 0);
    send_rights("maximum", pair[0], fds, 253, 0);
    recv(pair[1], (char[4]){0}, 4, MSG_DONTWAIT);
    send_rights("too_many", pair[0], fds, 254, 0);
    fds[1] = 99;
    send_rights("ebadf", pair[0], fds, 2, 0);
    fds[1] = -1;
    send_rights("negative", pair[0], fds, 2, 0);
    fds[1] = 1;
    send_rights("none", pair[0], fds, 0, 0);
    recv(pair[1], (char[4]){0}, 4, MSG_DONTWAIT);
    send_rights("short_header", pair[0], fds, 1, 4);
    send_rights("long_header", pair[0], fds, 1, 400);
    send_rights("odd_length", pair[0], fds, 1, CMSG_LEN(3));
    recv(pair[1], (char[4]){0}, 4, MSG_DONTWAIT);
    /* Too little room for all of them. */
    send_rights("truncated", pair[0], fds, 3, 0);
    char control[CMSG_SPACE(sizeof(int))] = {0}, data[8];
    struct iovec part = {data, sizeof data};
    struct msghdr message = {NULL, 0, &part, 1, control, sizeof control, 0};
    T("truncated", recvmsg, pair[1], &message, 0);
    say("recvmsg", "truncated", "flags=%#x", (unsigned)message.msg_flags);
    send_rights("no_room", pair[0], fds, 1, 0);
    message = (struct msghdr){NULL, 0, &part, 1, NULL, 0, 0};
    T("no_room", recvmsg, pair[1], &message, 0);
    say("recvmsg", "no_room", "flags=%#x", (unsigned)message.msg_flags);
    /* A file that was opened keeps its rights and offset. */
    int file = open("/work/file", O_RDONLY);
    lseek(file, 6, SEEK_SET);
    send_rights("offset", pair[0], &file, 1, 0);
    memset(control, 0, sizeof control);
    message = (struct msghdr){NULL, 0, &part, 1, control, sizeof control, 0};
    T("offset", recvmsg, pair[1], &message, 0);
    memcpy(got, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
    char text[8] = {0};
    T("offset", read, got[0], text, 5);
    say("recvmsg", "offset", "%s cloexec=%d", text, fcntl(got[0], F_GETFD));
    T("write", write, got[0], "x", 1);
    /* A socket through itself, then gone. */
    send_rights("itself", pair[0], &pair[1], 1, 0);
    send_rights("unix", pair[0], pair, 2, 0);
    /* A pidfd and an epoll. */
    int other[2] = {(int)syscall(SYS_pidfd_open, getpid(), 0), (int)syscall(SYS_epoll_create1, 0)};
    int second[2];
    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, second);
    send_rights("pidfd_epoll", second[0], other, 2, 0);
    show_control("pidfd_epoll", second[1], 0);
    /* Rights with a name. */
    struct name name = path_name("/work/un-rights");
    int receiver = bound(SOCK_DGRAM, name), sender = socket(AF_UNIX, SOCK_DGRAM, 0);
    char space[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))] = {0};
    struct iovec one = {"n", 1};
    message = (struct msghdr){&name.address, name.length, &one, 1, space, CMSG_SPACE(sizeof(int)), 0};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    *head = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(head), &file, sizeof file);
    T("named_rights", sendmsg, sender, &message, 0);
    show_control("named_rights", receiver, 0);
    int on = 1;
    setsockopt(receiver, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    message.msg_controllen = sizeof space;
    struct cmsghdr *next = (void *)(space + CMSG_SPACE(sizeof(int)));
    *next = (struct cmsghdr){CMSG_LEN(sizeof(struct ucred)), SOL_SOCKET, SCM_CREDENTIALS};
    memcpy(CMSG_DATA(next), &(struct ucred){getpid(), getuid(), getgid()}, sizeof(struct ucred));
    T("both", sendmsg, sender, &message, 0);
    show_control("both", receiver, getpid());
    head->cmsg_type = 77;
    T("unknown_type", sendmsg, sender, &message, 0);
    head->cmsg_level = 77;
    T("unknown_level", sendmsg, sender, &message, 0);
    show_control("unknown_level", receiver, getpid());
    message.msg_control = BAD;
    T("efault_control", sendmsg, sender, &message, 0);
    message.msg_controllen = (size_t)-1;
    T("huge_control", sendmsg, sender, &message, 0);
}

static void pidfds(void) {
    int pair[2], on = 1;
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    T("passpidfd", setsockopt, pair[1], SOL_SOCKET, SO_PASSPIDFD, &on, sizeof on);
    if (write(pair[0], "x", 1) < 0) return;
    show_control("passpidfd", pair[1], 0);
    int value = 0;
    socklen_t size = sizeof value;
    T("peerpidfd", getsockopt, pair[0], SOL_SOCKET, 77, &value, &size);
    struct name name = abstract_name("caisson-pidfd");
    int server = listening(SOCK_STREAM, name), client = socket(AF_UNIX, SOCK_STREAM, 0);
    connect(client, (void *)&name.address, name.length);
    size = sizeof value;
    if (TOK("peerpidfd_listener", getsockopt, client, SOL_SOCKET, 77, &value, &size) == 0) {
        T("self", pidfd_send_signal, value, 0, NULL, 0);
        say("fcntl", "peerpidfd", "cloexec=%d", fcntl(value, F_GETFD));
    }
    (void)server;
    size = sizeof value;
    T("peerpidfd_none", getsockopt, socket(AF_UNIX, SOCK_STREAM, 0), SOL_SOCKET, 77, &value, &size);
}

/* More than is sent at once, to one who wants to know from whom. */
static void much(void) {
    enum { ALL = 3 << 20 };
    static char data[ALL];
    int pair[2], on = 1;
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    pid_t child = fork();
    if (child == 0) {
        size_t got = 0;
        ssize_t n;
        close(pair[0]);
        while ((n = recv(pair[1], data, sizeof data, 0)) > 0) got += (size_t)n;
        say("recvfrom", "much", "%zu", got);
        _exit(0);
    }
    close(pair[1]);
    memset(data, 'm', sizeof data);
    size_t sent = 0;
    while (sent < sizeof data) {
        struct iovec parts[2] = {{data + sent, (sizeof data - sent) / 2}, {data + sent + (sizeof data - sent) / 2, sizeof data - sent - (sizeof data - sent) / 2}};
        struct msghdr message = {NULL, 0, parts, 2, NULL, 0, 0};
        ssize_t n = sendmsg(pair[0], &message, 0);
        if (n <= 0) break;
        sent += (size_t)n;
    }
    say("sendmsg", "much", "%zu", sent);
    close(pair[0]);
    waitpid(child, NULL, 0);
    int letters[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, letters);
    setsockopt(letters[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    struct iovec part = {data, sizeof data};
    struct msghdr message = {NULL, 0, &part, 1, NULL, 0, 0};
    T("too_much", sendmsg, letters[0], &message, MSG_DONTWAIT);
}

FAMILY(unix) {
    SECTION(header_names);
    SECTION(connected);
    SECTION(names_of_sockets);
    SECTION(file_permission);
    SECTION(credentials);
    SECTION(rights);
    SECTION(pidfds);
    SECTION(much);
}
