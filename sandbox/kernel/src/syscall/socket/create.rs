//! Which sockets a guest may have: socket(2) and socketpair(2).

use std::os::fd::OwnedFd;

use caisson_sys::notify::Cloexec;
use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, socket_with};

use super::netlink;
use crate::call::Call;
use crate::reply::Reply;
use crate::task::{Capability, Credentials};

/// linux/in.h; those that libc has are used from there.
const IPPROTO_DEFAULT: i32 = 0;
/// linux/in.h, Linux 6.18: one more than `IPPROTO_MPTCP`.
const IPPROTO_MAX: i32 = 263;
/// `SOCK_TYPE_MASK`, linux/net.h.
const TYPE_MASK: i32 = 0xf;
/// `SOCK_MAX`, linux/net.h.
const TYPES: i32 = 11;

pub fn socket(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let (family, kind, protocol) = (call.int(0), call.int(1), call.int(2));
    let flags = kind & !TYPE_MASK;
    let kind = kind & TYPE_MASK;
    if flags & !(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) != 0 {
        return Err(Errno::INVAL);
    }
    let cloexec = if flags & libc::SOCK_CLOEXEC != 0 {
        Cloexec::Yes
    } else {
        Cloexec::No
    };
    if family == libc::AF_NETLINK {
        let fd = netlink::make(call, kind, protocol, flags & libc::SOCK_NONBLOCK != 0)?;
        return Ok(Reply::Fd(fd, cloexec));
    }
    permitted(&call.credentials(), family, kind, protocol)?;
    let nonblocking = flags & libc::SOCK_NONBLOCK != 0;
    // The inode of a socket belongs to the one who made it.
    let make_own = |call: &mut Call<'_>| {
        call.assume()?;
        make(family, kind, protocol, nonblocking)
    };
    let fd = match call.thread.net() {
        None => make_own(call)?,
        Some(net) => {
            call.servant.assume_self()?;
            net.within(|| {
                let made = make_own(call);
                call.servant.assume_self().and(made)
            })??
        }
    };
    Ok(Reply::Fd(fd, cloexec))
}

fn make(family: i32, kind: i32, protocol: i32, nonblocking: bool) -> Result<OwnedFd, Errno> {
    let mut flags = SocketFlags::CLOEXEC;
    flags.set(SocketFlags::NONBLOCK, nonblocking);
    let protocol = std::num::NonZeroU32::new(protocol as u32).map(Protocol::from_raw);
    socket_with(
        AddressFamily::from_raw(family as u16),
        SocketType::from_raw(kind as u32),
        flags,
        protocol,
    )
}

/// The policy. What it lets through, Linux still may refuse.
fn permitted(
    credentials: &Credentials,
    family: i32,
    kind: i32,
    protocol: i32,
) -> Result<(), Errno> {
    match family {
        libc::AF_UNIX | libc::AF_INET | libc::AF_INET6 | libc::AF_PACKET => {}
        _ => return Err(Errno::AFNOSUPPORT),
    }
    if !(0..TYPES).contains(&kind) {
        return Err(Errno::INVAL);
    }
    if family == libc::AF_UNIX {
        return Ok(());
    }
    if family == libc::AF_PACKET {
        return packets(credentials, kind);
    }
    if !(0..IPPROTO_MAX).contains(&protocol) {
        return Err(Errno::INVAL);
    }
    match (kind, protocol) {
        (libc::SOCK_STREAM, IPPROTO_DEFAULT | libc::IPPROTO_TCP)
        | (libc::SOCK_DGRAM, IPPROTO_DEFAULT | libc::IPPROTO_UDP)
        | (libc::SOCK_DGRAM, libc::IPPROTO_ICMP | libc::IPPROTO_ICMPV6) => Ok(()),
        // All that travels in packets of IP; the numbers beyond are other kinds of sockets.
        (libc::SOCK_RAW, 1..=libc::IPPROTO_RAW) if credentials.can(Capability::NetRaw) => Ok(()),
        (libc::SOCK_RAW, protocol)
            if protocol != IPPROTO_DEFAULT && !credentials.can(Capability::NetRaw) =>
        {
            Err(Errno::PERM)
        }
        (libc::SOCK_STREAM | libc::SOCK_DGRAM | libc::SOCK_RAW, _) => Err(Errno::PROTONOSUPPORT),
        _ => Err(Errno::SOCKTNOSUPPORT),
    }
}

