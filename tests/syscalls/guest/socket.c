/* Sockets of the families a container may use, and refusals of the others. */
#include "guest.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static socklen_t unix_address(struct sockaddr_un *address, const char *path) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    strncpy(address->sun_path, path, sizeof address->sun_path - 1);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
}

static void name_of(const char *tag, int fd) {
    struct sockaddr_storage raw = {0};
    socklen_t length = sizeof raw;
    long r = T(tag, getsockname, fd, &raw, &length);
    if (r != 0) return;
    if (raw.ss_family == AF_UNIX) {
        struct sockaddr_un *u = (void *)&raw;
        say("getsockname", tag, "unix len=%u path=%s%s", length, u->sun_path[0] || length <= 2 ? "" : "@", u->sun_path[0] ? u->sun_path : u->sun_path + 1);
    } else if (raw.ss_family == AF_INET) {
        struct sockaddr_in *in = (void *)&raw;
        say("getsockname", tag, "inet %s port=%d", inet_ntoa(in->sin_addr), in->sin_port != 0);
    } else say("getsockname", tag, "family=%d", raw.ss_family);
}

static void families(void) {
    T("unix_stream", socket, AF_UNIX, SOCK_STREAM, 0);
    T("unix_dgram", socket, AF_UNIX, SOCK_DGRAM, 0);
    T("unix_seqpacket", socket, AF_UNIX, SOCK_SEQPACKET, 0);
    T("unix_raw", socket, AF_UNIX, SOCK_RAW, 0);
    T("inet_stream", socket, AF_INET, SOCK_STREAM, 0);
    T("inet_dgram", socket, AF_INET, SOCK_DGRAM, 0);
    T("inet6_stream", socket, AF_INET6, SOCK_STREAM, 0);
    T("inet_tcp", socket, AF_INET, SOCK_STREAM, IPPROTO_TCP);
    T("inet_mismatch", socket, AF_INET, SOCK_STREAM, IPPROTO_UDP);
    T("inet_seqpacket", socket, AF_INET, SOCK_SEQPACKET, 0);
    int fd = (int)T("cloexec", socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    say("fcntl", "cloexec", "%d %#o", fcntl(fd, F_GETFD), (unsigned)fcntl(fd, F_GETFL));
    T("bad_family", socket, 999, SOCK_STREAM, 0);
    T("negative_family", socket, -1, SOCK_STREAM, 0);
    T("bad_type", socket, AF_UNIX, 77, 0);
    T("bad_type_flags", socket, AF_UNIX, SOCK_STREAM | 0x100, 0);
    T("bad_protocol", socket, AF_UNIX, SOCK_STREAM, 99);
    int pair[2];
    T("stream", socketpair, AF_UNIX, SOCK_STREAM, 0, pair);
    T("dgram", socketpair, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair);
    T("inet", socketpair, AF_INET, SOCK_STREAM, 0, pair);
    T("efault", socketpair, AF_UNIX, SOCK_STREAM, 0, BAD);
    T("bad_type", socketpair, AF_UNIX, 77, 0, pair);
}

static void unix_stream(void) {
    struct sockaddr_un address;
    socklen_t length = unix_address(&address, "/work/sock");
    int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    T("refused_none", connect, client, &address, length);
    T("file", bind, server, &address, length);
    struct stat st;
    if (!lstat("/work/sock", &st)) say("bind", "file_mode", "%o uid=%d", st.st_mode, (int)st.st_uid);
    T("again", bind, server, &address, length);
    T("in_use", bind, client, &address, length);
    T("not_listening", connect, client, &address, length);
    T("backlog", listen, server, 5);
    T("client", connect, client, &address, length);
    name_of("server", server);
    name_of("client", client);
    struct sockaddr_un peer;
    socklen_t peer_length = sizeof peer;
    int accepted = (int)T("stream", accept, server, &peer, &peer_length);
    say("accept", "peer", "len=%u family=%d", peer_length, peer.sun_family);
    peer_length = sizeof peer;
    T("client", getpeername, client, &peer, &peer_length);
    say("getpeername", "client", "len=%u %s", peer_length, peer.sun_path);
    T("unconnected", getpeername, server, &peer, &peer_length);
    name_of("accepted", accepted);
    struct ucred cred = {0};
    socklen_t size = sizeof cred;
    T("peercred", getsockopt, accepted, SOL_SOCKET, SO_PEERCRED, &cred, &size);
    say("getsockopt", "peercred", "pid_self=%d uid=%d gid=%d", cred.pid == getpid(), (int)cred.uid, (int)cred.gid);
    T("hello", sendto, client, "hello", 5, 0, NULL, 0);
    char buffer[16] = {0};
    T("hello", recvfrom, accepted, buffer, sizeof buffer, 0, NULL, NULL);
    say("recvfrom", "hello", "%s", buffer);
    T("dontwait", recvfrom, accepted, buffer, sizeof buffer, MSG_DONTWAIT, NULL, NULL);
    T("write", shutdown, client, SHUT_WR);
    T("eof", recvfrom, accepted, buffer, sizeof buffer, 0, NULL, NULL);
    T("bad", shutdown, client, 9);
    T("ebadf", shutdown, 99, 0);
    T("again_connected", connect, client, &address, length);
    T("nonblock", fcntl, server, F_SETFL, O_NONBLOCK);
    T("eagain", accept4, server, NULL, NULL, SOCK_CLOEXEC);
    T("bad_flags", accept4, server, NULL, NULL, 1);
    T("not_listening", accept, client, NULL, NULL);
    T("dead_file", unlink, "/work/sock");
    close(client);
    client = socket(AF_UNIX, SOCK_STREAM, 0);
    T("unlinked", connect, client, &address, length);
    T("file_not_socket", connect, client, &address, unix_address(&address, "/work/file"));
    T("locked", connect, client, &address, unix_address(&address, "/work/locked/s"));
    T("enoent_dir", bind, client, &address, unix_address(&address, "/work/none/s"));
    T("rofs", bind, client, &address, unix_address(&address, "/ro/s"));
    T("exists", bind, client, &address, unix_address(&address, "/work/file"));
    chdir("/work");
    T("relative", bind, client, &address, unix_address(&address, "relsock"));
    name_of("relative", client);
    T("longest", bind, socket(AF_UNIX, SOCK_STREAM, 0), &address,
      unix_address(&address, "/tmp/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

static void unix_others(void) {
    struct sockaddr_un address, abstract = {AF_UNIX, "\0caisson-test"};
    socklen_t abstract_length = offsetof(struct sockaddr_un, sun_path) + 13;
    int one = socket(AF_UNIX, SOCK_DGRAM, 0), two = socket(AF_UNIX, SOCK_DGRAM, 0);
    socklen_t length = unix_address(&address, "/work/dsock");
    T("dgram", bind, one, &address, length);
    T("dgram_path", sendto, two, "abc", 3, 0, &address, length);
    char buffer[32] = {0};
    struct sockaddr_un from;
    socklen_t from_length = sizeof from;
    T("dgram_path", recvfrom, one, buffer, sizeof buffer, 0, &from, &from_length);
    say("recvfrom", "dgram_path", "%s fromlen=%u", buffer, from_length);
    T("dgram_none", sendto, two, "abc", 3, 0, &address, unix_address(&address, "/work/nosock"));
    unix_address(&address, "/work/dsock");
    struct iovec part = {"msg", 3};
    struct msghdr message = {&address, length, &part, 1, NULL, 0, 0};
    T("dgram_path", sendmsg, two, &message, 0);
    T("dgram", recvfrom, one, buffer, sizeof buffer, MSG_DONTWAIT, NULL, NULL);
    T("dgram_connect", connect, two, &address, length);
    T("dgram_write", write, two, "xyz", 3);
    struct mmsghdr many[2] = {{{&address, length, &part, 1, NULL, 0, 0}, 0}, {{&address, length, &part, 1, NULL, 0, 0}, 0}};
    T("dgram_path", sendmmsg, socket(AF_UNIX, SOCK_DGRAM, 0), many, 2, 0);
    T("dgram_connected", recvfrom, one, buffer, sizeof buffer, MSG_DONTWAIT, NULL, NULL);
    struct sockaddr unspec = {AF_UNSPEC, {0}};
    T("disconnect", connect, two, &unspec, sizeof unspec);
    T("after_disconnect", write, two, "x", 1);
    int server = socket(AF_UNIX, SOCK_SEQPACKET, 0), client = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    T("abstract", bind, server, &abstract, abstract_length);
    name_of("abstract", server);
    listen(server, 1);
    T("abstract", connect, client, &abstract, abstract_length);
    abstract.sun_path[1] = 'X';
    T("abstract_none", connect, socket(AF_UNIX, SOCK_SEQPACKET, 0), &abstract, abstract_length);
    int autobind = socket(AF_UNIX, SOCK_STREAM, 0);
    T("autobind", bind, autobind, &abstract, 2);
    T("wrong_type", connect, socket(AF_UNIX, SOCK_STREAM, 0), &address, unix_address(&address, "/work/dsock"));
    T("efault", bind, autobind, BAD, 20);
    T("efault", connect, autobind, BAD, 20);
    T("short", bind, socket(AF_UNIX, SOCK_STREAM, 0), &address, 1);
    T("negative_length", bind, socket(AF_UNIX, SOCK_STREAM, 0), &address, -1);
    T("huge_length", bind, socket(AF_UNIX, SOCK_STREAM, 0), &address, 5000);
    T("unix_too_long", bind, socket(AF_UNIX, SOCK_STREAM, 0), &address, 128);
    T("wrong_family", connect, socket(AF_INET, SOCK_STREAM, 0), &address, 16);
    T("ebadf", bind, 99, &address, length);
    T("ebadf", connect, 99, &address, length);
    T("notsock", bind, open("/work/file", O_RDONLY), &address, length);
    T("notsock", connect, open("/work/file", O_RDONLY), &address, length);
    T("notsock", listen, open("/work/file", O_RDONLY), 1);
    T("ebadf", listen, 99, 1);
    T("ebadf", accept, 99, NULL, NULL);
}

static void passing(void) {
    int pair[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    int fd = open("/work/file", O_RDONLY);
    char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 'x';
    struct iovec part = {&byte, 1};
    struct msghdr message = {NULL, 0, &part, 1, control, sizeof control, 0};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    *head = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    T("rights", sendmsg, pair[0], &message, 0);
    memset(control, 0, sizeof control);
    T("rights", recvmsg, pair[1], &message, MSG_CMSG_CLOEXEC);
    int got = -1;
    head = CMSG_FIRSTHDR(&message);
    if (head) memcpy(&got, CMSG_DATA(head), sizeof got);
    char buffer[8] = {0};
    say("recvmsg", "rights", "fd=%d read=%zd %s", got, read(got, buffer, 5), buffer);
    int on = 1;
    T("passcred", setsockopt, pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    T("byte", write, pair[0], "y", 1);
    char credentials[CMSG_SPACE(sizeof(struct ucred))] = {0};
    message = (struct msghdr){NULL, 0, &part, 1, credentials, sizeof credentials, 0};
    T("passcred", recvmsg, pair[1], &message, 0);
    head = CMSG_FIRSTHDR(&message);
    if (head && head->cmsg_type == SCM_CREDENTIALS) {
        struct ucred cred;
        memcpy(&cred, CMSG_DATA(head), sizeof cred);
        say("recvmsg", "credentials", "pid_self=%d uid=%d gid=%d", cred.pid == getpid(), (int)cred.uid, (int)cred.gid);
    }
    struct ucred mine = {getpid(), getuid(), getgid()};
    message.msg_controllen = sizeof credentials;
    head = CMSG_FIRSTHDR(&message);
    *head = (struct cmsghdr){CMSG_LEN(sizeof mine), SOL_SOCKET, SCM_CREDENTIALS};
    memcpy(CMSG_DATA(head), &mine, sizeof mine);
    T("own_credentials", sendmsg, pair[0], &message, 0);
    mine.uid = 4321;
    memcpy(CMSG_DATA(head), &mine, sizeof mine);
    T("forged_credentials", sendmsg, pair[0], &message, 0);
    struct iovec bad = {BAD, 10};
    message = (struct msghdr){NULL, 0, &bad, 1, NULL, 0, 0};
    T("efault_iov", sendmsg, pair[0], &message, 0);
    T("efault", sendmsg, pair[0], BAD, 0);
    T("efault", recvmsg, pair[0], BAD, MSG_DONTWAIT);
    message.msg_iovlen = 1UL << 30;
    T("iov_count", sendmsg, pair[0], &message, 0);
    message = (struct msghdr){NULL, 0, &part, 1, BAD, 100, 0};
    T("efault_control", sendmsg, pair[0], &message, 0);
    T("efault", sendto, pair[0], BAD, 10, 0, NULL, 0);
}

static void *echo_server(void *argument) {
    int server = *(int *)argument, fd = accept(server, NULL, NULL);
    char buffer[64];
    ssize_t n;
    while ((n = read(fd, buffer, sizeof buffer)) > 0)
        if (write(fd, buffer, (size_t)n) != n) break;
    close(fd);
    return NULL;
}

static void inet(void) {
    int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in address = {AF_INET, htons(7777), {htonl(INADDR_LOOPBACK)}, {0}};
    T("reuse", setsockopt, server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    T("refused", connect, client, &address, sizeof address);
    T("loopback", bind, server, &address, sizeof address);
    T("backlog", listen, server, 16);
    name_of("inet", server);
    pthread_t thread;
    pthread_create(&thread, NULL, echo_server, &server);
    close(client);
    client = socket(AF_INET, SOCK_STREAM, 0);
    T("loopback", connect, client, &address, sizeof address);
    T("inet", write, client, "ping", 4);
    char buffer[16] = {0};
    T("inet", read, client, buffer, sizeof buffer);
    say("read", "inet", "%s", buffer);
    T("nodelay", setsockopt, client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    socklen_t size = sizeof on;
    T("nodelay", getsockopt, client, IPPROTO_TCP, TCP_NODELAY, &on, &size);
    T("error", getsockopt, client, SOL_SOCKET, SO_ERROR, &on, &size);
    say("getsockopt", "error", "%d", on);
    T("type", getsockopt, client, SOL_SOCKET, SO_TYPE, &on, &size);
    say("getsockopt", "type", "%d", on);
    T("efault", getsockopt, client, SOL_SOCKET, SO_TYPE, BAD, &size);
    T("bad", getsockopt, client, SOL_SOCKET, 9999, &on, &size);
    T("efault", setsockopt, client, SOL_SOCKET, SO_REUSEADDR, BAD, 4);
    T("ebadf", setsockopt, 99, SOL_SOCKET, SO_REUSEADDR, &on, 4);
    T("debug", setsockopt, client, SOL_SOCKET, SO_DEBUG, &on, 4);
    T("sndbuf", setsockopt, client, SOL_SOCKET, SO_SNDBUF, &on, 4);
    T("keepalive", setsockopt, client, SOL_SOCKET, SO_KEEPALIVE, &on, 4);
    close(client);
    pthread_join(thread, NULL);
    address.sin_port = htons(80);
    T("port80", bind, socket(AF_INET, SOCK_STREAM, 0), &address, sizeof address);
    address.sin_port = 0;
    address.sin_addr.s_addr = htonl(0x01020304);
    T("not_local", bind, socket(AF_INET, SOCK_STREAM, 0), &address, sizeof address);
    T("unreachable", connect, socket(AF_INET, SOCK_STREAM, 0), &address, sizeof address);
    T("short", bind, socket(AF_INET, SOCK_STREAM, 0), &address, 3);
    int udp1 = socket(AF_INET, SOCK_DGRAM, 0), udp2 = socket(AF_INET, SOCK_DGRAM, 0);
    address = (struct sockaddr_in){AF_INET, htons(7778), {htonl(INADDR_LOOPBACK)}, {0}};
    T("udp", bind, udp1, &address, sizeof address);
    T("udp", sendto, udp2, "datagram", 8, 0, &address, sizeof address);
    T("udp", recvfrom, udp1, buffer, sizeof buffer, 0, NULL, NULL);
    struct iovec part = {"second", 6};
    struct msghdr message = {&address, sizeof address, &part, 1, NULL, 0, 0};
    T("udp", sendmsg, udp2, &message, 0);
    struct mmsghdr many[2] = {{{&address, sizeof address, &part, 1, NULL, 0, 0}, 0}, {{&address, sizeof address, &part, 1, NULL, 0, 0}, 0}};
    T("udp", sendmmsg, udp2, many, 2, 0);
    struct iovec in = {buffer, sizeof buffer};
    struct mmsghdr got[3] = {{{NULL, 0, &in, 1, NULL, 0, 0}, 0}, {{NULL, 0, &in, 1, NULL, 0, 0}, 0}, {{NULL, 0, &in, 1, NULL, 0, 0}, 0}};
    T("udp", recvmmsg, udp1, got, 3, MSG_DONTWAIT, NULL);
    T("udp_no_address", sendto, udp2, "x", 1, 0, NULL, 0);
    T("efault_address", sendto, udp2, "x", 1, 0, BAD, 16);
    struct sockaddr_in6 six = {0};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(7779);
    six.sin6_addr = in6addr_any;
    T("inet6_any", bind, socket(AF_INET6, SOCK_STREAM, 0), &six, sizeof six);
}

static void interfaces(void) {
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    strcpy(request.ifr_name, "lo");
    T("index", ioctl, fd, SIOCGIFINDEX, &request);
    T("flags", ioctl, fd, SIOCGIFFLAGS, &request);
    say("ioctl", "lo", "up=%d loopback=%d", !!(request.ifr_flags & IFF_UP), !!(request.ifr_flags & IFF_LOOPBACK));
    T("mtu", ioctl, fd, SIOCGIFMTU, &request);
    T("address", ioctl, fd, SIOCGIFADDR, &request);
    strcpy(request.ifr_name, "none0");
    T("none", ioctl, fd, SIOCGIFINDEX, &request);
    T("set_flags", ioctl, fd, SIOCSIFFLAGS, &request);
    int netlink = (int)T("netlink_route", socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    struct sockaddr_nl local = {AF_NETLINK, 0, 0, 0};
    T("netlink", bind, netlink, &local, sizeof local);
    struct { struct nlmsghdr head; struct rtgenmsg body; } ask = {{sizeof ask, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {AF_UNSPEC}};
    TOK("netlink", sendto, netlink, &ask, sizeof ask, 0, &local, sizeof local);
    static char answer[16384];
    long n = recv(netlink, answer, sizeof answer, 0);
    int links = 0;
    for (struct nlmsghdr *m = (void *)answer; n > 0 && NLMSG_OK(m, (unsigned)n); m = NLMSG_NEXT(m, n)) links += m->nlmsg_type == RTM_NEWLINK;
    say("recvfrom", "links", "any=%d", links > 0);
}

/* What a listener, a client and a pair are told of each other. */
static void show_peer(const char *tag, int fd, pid_t expected) {
    struct ucred cred = {0};
    socklen_t size = sizeof cred;
    gid_t groups[8];
    T(tag, getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &cred, &size);
    say("getsockopt", tag, "pid=%d uid=%d gid=%d", cred.pid == expected, (int)cred.uid, (int)cred.gid);
    size = sizeof groups;
    if (T(tag, getsockopt, fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) != 0) return;
    for (unsigned i = 0; i < size / sizeof *groups && i < 8; i++) say("getsockopt", tag, "group %u", groups[i]);
}

static void peers(void) {
    struct sockaddr_un address = {AF_UNIX, "\0caisson-peers"};
    socklen_t length = offsetof(struct sockaddr_un, sun_path) + 14, size = 1;
    int server = socket(AF_UNIX, SOCK_STREAM, 0);
    struct ucred cred;
    T("no_peer", getsockopt, server, SOL_SOCKET, SO_PEERGROUPS, &cred, &size);
    show_peer("nobody", server, 0);
    bind(server, (void *)&address, length);
    listen(server, 4);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        gid_t groups[] = {4242, 7};
        syscall(SYS_setgroups, 2, groups);
        syscall(SYS_setresgid, 4002, 4002, 4002);
        syscall(SYS_setresuid, 4001, 4001, 4001);
        int client = socket(AF_UNIX, SOCK_STREAM, 0);
        connect(client, (void *)&address, length);
        show_peer("listener", client, parent);
        char byte;
        if (read(client, &byte, 1) < 0) _exit(1);
        _exit(0);
    }
    int status, accepted = accept(server, NULL, NULL);
    millis(50);
    close(accepted);
    waitpid(child, &status, 0);
    child = fork();
    if (child == 0) {
        syscall(SYS_setresuid, -1, 4003, -1);
        int client = socket(AF_UNIX, SOCK_STREAM, 0);
        connect(client, (void *)&address, length);
        char byte;
        if (read(client, &byte, 1) < 0) _exit(1);
        _exit(0);
    }
    accepted = accept(server, NULL, NULL);
    show_peer("client", accepted, child);
    size = 1;
    T("short", getsockopt, accepted, SOL_SOCKET, SO_PEERCRED, &cred, &size);
    say("getsockopt", "short", "%u", size);
    T("efault", getsockopt, accepted, SOL_SOCKET, SO_PEERCRED, BAD, &size);
    T("efault_length", getsockopt, accepted, SOL_SOCKET, SO_PEERCRED, &cred, BAD);
    close(accepted);
    waitpid(child, &status, 0);
    int pair[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    show_peer("pair", pair[0], getpid());
}

static void on_alarm(int signal) { (void)signal; }

/* Calls that wait for somebody else: a signal, a death and the somebody end them. */
static void waiting(void) {
    struct sockaddr_un address = {AF_UNIX, "\0caisson-waiting"};
    socklen_t length = offsetof(struct sockaddr_un, sun_path) + 16;
    int server = socket(AF_UNIX, SOCK_STREAM, 0), clients[3];
    bind(server, (void *)&address, length);
    listen(server, 0);
    for (int i = 0; i < 3; i++) {
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        T(i ? "backlog_full" : "backlog", connect, clients[i], &address, length);
    }
    struct sigaction action = {0};
    action.sa_handler = on_alarm;
    sigaction(SIGALRM, &action, NULL);
    ualarm(100000, 0);
    T("interrupted", connect, socket(AF_UNIX, SOCK_STREAM, 0), &address, length);
    for (int signal = 0; signal < 2; signal++) {
        pid_t child = fork();
        if (child == 0) {
            connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&address, length);
            _exit(1);
        }
        millis(100);
        kill(child, signal ? SIGKILL : SIGTERM);
        int status;
        waitpid(child, &status, 0);
        say("connect", signal ? "killed" : "ended", "%s", ended(status));
    }
    pid_t child = fork();
    if (child == 0) {
        T("late", connect, socket(AF_UNIX, SOCK_STREAM, 0), &address, length);
        _exit(0);
    }
    millis(100);
    int status;
    accept(server, NULL, NULL);
    waitpid(child, &status, 0);
    struct sockaddr_un place = {AF_UNIX, "\0caisson-letters"};
    length = offsetof(struct sockaddr_un, sun_path) + 16;
    int receiver = socket(AF_UNIX, SOCK_DGRAM, 0), sender = socket(AF_UNIX, SOCK_DGRAM, 0), sent = 0;
    bind(receiver, (void *)&place, length);
    while (sendto(sender, "x", 1, MSG_DONTWAIT, (void *)&place, length) == 1) sent++;
    child = fork();
    if (child == 0) {
        T("late", sendto, sender, "late", 4, 0, &place, length);
        _exit(0);
    }
    millis(100);
    char buffer[8] = {0};
    while (sent-- > 0 && recv(receiver, buffer, sizeof buffer, 0) > 0) {}
    T("late", recvfrom, receiver, buffer, sizeof buffer, 0, NULL, NULL);
    waitpid(child, &status, 0);
}

static void tables_of_the_network(void) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    struct sockaddr_nl local = {AF_NETLINK, 0, 0, 0}, name = {0};
    socklen_t length = sizeof name;
    bind(fd, (void *)&local, sizeof local);
    T("netlink", getsockname, fd, &name, &length);
    say("getsockname", "netlink", "len=%u family=%d named=%d groups=%u", length, name.nl_family, name.nl_pid != 0, name.nl_groups);
    struct { struct nlmsghdr head; struct ifinfomsg body; } change = {{sizeof change, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, 5, 0}, {0}};
    change.body.ifi_index = 1;
    change.body.ifi_change = IFF_UP;
    struct { struct nlmsghdr head; struct rtgenmsg body; } ask = {{sizeof ask, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 6, 0}, {AF_UNSPEC}};
    if (geteuid() == 0) {
        /* Without CAP_NET_ADMIN, which a container does not have. */
        TOK("netlink_change", sendto, fd, &change, sizeof change, 0, &local, sizeof local);
        struct { struct nlmsghdr head; struct nlmsgerr error; char more[256]; } answer = {0};
        recv(fd, &answer, sizeof answer, 0);
        say("sendto", "netlink_change", "type=%u error=%s", answer.head.nlmsg_type, errname(-answer.error.error));
    }
    TOK("netlink_addresses", sendto, fd, &ask, sizeof ask, 0, &local, sizeof local);
    static char buffer[8192];
    int addresses = 0, done = 0, ours = 1;
    while (!done) {
        struct sockaddr_nl from = {0, 0, 77, 0};
        struct iovec part = {buffer, sizeof buffer};
        struct msghdr message = {&from, sizeof from, &part, 1, NULL, 0, 0};
        long n = recvmsg(fd, &message, 0);
        if (n <= 0) break;
        ours &= from.nl_pid == 0;
        for (struct nlmsghdr *m = (void *)buffer; NLMSG_OK(m, (unsigned)n); m = NLMSG_NEXT(m, n)) {
            ours &= m->nlmsg_seq == 6 && m->nlmsg_pid == name.nl_pid;
            addresses += m->nlmsg_type == RTM_NEWADDR;
            done |= m->nlmsg_type == NLMSG_DONE || m->nlmsg_type == NLMSG_ERROR;
        }
    }
    say("recvmsg", "netlink", "addresses=%d ours=%d", addresses > 0, ours);
}

FAMILY(socket) {
    SECTION(families);
    SECTION(unix_stream);
    SECTION(unix_others);
    SECTION(passing);
    SECTION(inet);
    SECTION(interfaces);
    SECTION(peers);
    SECTION(waiting);
    SECTION(tables_of_the_network);
}
