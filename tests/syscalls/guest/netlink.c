/* AF_NETLINK: what ip(8), ss(8) and C libraries ask of NETLINK_ROUTE and NETLINK_SOCK_DIAG. */
#include "guest.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/neighbour.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static const struct sockaddr_nl kernel = {AF_NETLINK, 0, 0, 0};
static char buffer[65536];

static int opened(int protocol) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    struct timeval limit = {2, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

/* Counts the messages of an answer by type until it is complete. */
static void answer(const char *tag, int fd, int wanted, unsigned sequence) {
    int found = 0, others = 0, done = 0, error = 0, wrong = 0, multi = 0;
    while (!done) {
        ssize_t n = recv(fd, buffer, sizeof buffer, 0);
        if (n <= 0) {
            say("recvfrom", tag, "ended %s", errname(errno));
            break;
        }
        for (struct nlmsghdr *m = (void *)buffer; NLMSG_OK(m, (unsigned)n); m = NLMSG_NEXT(m, n)) {
            wrong |= m->nlmsg_seq != sequence;
            if (m->nlmsg_type == NLMSG_DONE) done = 1;
            else if (m->nlmsg_type == NLMSG_ERROR) {
                done = 1;
                error = -((struct nlmsgerr *)NLMSG_DATA(m))->error;
                say("recvfrom", tag, "error=%s len=%u", errname(error), m->nlmsg_len);
            } else {
                found += m->nlmsg_type == wanted;
                others += m->nlmsg_type != wanted;
                multi |= m->nlmsg_flags & NLM_F_MULTI;
                if (!(m->nlmsg_flags & NLM_F_MULTI)) done = 1;
            }
        }
    }
    say("recvfrom", tag, "found=%d others=%d wrong=%d multi=%d", found > 0, others > 0, wrong, multi);
}

static void ask(const char *tag, int fd, int type, int flags, const void *body, size_t size, int wanted) {
    struct { struct nlmsghdr head; char body[256]; } request = {{(unsigned)(NLMSG_HDRLEN + size), (unsigned short)type, (unsigned short)(NLM_F_REQUEST | flags), 42, 0}, {0}};
    memcpy(request.body, body, size);
    T(tag, sendto, fd, &request, NLMSG_HDRLEN + size, 0, &kernel, sizeof kernel);
    if (wanted >= 0) answer(tag, fd, wanted, 42);
}

static void sockets(void) {
    int fd = (int)TOK("route", socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    TOK("dgram", socket, AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE);
    TOK("diag", socket, AF_NETLINK, SOCK_DGRAM, NETLINK_SOCK_DIAG);
    TOK("uevent", socket, AF_NETLINK, SOCK_DGRAM, NETLINK_KOBJECT_UEVENT);
    T("stream", socket, AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE);
    T("seqpacket", socket, AF_NETLINK, SOCK_SEQPACKET, NETLINK_ROUTE);
    T("unused", socket, AF_NETLINK, SOCK_RAW, 31);
    T("too_large", socket, AF_NETLINK, SOCK_RAW, 32);
    T("negative", socket, AF_NETLINK, SOCK_RAW, -1);
    struct sockaddr_nl name = kernel;
    socklen_t length = sizeof name;
    T("pair", socketpair, AF_NETLINK, SOCK_RAW, 0, (int[2]){0});
    T("unbound", getsockname, fd, &name, &length);
    say("getsockname", "unbound", "len=%u port=%u", length, name.nl_pid);
    /* A socket without a port, and one that is closed, leave the pid to the next. */
    int closed = opened(NETLINK_ROUTE);
    T("closed", connect, closed, &kernel, sizeof kernel);
    getsockname(closed, (void *)&name, &length);
    say("getsockname", "closed", "own=%d", (pid_t)name.nl_pid == getpid());
    close(closed);
    name = kernel;
    T("auto", bind, fd, &name, sizeof name);
    T("auto", getsockname, fd, &name, &length);
    say("getsockname", "auto", "len=%u family=%d own=%d groups=%u", length, name.nl_family, (pid_t)name.nl_pid == getpid(), name.nl_groups);
    name.nl_pid = 0;
    T("again_any", bind, fd, &name, sizeof name);
    name.nl_pid = 77776;
    T("again_other", bind, fd, &name, sizeof name);
    name.nl_pid = (unsigned)getpid();
    T("again_same", bind, fd, &name, sizeof name);
    int second = opened(NETLINK_ROUTE);
    name = kernel;
    bind(second, (void *)&name, sizeof name);
    getsockname(second, (void *)&name, &length);
    say("getsockname", "second", "different=%d", (pid_t)name.nl_pid != getpid());
    int third = opened(NETLINK_ROUTE);
    name = (struct sockaddr_nl){AF_NETLINK, 0, 77777, 0};
    T("port", bind, third, &name, sizeof name);
    getsockname(third, (void *)&name, &length);
    say("getsockname", "port", "%u", name.nl_pid);
    int fourth = opened(NETLINK_ROUTE);
    T("port_taken", bind, fourth, &name, sizeof name);
    T("short", bind, fourth, &name, 4);
    name.nl_family = AF_INET;
    T("family", bind, fourth, &name, sizeof name);
    name = (struct sockaddr_nl){AF_NETLINK, 0, 0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR};
    T("groups", bind, fourth, &name, sizeof name);
    getsockname(fourth, (void *)&name, &length);
    say("getsockname", "groups", "%u", name.nl_groups);
    T("groups_silent", recvfrom, fourth, buffer, 100, MSG_DONTWAIT, NULL, NULL);
    int group = RTNLGRP_IPV4_ROUTE, on = 1;
    T("membership", setsockopt, fourth, 270, 1, &group, 4);
    T("drop", setsockopt, fourth, 270, 2, &group, 4);
    group = 9999;
    T("membership_bad", setsockopt, fourth, 270, 1, &group, 4);
    T("ext_ack", setsockopt, fourth, 270, 11, &on, 4);
    T("pktinfo", setsockopt, fourth, 270, 3, &on, 4);
    T("unknown", setsockopt, fourth, 270, 99, &on, 4);
    T("all_nsid", setsockopt, fourth, 270, 8, &on, 4);
    T("connect", connect, fourth, &kernel, sizeof kernel);
    T("rcvbuf", setsockopt, fourth, SOL_SOCKET, SO_RCVBUF, &(int){1 << 20}, 4);
    T("listen", listen, fourth, 1);
    int diag = opened(NETLINK_SOCK_DIAG);
    name = (struct sockaddr_nl){AF_NETLINK, 0, 0, 1};
    T("diag_groups", bind, diag, &name, sizeof name);
    int uevent = opened(NETLINK_KOBJECT_UEVENT);
    T("uevent_groups", bind, uevent, &name, sizeof name);
    T("uevent_silent", recvfrom, uevent, buffer, 100, MSG_DONTWAIT, NULL, NULL);
}

static void option(const char *tag, int fd, int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    T(tag, getsockopt, fd, level, name, &value, &length);
    say("getsockopt", tag, "value=%d len=%u", value, length);
}

static void members(const char *tag, int fd, socklen_t room) {
    unsigned list[16] = {0};
    socklen_t length = room;
    T(tag, getsockopt, fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, list, &length);
    struct sockaddr_nl name = {0};
    socklen_t name_length = sizeof name;
    getsockname(fd, (void *)&name, &name_length);
    say("getsockopt", tag, "len=%u %#x %#x name=%#x", length, list[0], list[1], name.nl_groups);
}

static void options(void) {
    int protocols[] = {NETLINK_ROUTE, NETLINK_SOCK_DIAG, NETLINK_KOBJECT_UEVENT}, group, on = 1;
    for (int i = 0; i < 3; i++) {
        int fd = socket(AF_NETLINK, i == 1 ? SOCK_DGRAM : SOCK_RAW, protocols[i]);
        option("type", fd, SOL_SOCKET, SO_TYPE);
        option("domain", fd, SOL_SOCKET, SO_DOMAIN);
        option("protocol", fd, SOL_SOCKET, SO_PROTOCOL);
        members("none", fd, 64);
        group = 1;
        T("join", setsockopt, fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, 4);
        members("one", fd, 64);
        group = 0;
        T("join_zero", setsockopt, fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, 4);
        group = 99999;
        T("join_beyond", setsockopt, fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, 4);
        T("join_short", setsockopt, fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, 2);
        group = 1;
        T("leave", setsockopt, fd, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, &group, 4);
        members("left", fd, 64);
        close(fd);
    }
    int fd = opened(NETLINK_ROUTE);
    group = RTNLGRP_NSID + 5;
    T("join_high", setsockopt, fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, 4);
    members("high", fd, 64);
    members("room_for_one", fd, 7);
    members("room_for_none", fd, 3);
    struct sockaddr_nl name = {AF_NETLINK, 0, 0, RTMGRP_LINK};
    T("groups", bind, fd, &name, sizeof name);
    members("bound", fd, 64);
    name = (struct sockaddr_nl){AF_NETLINK, 0, (unsigned)getpid(), RTMGRP_NEIGH};
    T("groups_other", bind, fd, &name, sizeof name);
    members("bound_other", fd, 64);
    name.nl_groups = 0;
    T("groups_none", bind, fd, &name, sizeof name);
    members("bound_none", fd, 64);
    for (int one = 0; one < 13; one++) {
        /* GET_STRICT_CHK is not known. */
        if (one == 12) continue;
        option("before", fd, SOL_NETLINK, one);
        if (one == NETLINK_ADD_MEMBERSHIP || one == NETLINK_DROP_MEMBERSHIP) continue;
        T("on", setsockopt, fd, SOL_NETLINK, one, &on, sizeof on);
        option("on", fd, SOL_NETLINK, one);
        T("off", setsockopt, fd, SOL_NETLINK, one, &(int){0}, sizeof on);
        option("off", fd, SOL_NETLINK, one);
    }
    socklen_t length = 2;
    T("short", getsockopt, fd, SOL_NETLINK, NETLINK_PKTINFO, &on, &length);
    T("efault", getsockopt, fd, SOL_NETLINK, NETLINK_PKTINFO, BAD, &(socklen_t){4});
    T("type_short", getsockopt, fd, SOL_SOCKET, SO_TYPE, &on, &length);
    say("getsockopt", "type_short", "%u", length);
}

/* Only the kernel may be sent to by those who may not change the network. */
static void destinations(void) {
    int fd = opened(NETLINK_ROUTE);
    struct { struct nlmsghdr head; struct ifinfomsg body; } request = {{sizeof request, RTM_GETLINK, NLM_F_REQUEST, 42, 0}, {.ifi_index = 1}};
    struct sockaddr_nl to = {AF_NETLINK, 0, 0, RTMGRP_LINK};
    struct iovec part = {&request, sizeof request};
    struct msghdr message = {&to, sizeof to, &part, 1, NULL, 0, 0};
    T("group", sendto, fd, &request, sizeof request, 0, &to, sizeof to);
    T("group", sendmsg, fd, &message, 0);
    T("group", connect, fd, &to, sizeof to);
    to = (struct sockaddr_nl){AF_NETLINK, 0, 12345, 0};
    T("port", sendto, fd, &request, sizeof request, 0, &to, sizeof to);
    T("port", sendmsg, fd, &message, 0);
    T("port", connect, fd, &to, sizeof to);
    T("short", sendto, fd, &request, sizeof request, 0, &to, 8);
    T("short", connect, fd, &to, 8);
    T("silent", recvfrom, fd, buffer, 100, MSG_DONTWAIT, NULL, NULL);
}

/* What `ip netns` asks before it lists: whether networks have numbers for each other. */
static void numbers(void) {
    struct { struct rtgenmsg head; char padding[3]; struct rtattr kind; int value; } body = {{AF_UNSPEC}, {0}, {RTA_LENGTH(4), 3}, 0};
    int fd = opened(NETLINK_ROUTE);
    body.value = open("/proc/self/ns/net", O_RDONLY);
    ask("nsid", fd, RTM_GETNSID, 0, &body, sizeof body, RTM_NEWNSID);
    struct nlmsghdr *answered = (void *)buffer;
    struct rtattr *first = (void *)((char *)NLMSG_DATA(answered) + 4);
    say("recvfrom", "nsid_value", "len=%u kind=%d value=%d", answered->nlmsg_len, first->rta_type, *(int *)RTA_DATA(first));
    body.kind.rta_type = 1;
    body.value = 12345;
    ask("nsid_unknown", fd, RTM_GETNSID, 0, &body, sizeof body, RTM_NEWNSID);
    ask("nsid_nothing", fd, RTM_GETNSID, 0, &body, 4, RTM_NEWNSID);
    ask("nsid_list", fd, RTM_GETNSID, NLM_F_DUMP, &body, 4, RTM_NEWNSID);
}

static void lists(void) {
    int fd = opened(NETLINK_ROUTE);
    struct rtgenmsg any = {AF_UNSPEC}, four = {AF_INET}, six = {AF_INET6};
    ask("links", fd, RTM_GETLINK, NLM_F_DUMP, &(struct ifinfomsg){0}, sizeof(struct ifinfomsg), RTM_NEWLINK);
    ask("links_short", fd, RTM_GETLINK, NLM_F_DUMP, &any, sizeof any, RTM_NEWLINK);
    ask("addresses", fd, RTM_GETADDR, NLM_F_DUMP, &(struct ifaddrmsg){0}, sizeof(struct ifaddrmsg), RTM_NEWADDR);
    ask("addresses_4", fd, RTM_GETADDR, NLM_F_DUMP, &four, sizeof four, RTM_NEWADDR);
    ask("addresses_6", fd, RTM_GETADDR, NLM_F_DUMP, &six, sizeof six, RTM_NEWADDR);
    ask("routes", fd, RTM_GETROUTE, NLM_F_DUMP, &(struct rtmsg){0}, sizeof(struct rtmsg), RTM_NEWROUTE);
    ask("routes_4", fd, RTM_GETROUTE, NLM_F_DUMP, &(struct rtmsg){.rtm_family = AF_INET}, sizeof(struct rtmsg), RTM_NEWROUTE);
    ask("rules", fd, RTM_GETRULE, NLM_F_DUMP, &(struct rtmsg){.rtm_family = AF_INET}, sizeof(struct rtmsg), RTM_NEWRULE);
    ask("neighbours", fd, RTM_GETNEIGH, NLM_F_DUMP, &(struct ndmsg){.ndm_family = AF_INET}, sizeof(struct ndmsg), RTM_NEWNEIGH);
    struct { struct ifinfomsg body; struct rtattr head; char name[8]; } named = {{.ifi_family = AF_UNSPEC}, {8, IFLA_IFNAME}, "lo"};
    ask("link_by_name", fd, RTM_GETLINK, 0, &named, sizeof named.body + 8, RTM_NEWLINK);
    strcpy(named.name, "no0");
    ask("link_no_name", fd, RTM_GETLINK, 0, &named, sizeof named.body + 8, RTM_NEWLINK);
    ask("link_by_index", fd, RTM_GETLINK, 0, &(struct ifinfomsg){.ifi_index = 1}, sizeof(struct ifinfomsg), RTM_NEWLINK);
    ask("link_no_index", fd, RTM_GETLINK, 0, &(struct ifinfomsg){.ifi_index = 9999}, sizeof(struct ifinfomsg), RTM_NEWLINK);
    ask("link_nothing", fd, RTM_GETLINK, 0, &(struct ifinfomsg){0}, sizeof(struct ifinfomsg), RTM_NEWLINK);
    struct { struct rtmsg body; struct rtattr head; struct in_addr address; } lookup = {{.rtm_family = AF_INET, .rtm_dst_len = 32}, {8, RTA_DST}, {htonl(INADDR_LOOPBACK)}};
    ask("route_loopback", fd, RTM_GETROUTE, 0, &lookup, sizeof lookup, RTM_NEWROUTE);
    lookup.address.s_addr = htonl(0x08080808);
    ask("route_outside", fd, RTM_GETROUTE, 0, &lookup, sizeof lookup, RTM_NEWROUTE);
    struct { struct nlmsghdr head; struct rtgenmsg body; } twice[2];
    for (int i = 0; i < 2; i++) {
        memset(&twice[i], 0, sizeof twice[i]);
        twice[i].head = (struct nlmsghdr){NLMSG_LENGTH(1), NLMSG_NOOP, NLM_F_REQUEST | NLM_F_ACK, 42, 0};
    }
    T("noop_ack", sendto, fd, twice, sizeof twice[0], 0, &kernel, sizeof kernel);
    answer("noop_ack", fd, 0, 42);
    ask("acknowledged", fd, RTM_GETLINK, NLM_F_ACK, &(struct ifinfomsg){.ifi_index = 1}, sizeof(struct ifinfomsg), RTM_NEWLINK);
    answer("acknowledged_more", fd, 0, 42);
    ask("unknown", fd, 9999, NLM_F_DUMP, &any, sizeof any, 0);
    T("too_short", sendto, fd, twice, 8, 0, &kernel, sizeof kernel);
    T("nothing", recvfrom, fd, buffer, 100, MSG_DONTWAIT, NULL, NULL);
    twice[0].head.nlmsg_len = 5000;
    T("lying_length", sendto, fd, twice, sizeof twice[0], 0, &kernel, sizeof kernel);
    T("nothing", recvfrom, fd, buffer, 100, MSG_DONTWAIT, NULL, NULL);
    twice[0].head = (struct nlmsghdr){NLMSG_LENGTH(1), RTM_GETLINK, NLM_F_DUMP, 42, 0};
    T("no_request", sendto, fd, twice, sizeof twice[0], 0, &kernel, sizeof kernel);
    T("nothing", recvfrom, fd, buffer, 100, MSG_DONTWAIT, NULL, NULL);
}

static void at_once(void) {
    /* As musl does it: no destination, an answer that is there when the request returns. */
    int fd = opened(NETLINK_ROUTE);
    struct { struct nlmsghdr head; struct rtgenmsg body; } request = {{sizeof request, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 9, 0}, {AF_UNSPEC}};
    T("plain", sendto, fd, &request, sizeof request, 0, NULL, 0);
    long n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    say("recvfrom", "at_once", "got=%d", n > 0);
    int pair[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    T("twenty_bytes", sendto, pair[0], &request, 20, 0, NULL, 0);
    T("twenty_bytes", recvfrom, pair[1], buffer, 100, 0, NULL, NULL);
    T("twenty_notsock", sendto, 0, &request, 20, 0, NULL, 0);
    T("twenty_ebadf", sendto, 99, &request, 20, 0, NULL, 0);
    T("twenty_efault", sendto, pair[0], BAD, 20, 0, NULL, 0);
    fd = opened(NETLINK_ROUTE);
    struct iovec part = {&request, sizeof request};
    struct msghdr message = {(void *)&kernel, sizeof kernel, &part, 1, NULL, 0, 0};
    T("header", sendmsg, fd, &message, 0);
    struct sockaddr_nl from = {0, 0, 77, 77};
    part = (struct iovec){buffer, 64};
    message = (struct msghdr){&from, sizeof from, &part, 1, NULL, 0, 0};
    long peeked = recvmsg(fd, &message, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
    say("recvmsg", "peek", "more=%d truncated=%d port=%u", peeked > 64, !!(message.msg_flags & MSG_TRUNC), from.nl_pid);
    struct ifaddrs *list = NULL;
    int loopback = 0;
    say("getifaddrs", "libc", "%d", getifaddrs(&list));
    for (struct ifaddrs *one = list; one; one = one->ifa_next) loopback |= !strcmp(one->ifa_name, "lo") && one->ifa_addr && one->ifa_addr->sa_family == AF_INET;
    say("getifaddrs", "libc", "loopback=%d index=%u", loopback, if_nametoindex("lo"));
    struct pollfd ready = {opened(NETLINK_ROUTE), POLLIN | POLLOUT, 0};
    T("idle", poll, &ready, 1, 0);
    say("poll", "idle", "%#x", (unsigned)ready.revents);
}

static void changes(void) {
    int fd = opened(NETLINK_ROUTE);
    ask("link_up", fd, RTM_NEWLINK, NLM_F_ACK, &(struct ifinfomsg){.ifi_index = 1, .ifi_flags = IFF_UP, .ifi_change = IFF_UP}, sizeof(struct ifinfomsg), 0);
    ask("link_delete", fd, RTM_DELLINK, NLM_F_ACK, &(struct ifinfomsg){.ifi_index = 1}, sizeof(struct ifinfomsg), 0);
    ask("address_add", fd, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE, &(struct ifaddrmsg){.ifa_family = AF_INET, .ifa_prefixlen = 8, .ifa_index = 1}, sizeof(struct ifaddrmsg), 0);
    ask("route_delete", fd, RTM_DELROUTE, NLM_F_ACK, &(struct rtmsg){.rtm_family = AF_INET}, sizeof(struct rtmsg), 0);
    ask("neighbour_add", fd, RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE, &(struct ndmsg){.ndm_family = AF_INET, .ndm_ifindex = 1}, sizeof(struct ndmsg), 0);
    struct ifreq request = {0};
    int inet = socket(AF_INET, SOCK_DGRAM, 0);
    strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP;
    T("up", ioctl, inet, SIOCSIFFLAGS, &request);
    T("mtu", ioctl, inet, SIOCSIFMTU, &request);
    T("add_route", ioctl, inet, SIOCADDRT, &request);
}

static int listens_on(int fd, int family, int protocol, unsigned states, unsigned short port) {
    struct { struct nlmsghdr head; struct inet_diag_req_v2 body; } request = {{sizeof request, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 42, 0}, {0}};
    request.body.sdiag_family = (unsigned char)family;
    request.body.sdiag_protocol = (unsigned char)protocol;
    request.body.idiag_states = states;
    if (sendto(fd, &request, sizeof request, 0, (void *)&kernel, sizeof kernel) < 0) return -1;
    int found = 0;
    for (;;) {
        ssize_t n = recv(fd, buffer, sizeof buffer, 0);
        if (n <= 0) return -2;
        for (struct nlmsghdr *m = (void *)buffer; NLMSG_OK(m, (unsigned)n); m = NLMSG_NEXT(m, n)) {
            if (m->nlmsg_type == NLMSG_DONE) return found;
            if (m->nlmsg_type == NLMSG_ERROR) return -100 + ((struct nlmsgerr *)NLMSG_DATA(m))->error;
            struct inet_diag_msg *one = NLMSG_DATA(m);
            if (one->id.idiag_sport == htons(port)) {
                found++;
                say("recvfrom", "diag", "state=%d uid=%u inode=%d", one->idiag_state, one->idiag_uid, one->idiag_inode != 0);
            }
        }
    }
}

static void diag(void) {
    int server = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0), fd = opened(NETLINK_SOCK_DIAG);
    struct sockaddr_in address = {AF_INET, htons(7801), {htonl(INADDR_LOOPBACK)}, {0}};
    bind(server, (void *)&address, sizeof address);
    listen(server, 1);
    bind(udp, (void *)&address, sizeof address);
    say("sendto", "listeners", "%d", listens_on(fd, AF_INET, IPPROTO_TCP, 1 << 10, 7801));
    say("sendto", "established", "%d", listens_on(fd, AF_INET, IPPROTO_TCP, 1 << 1, 7801));
    say("sendto", "datagrams", "%d", listens_on(fd, AF_INET, IPPROTO_UDP, ~0u, 7801));
    say("sendto", "six", "%d", listens_on(fd, AF_INET6, IPPROTO_TCP, ~0u, 7801));
    struct sockaddr_un name = {AF_UNIX, "\0caisson-diag"};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(listener, (void *)&name, 2 + 13);
    listen(listener, 1);
    struct unix_diag_req unix_request = {.sdiag_family = AF_UNIX, .udiag_states = ~0u, .udiag_show = UDIAG_SHOW_NAME};
    struct { struct nlmsghdr head; struct unix_diag_req body; } request = {{sizeof request, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 42, 0}, unix_request};
    T("unix", sendto, fd, &request, sizeof request, 0, &kernel, sizeof kernel);
    int found = 0, done = 0;
    while (!done) {
        ssize_t n = recv(fd, buffer, sizeof buffer, 0);
        if (n <= 0) break;
        for (struct nlmsghdr *m = (void *)buffer; NLMSG_OK(m, (unsigned)n); m = NLMSG_NEXT(m, n)) {
            done |= m->nlmsg_type == NLMSG_DONE || m->nlmsg_type == NLMSG_ERROR;
            found |= memmem(m, m->nlmsg_len, "caisson-diag", 12) != NULL;
        }
    }
    say("recvfrom", "unix", "found=%d", found);
    request.body.sdiag_family = 200;
    ask("family", fd, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request.body, sizeof request.body, 0);
    ask("short", fd, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, "\2\6", 2, 0);
}

FAMILY(netlink) {
    SECTION(sockets);
    SECTION(options);
    SECTION(destinations);
    SECTION(lists);
    SECTION(numbers);
    SECTION(at_once);
    SECTION(changes);
    SECTION(diag);
}
