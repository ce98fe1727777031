/* AF_INET and AF_INET6 in depth: every option of every level, addresses, datagrams, streams and raw sockets. */
#include "guest.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifndef ICMP_FILTER
#define ICMP_FILTER 1
#endif

static struct sockaddr_in four(unsigned short port) {
    return (struct sockaddr_in){AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {0}};
}

static struct sockaddr_in6 six(unsigned short port) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    address.sin6_addr = in6addr_loopback;
    return address;
}

/* Values that depend on the machine, time or the socket's number. */
static int varies(int level, int option) {
    if (level == SOL_SOCKET) return option == 57 || option == 49 || option == 55 || option == 71 || option == 56 || option == 8 || option == 7;
    if (level == IPPROTO_TCP) return option == 11 || option == 2 || option == 13 || option == 24;
    return 0;
}

static void query(const char *kind, int fd, int level, int option) {
    char tag[64];
    unsigned char value[256] = {0};
    socklen_t length = sizeof value;
    snprintf(tag, sizeof tag, "%s_%d_%d", kind, level, option);
    if (T(tag, getsockopt, fd, level, option, value, &length) != 0) return;
    int number = 0;
    memcpy(&number, value, length < 4 ? length : 4);
    if (varies(level, option)) say("getsockopt", tag, "len");
    else say("getsockopt", tag, "len=%u value=%d", length, number);
}

static void queries_of(const char *kind, int fd) {
    for (int option = 0; option < 84; option++) query(kind, fd, SOL_SOCKET, option);
}

static void socket_queries(void) {
    queries_of("tcp", socket(AF_INET, SOCK_STREAM, 0));
    queries_of("udp6", socket(AF_INET6, SOCK_DGRAM, 0));
    queries_of("unix", socket(AF_UNIX, SOCK_STREAM, 0));
}

static void protocol_queries(void) {
    int tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0), tcp6 = socket(AF_INET6, SOCK_STREAM, 0);
    for (int option = 0; option < 54; option++) query("tcp", tcp, IPPROTO_IP, option);
    query("none", tcp, IPPROTO_IP, -1);
    query("none", tcp, IPPROTO_IP, 5000);
    for (int option = 0; option < 80; option++) query("tcp6", tcp6, IPPROTO_IPV6, option);
    for (int option = 0; option < 46; option++) query("tcp", tcp, IPPROTO_TCP, option);
    for (int option = 0; option < 5; option++) query("udp", udp, IPPROTO_UDP, option);
    for (int option = 100; option < 106; option++) query("udp", udp, IPPROTO_UDP, option);
    query("udp", udp, IPPROTO_TCP, 1);
    query("tcp", tcp, IPPROTO_UDP, 1);
    query("tcp", tcp, IPPROTO_IPV6, 26);
    query("tcp", tcp, 263, 1);
    query("tcp", tcp, -1, 1);
    query("tcp", tcp, SOL_SOCKET, -1);
    socklen_t length = 4;
    int value;
    T("ebadf", getsockopt, 99, SOL_SOCKET, SO_TYPE, &value, &length);
    T("notsock", getsockopt, 0, SOL_SOCKET, SO_TYPE, &value, &length);
    T("efault_length", getsockopt, tcp, SOL_SOCKET, SO_TYPE, &value, BAD);
    length = (socklen_t)-1;
    T("negative", getsockopt, tcp, SOL_SOCKET, SO_TYPE, &value, &length);
    length = 1;
    T("one_byte", getsockopt, tcp, SOL_SOCKET, SO_TYPE, &value, &length);
    say("getsockopt", "one_byte", "%u", length);
}

static void set(const char *kind, int fd, int level, int option, const void *value, socklen_t length) {
    char tag[64];
    snprintf(tag, sizeof tag, "%s_%d_%d", kind, level, option);
    T(tag, setsockopt, fd, level, option, value, length);
}

