/* Requests on interfaces, routes and neighbours by ioctl(2), netdevice(7): as root with CAP_NET_ADMIN. */
#include "guest.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static struct sockaddr inet(const char *text) {
    union {
        struct sockaddr plain;
        struct sockaddr_in inet;
    } address = {.inet = {.sin_family = AF_INET}};
    inet_pton(AF_INET, text, &address.inet.sin_addr);
    return address.plain;
}

static struct ifreq on(const char *interface) {
    struct ifreq request = {0};
    strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
    return request;
}

static void loopback(void) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq request = on("lo");
    T("flags", ioctl, fd, SIOCGIFFLAGS, &request);
    request.ifr_flags |= IFF_UP;
    T("up", ioctl, fd, SIOCSIFFLAGS, &request);
    request = on("lo");
    request.ifr_addr = inet("127.0.0.9");
    T("address", ioctl, fd, SIOCSIFADDR, &request);
    request = on("lo");
    request.ifr_netmask = inet("255.255.0.0");
    T("mask", ioctl, fd, SIOCSIFNETMASK, &request);
    request = on("lo");
    T("read_mask", ioctl, fd, SIOCGIFNETMASK, &request);
    char text[32] = "";
    inet_ntop(AF_INET, request.ifr_netmask.sa_data + 2, text, sizeof text);
    say("ioctl", "mask_now", "%s", text);
    request = on("lo");
    request.ifr_mtu = 1500;
    T("mtu", ioctl, fd, SIOCSIFMTU, &request);
    request = on("lo");
    T("read_mtu", ioctl, fd, SIOCGIFMTU, &request);
    say("ioctl", "mtu_now", "%d", request.ifr_mtu);
    request = on("lo");
    request.ifr_qlen = 77;
    T("queue", ioctl, fd, SIOCSIFTXQLEN, &request);
    request = on("lo");
    request.ifr_addr = inet("127.0.0.1");
    T("back", ioctl, fd, SIOCSIFADDR, &request);
}

static void errors(void) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq request = on("none0");
    T("no_interface", ioctl, fd, SIOCSIFFLAGS, &request);
    request.ifr_addr = inet("10.1.1.1");
    T("no_interface_address", ioctl, fd, SIOCSIFADDR, &request);
    request = on("lo");
    request.ifr_mtu = -1;
    T("bad_mtu", ioctl, fd, SIOCSIFMTU, &request);
    request = on("lo");
    request.ifr_netmask = inet("255.0.255.0");
    T("bad_mask", ioctl, fd, SIOCSIFNETMASK, &request);
    T("efault", ioctl, fd, SIOCSIFFLAGS, BAD);
    T("file", ioctl, open("/work/file", O_RDONLY), SIOCSIFFLAGS, &request);
}

static void routes(void) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    char device[] = "lo";
    struct rtentry route = {0};
    route.rt_dst = inet("10.9.0.0");
    route.rt_genmask = inet("255.255.0.0");
    route.rt_gateway = inet("0.0.0.0");
    route.rt_flags = RTF_UP;
    route.rt_dev = device;
    T("add", ioctl, fd, SIOCADDRT, &route);
    T("add_again", ioctl, fd, SIOCADDRT, &route);
    say("ioctl", "route_there", "%d", strstr(get("/proc/net/route"), "00000A09") || strstr(get("/proc/net/route"), "0000090A"));
    T("delete", ioctl, fd, SIOCDELRT, &route);
    T("delete_again", ioctl, fd, SIOCDELRT, &route);
    route.rt_dev = (char *)BAD;
    T("bad_name", ioctl, fd, SIOCADDRT, &route);
    char none[] = "none0";
    route.rt_dev = none;
    T("no_interface_route", ioctl, fd, SIOCADDRT, &route);
    T("efault_route", ioctl, fd, SIOCADDRT, BAD);
    struct arpreq neighbour = {0};
    neighbour.arp_pa = inet("10.9.9.9");
    strcpy(neighbour.arp_dev, "lo");
    T("no_neighbour", ioctl, fd, SIOCGARP, &neighbour);
    T("forget_neighbour", ioctl, fd, SIOCDARP, &neighbour);
}

FAMILY(interface) {
    SECTION(loopback);
    SECTION(errors);
    SECTION(routes);
}
