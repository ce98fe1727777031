//! Address families, levels and options of sockets, linux/in.h, linux/in6.h, linux/tcp.h and
//! asm-generic/socket.h.

pub const AF_UNIX: u32 = 1;
pub const AF_INET: u32 = 2;
pub const AF_INET6: u32 = 10;
pub const AF_NETLINK: u32 = 16;

/// The length of a request for a netlink list without attributes: `struct nlmsghdr` and `struct rtgenmsg`.
pub const NETLINK_LIST_BYTES: u32 = 20;

pub const SOL_SOCKET: u32 = 1;
pub const IPPROTO_IP: u32 = 0;
pub const IPPROTO_TCP: u32 = 6;
pub const IPPROTO_UDP: u32 = 17;
pub const IPPROTO_IPV6: u32 = 41;

pub const SO_TYPE: u32 = 3;
pub const SO_PRIORITY: u32 = 12;
pub const SO_PASSCRED: u32 = 16;
pub const SO_PEERCRED: u32 = 17;
pub const SO_BINDTODEVICE: u32 = 25;
/// `SO_GET_FILTER` when queried.
pub const SO_ATTACH_FILTER: u32 = 26;
pub const SO_PEERSEC: u32 = 31;
pub const SO_SNDBUFFORCE: u32 = 32;
pub const SO_RCVBUFFORCE: u32 = 33;
pub const SO_MARK: u32 = 36;
pub const SO_PROTOCOL: u32 = 38;
pub const SO_DOMAIN: u32 = 39;
pub const SO_ATTACH_BPF: u32 = 50;
pub const SO_ATTACH_REUSEPORT_CBPF: u32 = 51;
pub const SO_ATTACH_REUSEPORT_EBPF: u32 = 52;
pub const SO_COOKIE: u32 = 57;
pub const SO_PEERGROUPS: u32 = 59;
pub const SO_BINDTOIFINDEX: u32 = 62;
pub const SO_NETNS_COOKIE: u32 = 71;
pub const SO_PEERPIDFD: u32 = 77;

/// Setting these needs a capability that only the guest has.
pub const SOCKET_SET_PRIVILEGED: &[u32] = &[
    SO_PRIORITY,
    SO_BINDTODEVICE,
    SO_SNDBUFFORCE,
    SO_RCVBUFFORCE,
    SO_MARK,
    SO_BINDTOIFINDEX,
];

/// Setting these loads programs into the host kernel, needs a capability, or (`SO_PASSCRED`) is for the app kernel
/// to know.
pub const SOCKET_SET_EMULATED: &[u32] = &[
    SO_PRIORITY,
    SO_BINDTODEVICE,
    SO_SNDBUFFORCE,
    SO_RCVBUFFORCE,
    SO_MARK,
    SO_BINDTOIFINDEX,
    SO_PASSCRED,
    SO_ATTACH_FILTER,
    SO_ATTACH_BPF,
    SO_ATTACH_REUSEPORT_CBPF,
    SO_ATTACH_REUSEPORT_EBPF,
];

/// Querying these shows host credentials or host identifiers, or that guests' netlink sockets are none to the host.
pub const SOCKET_QUERY_EMULATED: &[u32] = &[
    SO_TYPE,
    SO_DOMAIN,
    SO_PROTOCOL,
    SO_PEERCRED,
    SO_PEERGROUPS,
    SO_PEERSEC,
    SO_PEERPIDFD,
    SO_ATTACH_FILTER,
    SO_COOKIE,
    SO_NETNS_COOKIE,
];

pub const TCP_MD5SIG: u32 = 14;
pub const TCP_REPAIR: u32 = 19;
pub const TCP_REPAIR_QUEUE: u32 = 20;
pub const TCP_QUEUE_SEQ: u32 = 21;
pub const TCP_REPAIR_OPTIONS: u32 = 22;
pub const TCP_REPAIR_WINDOW: u32 = 29;
pub const TCP_ULP: u32 = 31;
pub const TCP_MD5SIG_EXT: u32 = 32;
pub const TCP_ZEROCOPY_RECEIVE: u32 = 35;
/// `TCP_IS_MPTCP` (a query), `TCP_RTO_MAX_MS`, `TCP_RTO_MIN_US`.
pub const TCP_RECENT: &[u32] = &[43, 44, 45];
/// Needs CAP_NET_ADMIN.
pub const TCP_AO_REPAIR: u32 = 42;
/// `TCP_TX_DELAY`, the last before the authentication options.
pub const TCP_LAST: u32 = 37;

/// Setting these loads an upper-layer protocol, forges a connection's state or handles keys.
pub const TCP_EMULATED: &[u32] = &[
    TCP_MD5SIG,
    TCP_REPAIR,
    TCP_REPAIR_QUEUE,
    TCP_QUEUE_SEQ,
    TCP_REPAIR_OPTIONS,
    TCP_REPAIR_WINDOW,
    TCP_ULP,
    TCP_MD5SIG_EXT,
];

/// Turns a UDP socket into a tunnel end.
pub const UDP_ENCAP: u32 = 100;

pub const IP_IPSEC_POLICY: u32 = 16;
pub const IP_XFRM_POLICY: u32 = 17;
/// Numbers from 64 on belong to netfilter and to multicast routing.
pub const IP_LAST: u32 = 63;
/// Where the options of netfilter and of multicast routing lie, linux/netfilter*.h and linux/mroute.h.
pub const IP_NETFILTER: core::ops::RangeInclusive<u32> = 64..=255;
pub const IP_TRANSPARENT: u32 = 19;
pub const IP_EMULATED: &[u32] = &[IP_IPSEC_POLICY, IP_XFRM_POLICY, IP_TRANSPARENT];

pub const IPV6_ADDRFORM: u32 = 1;
pub const IPV6_IPSEC_POLICY: u32 = 34;
pub const IPV6_XFRM_POLICY: u32 = 35;
/// `IPV6_FREEBIND` is 78; 80 is the next netfilter option.
pub const IPV6_LAST: u32 = 79;
/// Setting these needs a capability that only the guest has: extension headers, `IPV6_TRANSPARENT`.
pub const IPV6_PRIVILEGED: &[u32] = &[54, 55, 57, 59, 75];
/// The netfilter options below [`IPV6_LAST`].
pub const IPV6_NETFILTER: &[u32] = &[64, 65, 68, 69];
/// `IPV6_ADDRFORM` changes a socket's family under its owner; 64, 65, 68 and 69 are netfilter's.
pub const IPV6_EMULATED: &[u32] = &[
    IPV6_ADDRFORM,
    IPV6_IPSEC_POLICY,
    IPV6_XFRM_POLICY,
    54,
    55,
    57,
    59,
    64,
    65,
    68,
    69,
    75,
];