/// Which protocol a socket of AF_PACKET takes is a number of Ethernet's, in the order of the network: any will do.
fn packets(credentials: &Credentials, kind: i32) -> Result<(), Errno> {
    match kind {
        _ if !credentials.can(Capability::NetRaw) => Err(Errno::PERM),
        libc::SOCK_RAW | libc::SOCK_DGRAM => Ok(()),
        // SOCK_PACKET as well, which nobody has needed since Linux 2.2.
        _ => Err(Errno::SOCKTNOSUPPORT),
    }
}

/// Pairs of AF_UNIX are native; no other family has any.
pub fn socketpair(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let (family, kind, protocol) = (call.int(0), call.int(1) & TYPE_MASK, call.int(2));
    if family != libc::AF_NETLINK {
        permitted(&call.credentials(), family, kind, protocol)?;
    }
    Err(Errno::OPNOTSUPP)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(capabilities: u64) -> Credentials {
        Credentials::of(
            0,
            0,
            &[],
            caisson_wire::CapabilitySets {
                effective: capabilities,
                ..Default::default()
            },
        )
    }

    #[test]
    fn families_that_reach_the_hosts_configuration_do_not_exist() {
        let mighty = with(u64::MAX);
        for family in [
            libc::AF_XDP,
            libc::AF_VSOCK,
            libc::AF_ALG,
            libc::AF_BLUETOOTH,
            999,
            -1,
        ] {
            assert_eq!(
                permitted(&mighty, family, libc::SOCK_RAW, 0),
                Err(Errno::AFNOSUPPORT),
                "{family}"
            );
        }
    }

    #[test]
    fn packets_are_for_those_who_may() {
        let packet =
            |credentials: &Credentials, kind| permitted(credentials, libc::AF_PACKET, kind, 0x300);
        let raw = with(Capability::NetRaw.bit());
        assert_eq!(packet(&raw, libc::SOCK_RAW), Ok(()));
        assert_eq!(packet(&raw, libc::SOCK_DGRAM), Ok(()));
        assert_eq!(packet(&raw, 10), Err(Errno::SOCKTNOSUPPORT), "SOCK_PACKET");
        assert_eq!(packet(&raw, libc::SOCK_STREAM), Err(Errno::SOCKTNOSUPPORT));
        assert_eq!(packet(&raw, TYPES), Err(Errno::INVAL));
        assert_eq!(
            packet(&with(!Capability::NetRaw.bit()), libc::SOCK_RAW),
            Err(Errno::PERM)
        );
        assert_eq!(packet(&with(0), libc::SOCK_STREAM), Err(Errno::PERM));
    }

    #[test]
    fn raw_sockets_are_for_those_who_may() {
        let raw = Capability::NetRaw.bit();
        let inet = |credentials: &Credentials, protocol| {
            permitted(credentials, libc::AF_INET, libc::SOCK_RAW, protocol)
        };
        assert_eq!(inet(&with(raw), libc::IPPROTO_ICMP), Ok(()));
        assert_eq!(inet(&with(0), libc::IPPROTO_ICMP), Err(Errno::PERM));
        assert_eq!(inet(&with(raw), libc::IPPROTO_RAW), Ok(()));
        assert_eq!(inet(&with(0), libc::IPPROTO_RAW), Err(Errno::PERM));
        assert_eq!(
            inet(&with(raw), libc::IPPROTO_MPTCP),
            Err(Errno::PROTONOSUPPORT)
        );
        assert_eq!(inet(&with(raw), 263), Err(Errno::INVAL));
        assert_eq!(inet(&with(raw), -1), Err(Errno::INVAL));
    }

    #[test]
    fn other_transports_of_the_host_are_not_loaded() {
        let inet = |kind, protocol| permitted(&with(u64::MAX), libc::AF_INET, kind, protocol);
        assert_eq!(
            inet(libc::SOCK_STREAM, libc::IPPROTO_SCTP),
            Err(Errno::PROTONOSUPPORT)
        );
        assert_eq!(
            inet(libc::SOCK_STREAM, libc::IPPROTO_MPTCP),
            Err(Errno::PROTONOSUPPORT)
        );
        assert_eq!(
            inet(libc::SOCK_DGRAM, libc::IPPROTO_UDPLITE),
            Err(Errno::PROTONOSUPPORT)
        );
        assert_eq!(inet(libc::SOCK_SEQPACKET, 0), Err(Errno::SOCKTNOSUPPORT));
    }
}