static void socket_changes(void) {
    static const int harmless[] = {1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 18, 20, 21, 25, 27, 29, 32, 33, 34, 35, 36, 37, 40, 41, 42, 43, 44, 45, 46, 47, 48, 60, 61, 62, 66, 67, 68, 69, 70, 72, 73, 74, 75, 76, 80, 81, 82};
    int zero = 0, one = 1, many = 7;
    static const char *names[] = {"tcp", "udp", "unix"};
    for (int kind = 0; kind < 3; kind++) {
        int fd = kind == 0 ? socket(AF_INET, SOCK_STREAM, 0) : kind == 1 ? socket(AF_INET, SOCK_DGRAM, 0) : socket(AF_UNIX, SOCK_STREAM, 0);
        for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++) {
            set(names[kind], fd, SOL_SOCKET, harmless[i], &one, sizeof one);
            set(names[kind], fd, SOL_SOCKET, harmless[i], &zero, sizeof zero);
            set(names[kind], fd, SOL_SOCKET, harmless[i], &many, 1);
        }
    }
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct linger linger = {1, 5};
    set("linger", fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    query("linger", fd, SOL_SOCKET, SO_LINGER);
    struct timeval time = {1, 500000}, bad = {0, 2000000};
    set("time", fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    set("bad_time", fd, SOL_SOCKET, SO_RCVTIMEO, &bad, sizeof bad);
    set("time", fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
    set("device", fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
    set("no_device", fd, SOL_SOCKET, SO_BINDTODEVICE, "none0", 6);
    set("force", fd, SOL_SOCKET, 32, &(int){1 << 24}, 4);
    set("negative", fd, SOL_SOCKET, SO_PRIORITY, &(int){6}, 4);
    set("negative", fd, SOL_SOCKET, SO_PRIORITY, &(int){7}, 4);
    T("efault", setsockopt, fd, SOL_SOCKET, SO_KEEPALIVE, BAD, 4);
    T("negative_length", setsockopt, fd, SOL_SOCKET, SO_KEEPALIVE, &one, -1);
    T("notsock", setsockopt, 0, SOL_SOCKET, SO_KEEPALIVE, &one, 4);
    T("passcred_efault", setsockopt, socket(AF_UNIX, SOCK_STREAM, 0), SOL_SOCKET, SO_PASSCRED, BAD, 4);
    T("passcred_short", setsockopt, socket(AF_UNIX, SOCK_STREAM, 0), SOL_SOCKET, SO_PASSCRED, &one, 2);
    T("passcred_inet", setsockopt, fd, SOL_SOCKET, SO_PASSCRED, &one, 4);
}

static void protocol_changes(void) {
    int one = 1, zero = 0, large = 100;
    int tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0), udp6 = socket(AF_INET6, SOCK_DGRAM, 0), tcp6 = socket(AF_INET6, SOCK_STREAM, 0);
    static const int ip[] = {1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 18, 19, 20, 21, 22, 23, 24, 32, 33, 34, 49, 50, 51, 52};
    for (size_t i = 0; i < sizeof ip / sizeof *ip; i++) {
        set("udp", udp, IPPROTO_IP, ip[i], &one, sizeof one);
        set("udp", udp, IPPROTO_IP, ip[i], &large, sizeof large);
        set("udp", udp, IPPROTO_IP, ip[i], &zero, 1);
    }
    static const int ipv6[] = {2, 7, 8, 16, 17, 18, 19, 22, 23, 24, 25, 26, 29, 33, 49, 50, 51, 52, 53, 55, 56, 58, 59, 60, 61, 62, 66, 67, 70, 72, 73, 74, 75, 76, 78};
    for (size_t i = 0; i < sizeof ipv6 / sizeof *ipv6; i++) {
        set("udp6", udp6, IPPROTO_IPV6, ipv6[i], &one, sizeof one);
        set("udp6", udp6, IPPROTO_IPV6, ipv6[i], &zero, sizeof zero);
        set("udp6", udp6, IPPROTO_IPV6, ipv6[i], &zero, 1);
    }
    static const int options[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 17, 18, 23, 24, 25, 30, 34, 36, 37};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        set("tcp", tcp, IPPROTO_TCP, options[i], &one, sizeof one);
        set("tcp", tcp, IPPROTO_TCP, options[i], &large, sizeof large);
        set("tcp", tcp, IPPROTO_TCP, options[i], &one, 1);
    }
    T("congestion", setsockopt, tcp, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
    T("no_congestion", setsockopt, tcp, IPPROTO_TCP, TCP_CONGESTION, "nothing", 7);
    set("udp", udp, IPPROTO_UDP, UDP_CORK, &one, sizeof one);
    set("udp", udp, IPPROTO_UDP, UDP_CORK, &zero, sizeof zero);
    set("udp", udp, IPPROTO_UDP, 103, &large, sizeof large);
    set("udp", udp, IPPROTO_UDP, 104, &one, sizeof one);
    struct ip_mreqn join = {{htonl(0xe0000001)}, {htonl(INADDR_LOOPBACK)}, 1};
    T("join", setsockopt, udp, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join);
    T("join_again", setsockopt, udp, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join);
    T("leave", setsockopt, udp, IPPROTO_IP, IP_DROP_MEMBERSHIP, &join, sizeof join);
    T("leave_again", setsockopt, udp, IPPROTO_IP, IP_DROP_MEMBERSHIP, &join, sizeof join);
    join.imr_multiaddr.s_addr = htonl(0x01020304);
    T("join_plain", setsockopt, udp, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join);
    T("multicast_if", setsockopt, udp, IPPROTO_IP, IP_MULTICAST_IF, &join.imr_address, sizeof join.imr_address);
    struct ipv6_mreq join6 = {{{{0xff, 2, [15] = 5}}}, 1};
    T("join6", setsockopt, udp6, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &join6, sizeof join6);
    T("v6only_bound", setsockopt, tcp6, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    struct group_req group = {1, {0}};
    struct sockaddr_in address = four(0);
    address.sin_addr.s_addr = htonl(0xe0000005);
    memcpy(&group.gr_group, &address, sizeof address);
    T("group", setsockopt, udp, IPPROTO_IP, MCAST_JOIN_GROUP, &group, sizeof group);
}

static void kinds(void) {
    for (int family = 0; family < 50; family++) {
        char tag[32];
        if (family == AF_PACKET || family == AF_NETLINK || family == AF_ALG || family == AF_VSOCK || family == AF_XDP || family == AF_QIPCRTR) continue;
        snprintf(tag, sizeof tag, "family_%d", family);
        if (family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == 0 || family > 46) TOK(tag, socket, family, SOCK_STREAM, 0);
    }
    for (int type = 0; type < 12; type++) {
        char tag[32];
        snprintf(tag, sizeof tag, "type_%d", type);
        if (type == SOCK_RAW || type == SOCK_PACKET) continue;
        TOK(tag, socket, AF_INET, type, 0);
        TOK(tag, socket, AF_INET6, type, 0);
        TOK(tag, socket, AF_UNIX, type, 0);
    }
    static const int protocols[] = {0, 1, 6, 17, 58, 255, 256, 300, -1};
    for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++) {
        char tag[32];
        snprintf(tag, sizeof tag, "protocol_%d", protocols[i]);
        TOK(tag, socket, AF_INET, SOCK_STREAM, protocols[i]);
        TOK(tag, socket, AF_INET6, SOCK_DGRAM, protocols[i]);
        TOK(tag, socket, AF_INET, SOCK_DGRAM, protocols[i]);
    }
}

static void raw(void) {
    int fd = (int)TOK("icmp", socket, AF_INET, SOCK_RAW, IPPROTO_ICMP);
    TOK("icmp6", socket, AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
    int udp = (int)TOK("udp", socket, AF_INET, SOCK_RAW, IPPROTO_UDP);
    TOK("tcp", socket, AF_INET, SOCK_RAW, IPPROTO_TCP);
    int whole = (int)TOK("raw", socket, AF_INET, SOCK_RAW, IPPROTO_RAW);
    TOK("any", socket, AF_INET, SOCK_RAW, 0);
    TOK("number", socket, AF_INET, SOCK_RAW, 200);
    if (fd < 0) return;
    struct { struct icmphdr head; char data[8]; } echo = {{.type = ICMP_ECHO, .un.echo = {htons(77), htons(1)}}, "payload"};
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof echo / 2; i++) sum += ((unsigned short *)&echo)[i];
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    echo.head.checksum = (unsigned short)~sum;
    struct sockaddr_in address = four(0);
    struct timeval limit = {2, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    set("raw", fd, SOL_RAW, ICMP_FILTER, &(int){~(1 << ICMP_ECHOREPLY)}, 4);
    query("raw", fd, SOL_RAW, ICMP_FILTER);
    T("echo", sendto, fd, &echo, sizeof echo, 0, &address, sizeof address);
    unsigned char packet[256] = {0};
    struct sockaddr_in from = {0};
    socklen_t length = sizeof from;
    T("reply", recvfrom, fd, packet, sizeof packet, 0, &from, &length);
    say("recvfrom", "reply", "type=%d from=%s version=%d", packet[20], inet_ntoa(from.sin_addr), packet[0] >> 4);
    set("raw", fd, IPPROTO_IP, IP_HDRINCL, &(int){1}, 4);
    query("raw", fd, IPPROTO_IP, IP_HDRINCL);
    if (udp >= 0) {
        int receiver = socket(AF_INET, SOCK_DGRAM, 0);
        struct sockaddr_in place = four(7802);
        bind(receiver, (void *)&place, sizeof place);
        struct { struct udphdr head; char data[4]; } datagram = {{0}, "raw"};
        datagram.head.source = htons(7803);
        datagram.head.dest = htons(7802);
        datagram.head.len = htons(sizeof datagram);
        T("udp", sendto, udp, &datagram, sizeof datagram, 0, &place, sizeof place);
        setsockopt(receiver, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        T("udp", recvfrom, receiver, packet, sizeof packet, 0, NULL, NULL);
        say("recvfrom", "udp", "%s", packet);
    }
    if (whole >= 0) query("raw", whole, IPPROTO_IP, IP_HDRINCL);
    int echo_socket = (int)TOK("ping", socket, AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
    (void)echo_socket;
}

static void addresses(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = four(7804);
    struct sockaddr_in6 address6 = six(7804);
    T("family", bind, fd, &address6, sizeof address6);
    T("family_short", bind, fd, &address6, sizeof address);
    T("length_15", bind, fd, &address, 15);
    T("length_0", bind, fd, &address, 0);
    T("length_100", bind, fd, &address, 100);
    T("twice", bind, fd, &address, sizeof address);
    T("taken", bind, socket(AF_INET, SOCK_STREAM, 0), &address, sizeof address);
    int any = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = INADDR_ANY;
    T("taken_by_any", bind, any, &address, sizeof address);
    address.sin_port = htons(7805);
    address.sin_family = AF_UNSPEC;
    T("unspecified_any", bind, any, &address, sizeof address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    T("unspecified", bind, socket(AF_INET, SOCK_STREAM, 0), &address, sizeof address);
    address = four(0);
    address.sin_addr.s_addr = htonl(INADDR_BROADCAST);
    T("broadcast", bind, socket(AF_INET, SOCK_DGRAM, 0), &address, sizeof address);
    address.sin_addr.s_addr = htonl(0xe0000001);
    T("multicast", bind, socket(AF_INET, SOCK_DGRAM, 0), &address, sizeof address);
    T("multicast", bind, socket(AF_INET, SOCK_STREAM, 0), &address, sizeof address);
    int s6 = socket(AF_INET6, SOCK_STREAM, 0), on = 1;
    T("six_length", bind, s6, &address6, 20);
    T("six", bind, s6, &address6, sizeof address6);
    address6.sin6_addr.s6_addr[15] = 99;
    address6.sin6_port = htons(7806);
    T("six_foreign", bind, socket(AF_INET6, SOCK_STREAM, 0), &address6, sizeof address6);
    address6.sin6_addr = (struct in6_addr){{{0xfe, 0x80, [15] = 1}}};
    T("six_local", bind, socket(AF_INET6, SOCK_STREAM, 0), &address6, sizeof address6);
    address6.sin6_addr = in6addr_any;
    address6.sin6_port = htons(7807);
    int dual = socket(AF_INET6, SOCK_STREAM, 0), only = socket(AF_INET6, SOCK_STREAM, 0);
    T("dual", bind, dual, &address6, sizeof address6);
    address = four(7807);
    T("dual_four", bind, socket(AF_INET, SOCK_STREAM, 0), &address, sizeof address);
    address6.sin6_port = htons(7808);
    setsockopt(only, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    T("only", bind, only, &address6, sizeof address6);
    address.sin_port = htons(7808);
    T("only_four", bind, socket(AF_INET, SOCK_STREAM, 0), &address, sizeof address);
    listen(dual, 4);
    address = four(7807);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    T("mapped", connect, client, &address, sizeof address);
    struct sockaddr_in6 peer;
    socklen_t length = sizeof peer;
    T("mapped", accept, dual, &peer, &length);
    char text[64];
    inet_ntop(AF_INET6, &peer.sin6_addr, text, sizeof text);
    say("accept", "mapped", "%s len=%u", text, length);
    T("isconn", connect, client, &address, sizeof address);
    T("disconnect", connect, client, &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr));
    address.sin_port = htons(1);
    T("refused", connect, socket(AF_INET, SOCK_STREAM, 0), &address, sizeof address);
    address.sin_port = 0;
    T("port_0", connect, socket(AF_INET, SOCK_STREAM, 0), &address, sizeof address);
    address.sin_family = AF_INET6;
    T("family", connect, socket(AF_INET, SOCK_STREAM, 0), &address, sizeof address);
    T("length", connect, socket(AF_INET, SOCK_STREAM, 0), &address, 3);
    T("datagram", connect, socket(AF_INET, SOCK_DGRAM, 0), &(struct sockaddr_in){AF_INET, htons(9), {htonl(INADDR_BROADCAST)}, {0}}, sizeof address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    T("unbound", listen, listener, 1);
    length = sizeof address;
    getsockname(listener, (void *)&address, &length);
    say("getsockname", "auto", "port=%d any=%d", address.sin_port != 0, address.sin_addr.s_addr == 0);
    T("again", listen, listener, 10);
    T("datagram", listen, socket(AF_INET, SOCK_DGRAM, 0), 1);
    T("connected", listen, client, 1);
    T("listening", connect, listener, &address, sizeof address);
    T("not_listening", accept, socket(AF_INET, SOCK_STREAM, 0), NULL, NULL);
    T("datagram", accept, socket(AF_INET, SOCK_DGRAM, 0), NULL, NULL);
    T("notconn", getpeername, socket(AF_INET, SOCK_STREAM, 0), &address, &length);
    T("notconn", shutdown, socket(AF_INET, SOCK_STREAM, 0), SHUT_RDWR);
    static const unsigned short low[] = {1, 79, 1023};
    for (size_t i = 0; i < 3; i++) {
        address = four(low[i]);
        T("low_port", bind, socket(AF_INET, SOCK_DGRAM, 0), &address, sizeof address);
    }
}

static void streams(void) {
    int server = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in address = four(7810);
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bind(server, (void *)&address, sizeof address);
    listen(server, 8);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    T("nonblocking", connect, client, &address, sizeof address);
    struct pollfd ready = {client, POLLOUT, 0};
    poll(&ready, 1, 2000);
    T("nonblocking_again", connect, client, &address, sizeof address);
    T("nonblocking_third", connect, client, &address, sizeof address);
    int accepted = accept4(server, NULL, NULL, SOCK_NONBLOCK);
    fcntl(client, F_SETFL, 0);
    char buffer[64] = {0};
    T("empty", recvfrom, accepted, buffer, 10, 0, NULL, NULL);
    T("destination", sendto, client, "abc", 3, 0, &address, sizeof address);
    T("oob", sendto, client, "!", 1, MSG_OOB, NULL, 0);
    millis(20);
    int mark = -1;
    T("atmark", ioctl, accepted, SIOCATMARK, &mark);
    T("oob", recvfrom, accepted, buffer, 10, MSG_OOB, NULL, NULL);
    T("normal", recvfrom, accepted, buffer, 10, 0, NULL, NULL);
    T("atmark", ioctl, accepted, SIOCATMARK, &mark);
    say("ioctl", "atmark", "%d", mark);
    T("no_oob", recvfrom, accepted, buffer, 10, MSG_OOB, NULL, NULL);
    struct iovec parts[2] = {{"head", 4}, {"tail", 4}};
    struct msghdr message = {NULL, 0, parts, 2, NULL, 0, 0};
    T("parts", sendmsg, client, &message, MSG_MORE);
    T("more", sendto, client, "end", 3, 0, NULL, 0);
    millis(20);
    T("all", recvfrom, accepted, buffer, sizeof buffer, MSG_WAITALL | MSG_DONTWAIT, NULL, NULL);
    say("recvfrom", "all", "%.11s", buffer);
    message.msg_name = &address;
    message.msg_namelen = sizeof address;
    T("named", sendmsg, client, &message, 0);
    T("trunc", recvfrom, accepted, buffer, 4, MSG_TRUNC, NULL, NULL);
    T("errqueue", recvfrom, accepted, buffer, 4, MSG_ERRQUEUE, NULL, NULL);
    int count = 0;
    T("outq", ioctl, client, TIOCOUTQ, &count);
    T("inq", ioctl, accepted, FIONREAD, &count);
    say("ioctl", "inq", "%d", count);
    T("half", shutdown, client, SHUT_WR);
    T("pipe", sendto, client, "x", 1, MSG_NOSIGNAL, NULL, 0);
    struct linger reset = {1, 0};
    setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(client);
    millis(20);
    int error = 0;
    socklen_t length = sizeof error;
    T("drain", recvfrom, accepted, buffer, sizeof buffer, 0, NULL, NULL);
    getsockopt(accepted, SOL_SOCKET, SO_ERROR, &error, &length);
    T("after_reset", recvfrom, accepted, buffer, sizeof buffer, 0, NULL, NULL);
    close(accepted);
    signal(SIGPIPE, SIG_DFL);
    pid_t child = fork();
    if (child == 0) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        connect(fd, (void *)&address, sizeof address);
        shutdown(fd, SHUT_WR);
        sendto(fd, "x", 1, 0, (void *)&address, sizeof address);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    say("sendto", "signal", "%s", ended(status));
    struct tcp_info info;
    length = sizeof info;
    client = socket(AF_INET, SOCK_STREAM, 0);
    connect(client, (void *)&address, sizeof address);
    T("info", getsockopt, client, IPPROTO_TCP, TCP_INFO, &info, &length);
    say("getsockopt", "info", "state=%d", info.tcpi_state);
    /* Data with the first packet. */
    int fast = socket(AF_INET, SOCK_STREAM, 0);
    T("fastopen", sendto, fast, "fast", 4, MSG_FASTOPEN, &address, sizeof address);
    int again = socket(AF_INET, SOCK_STREAM, 0);
    T("reuse", bind, again, &address, sizeof address);
    setsockopt(again, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    T("reuseport_late", bind, again, &address, sizeof address);
}

static void datagrams(void) {
    int one = socket(AF_INET, SOCK_DGRAM, 0), two = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
    struct sockaddr_in address = four(7811), none = four(7812);
    bind(one, (void *)&address, sizeof address);
    setsockopt(one, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    setsockopt(one, IPPROTO_IP, IP_RECVTTL, &on, sizeof on);
    setsockopt(one, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on);
    T("plain", sendto, two, "plain", 5, 0, &address, sizeof address);
    char buffer[64] = {0}, control[256];
    struct iovec part = {buffer, sizeof buffer};
    struct sockaddr_in from;
    struct msghdr message = {&from, sizeof from, &part, 1, control, sizeof control, 0};
    T("control", recvmsg, one, &message, 0);
    for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head))
        say("recvmsg", "control", "level=%d type=%d len=%zu", head->cmsg_level, head->cmsg_type, (size_t)head->cmsg_len);
    /* A hop limit for one datagram. */
    char space[CMSG_SPACE(sizeof(int))] = {0};
    message = (struct msghdr){&address, sizeof address, &part, 1, space, sizeof space, 0};
    *CMSG_FIRSTHDR(&message) = (struct cmsghdr){CMSG_LEN(sizeof(int)), IPPROTO_IP, IP_TTL};
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &(int){9}, 4);
    T("ttl", sendmsg, two, &message, 0);
    T("ttl", recvfrom, one, buffer, sizeof buffer, 0, NULL, NULL);
    T("connect", connect, two, &none, sizeof none);
    T("unreachable", sendto, two, "x", 1, 0, NULL, 0);
    millis(20);
    T("unreachable_later", sendto, two, "x", 1, 0, NULL, 0);
    T("unreachable_again", sendto, two, "x", 1, MSG_DONTWAIT, NULL, 0);
    T("to_another", sendto, two, "y", 1, 0, &address, sizeof address);
    T("from_another", recvfrom, one, buffer, sizeof buffer, MSG_DONTWAIT, NULL, NULL);
    T("disconnect", connect, two, &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr));
    T("no_destination", sendto, two, "x", 1, 0, NULL, 0);
    T("length", sendto, two, "x", 1, 0, &address, 3);
    T("length_huge", sendto, two, "x", 1, 0, &address, 5000);
    address.sin_family = AF_UNIX;
    T("family", sendto, two, "x", 1, 0, &address, sizeof address);
    address.sin_family = AF_UNSPEC;
    T("unspecified", sendto, two, "x", 1, 0, &address, sizeof address);
    address = four(7811);
    T("unspecified", recvfrom, one, buffer, sizeof buffer, MSG_DONTWAIT, NULL, NULL);
    static char large[70000];
    T("large", sendto, two, large, 65507, 0, &address, sizeof address);
    T("larger", sendto, two, large, 65508, 0, &address, sizeof address);
    T("truncated", recvfrom, one, buffer, 10, MSG_DONTWAIT | MSG_TRUNC, NULL, NULL);
    T("empty", sendto, two, "", 0, 0, &address, sizeof address);
    T("empty", recvfrom, one, buffer, 10, MSG_DONTWAIT, NULL, NULL);
    T("port_0", sendto, two, "x", 1, 0, &(struct sockaddr_in){AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {0}}, sizeof address);
    T("broadcast", sendto, two, "x", 1, 0, &(struct sockaddr_in){AF_INET, htons(9), {htonl(INADDR_BROADCAST)}, {0}}, sizeof address);
    T("oob", sendto, two, "x", 1, MSG_OOB, &address, sizeof address);
    T("confirm", sendto, two, "x", 1, MSG_CONFIRM, &address, sizeof address);
    T("dontroute", sendto, two, "x", 1, MSG_DONTROUTE, &address, sizeof address);
    T("efault", sendto, two, BAD, 10, 0, &address, sizeof address);
    T("efault_address", sendto, two, "x", 1, 0, BAD, sizeof address);
    T("negative_length", sendto, two, "x", 1, 0, &address, -1);
    int v6 = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(7811)};
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr);
    T("mapped", sendto, v6, "m", 1, 0, &mapped, sizeof mapped);
    T("four_on_six", sendto, v6, "m", 1, 0, &address, sizeof address);
}

static void interface_queries(void) {
    static const struct { const char *name; unsigned long request; } requests[] = {
        {"name", SIOCGIFNAME}, {"flags", SIOCGIFFLAGS}, {"addr", SIOCGIFADDR}, {"dstaddr", SIOCGIFDSTADDR}, {"brdaddr", SIOCGIFBRDADDR},
        {"netmask", SIOCGIFNETMASK}, {"metric", SIOCGIFMETRIC}, {"mtu", SIOCGIFMTU}, {"hwaddr", SIOCGIFHWADDR}, {"index", SIOCGIFINDEX},
        {"txqlen", SIOCGIFTXQLEN}, {"setaddr", SIOCSIFADDR}, {"setflags", SIOCSIFFLAGS}, {"setmtu", SIOCSIFMTU}, {"setname", SIOCSIFNAME},
        {"sethw", SIOCSIFHWADDR}, {"delroute", SIOCDELRT}, {"addmulti", SIOCADDMULTI}, {"setmetric", SIOCSIFMETRIC},
    };
    int inet = socket(AF_INET, SOCK_DGRAM, 0), local = socket(AF_UNIX, SOCK_STREAM, 0);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct ifreq request = {0};
        strcpy(request.ifr_name, "lo");
        request.ifr_ifindex = requests[i].request == SIOCGIFNAME ? 1 : 0;
        T(requests[i].name, ioctl, inet, requests[i].request, &request);
        strcpy(request.ifr_name, "none0");
        request.ifr_ifindex = requests[i].request == SIOCGIFNAME ? 999 : 0;
        if (i < 11) T(requests[i].name, ioctl, inet, requests[i].request, &request);
        T(requests[i].name, ioctl, inet, requests[i].request, BAD);
    }
    struct ifconf list = {0};
    T("conf_size", ioctl, inet, SIOCGIFCONF, &list);
    char room[4096];
    list = (struct ifconf){sizeof room, {room}};
    T("conf", ioctl, inet, SIOCGIFCONF, &list);
    say("ioctl", "conf", "some=%d", list.ifc_len > 0);
    T("unix_flags", ioctl, local, SIOCGIFFLAGS, room);
    T("stamp", ioctl, inet, 0x8906, room);
    T("ethtool", ioctl, inet, 0x8946, room);
    T("wireless", ioctl, inet, 0x8b01, room);
    T("private", ioctl, inet, 0x89f0, room);
    T("unknown", ioctl, inet, 0x89ff0, room);
}

/* The datagram that was sent to `port` on lo, among what else passes there. */
static void frame(const char *tag, int fd, int header, unsigned short port) {
    unsigned char bytes[256];
    for (int i = 0; i < 50; i++) {
        struct sockaddr_ll from = {0};
        socklen_t length = sizeof from;
        ssize_t n = recvfrom(fd, bytes, sizeof bytes, 0, (void *)&from, &length);
        if (n <= 0) break;
        struct udphdr *datagram = (void *)(bytes + header + 20);
        if (n < header + 28 || bytes[header + 9] != IPPROTO_UDP || ntohs(datagram->dest) != port || from.sll_pkttype != PACKET_OUTGOING) continue;
        say("recvfrom", tag, "n=%zd text=%.4s family=%d protocol=%#x hatype=%d kind=%d halen=%d len=%u", n, bytes + header + 28, from.sll_family, ntohs(from.sll_protocol), from.sll_hatype, from.sll_pkttype, from.sll_halen, length);
        return;
    }
    say("recvfrom", tag, "nothing %s", errname(errno));
}

static void packets(void) {
    T("packet_stream", socket, AF_PACKET, SOCK_STREAM, 0);
    T("packet_none", socket, AF_PACKET, 0, 0);
    T("packet_type", socket, AF_PACKET, 11, 0);
    T("packet_pair", socketpair, AF_PACKET, SOCK_RAW, 0, (int[2]){0});
    int raw = (int)TOK("packet_raw", socket, AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    int cooked = (int)TOK("packet_dgram", socket, AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (raw < 0) return;
    fcntl(cooked, F_SETFL, 0);
    struct sockaddr_ll place = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex("lo")};
    struct sockaddr_ll name = {0};
    socklen_t length = sizeof name;
    T("packet_short", bind, raw, &place, 8);
    T("packet_raw", bind, raw, &place, sizeof place);
    T("packet_dgram", bind, cooked, &place, sizeof place);
    place.sll_ifindex = 9999;
    T("packet_nodev", bind, cooked, &place, sizeof place);
    place.sll_ifindex = (int)if_nametoindex("lo");
    T("packet_dgram", bind, cooked, &place, sizeof place);
    T("packet", getsockname, raw, &name, &length);
    say("getsockname", "packet", "len=%u family=%d protocol=%#x lo=%d hatype=%d halen=%d", length, name.sll_family, ntohs(name.sll_protocol), name.sll_ifindex == place.sll_ifindex, name.sll_hatype, name.sll_halen);
    T("packet", getpeername, raw, &name, &length);
    T("packet", connect, raw, &place, sizeof place);
    T("packet", listen, raw, 1);
    struct timeval limit = {2, 0};
    setsockopt(raw, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(cooked, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    int udp = socket(AF_INET, SOCK_DGRAM, 0), receiver = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = four(7810);
    bind(receiver, (void *)&to, sizeof to);
    sendto(udp, "text", 4, 0, (void *)&to, sizeof to);
    frame("packet_raw", raw, 14, 7810);
    frame("packet_dgram", cooked, 0, 7810);
    /* A datagram of our own making, with and without its frame. */
    struct { unsigned char ethernet[14]; unsigned char ip[20]; struct udphdr head; char data[4]; } __attribute__((packed)) made = {
        .ethernet = {[12] = 8},
        .ip = {0x45, 0, 0, 32, 0, 0, 0, 0, 64, IPPROTO_UDP, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1},
        .head = {{{htons(7811), htons(7810), htons(12), 0}}}, .data = "made"};
    unsigned sum = 0;
    for (size_t i = 0; i < 20; i += 2) sum += (unsigned)(made.ip[i] << 8 | made.ip[i + 1]);
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    made.ip[10] = (unsigned char)(~sum >> 8);
    made.ip[11] = (unsigned char)~sum;
    T("packet_raw", sendto, raw, &made, sizeof made, 0, &place, sizeof place);
    frame("packet_raw_sent", cooked, 0, 7810);
    place.sll_protocol = htons(ETH_P_IP);
    place.sll_halen = 6;
    T("packet_dgram", sendto, cooked, made.ip, sizeof made - 14, 0, &place, sizeof place);
    frame("packet_dgram_sent", raw, 14, 7810);
    struct iovec part = {made.ip, sizeof made - 14};
    struct msghdr message = {&place, sizeof place, &part, 1, NULL, 0, 0};
    T("packet", sendmsg, cooked, &message, 0);
    frame("packet_message_sent", raw, 14, 7810);
    T("packet_runt", sendto, raw, &made, 5, 0, &place, sizeof place);
    struct tpacket_stats statistics = {0};
    length = sizeof statistics;
    T("packet_statistics", getsockopt, raw, SOL_PACKET, PACKET_STATISTICS, &statistics, &length);
    say("getsockopt", "packet_statistics", "len=%u some=%d", length, statistics.tp_packets > 0);
    static const int flags[] = {PACKET_AUXDATA, PACKET_ORIGDEV, PACKET_IGNORE_OUTGOING};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        set("packet", raw, SOL_PACKET, flags[i], &(int){1}, 4);
        query("packet", raw, SOL_PACKET, flags[i]);
    }
    set("packet", raw, SOL_PACKET, 99, &(int){1}, 4);
    query("packet", raw, SOL_PACKET, 99);
    T("packet", mmap, NULL, 4096, PROT_READ, MAP_SHARED, raw, 0);
    /* What is refused: see departures. */
    struct tpacket_req ring = {4096, 1, 2048, 2};
    T("packet_ring", setsockopt, raw, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring);
    T("packet_fanout", setsockopt, raw, SOL_PACKET, PACKET_FANOUT, &(int){1}, 4);
    T("packet_vnet", setsockopt, cooked, SOL_PACKET, PACKET_VNET_HDR, &(int){1}, 4);
    struct packet_mreq everything = {place.sll_ifindex, PACKET_MR_PROMISC, 0, {0}};
    T("packet_promiscuous", setsockopt, cooked, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &everything, sizeof everything);
    struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, 0xffff);
    struct sock_fprog program = {1, &all};
    T("packet_filter", setsockopt, cooked, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

FAMILY(inet) {
    SECTION(socket_queries);
    SECTION(protocol_queries);
    SECTION(socket_changes);
    SECTION(protocol_changes);
    SECTION(kinds);
    SECTION(raw);
    SECTION(packets);
    SECTION(addresses);
    SECTION(streams);
    SECTION(datagrams);
    SECTION(interface_queries);
}
