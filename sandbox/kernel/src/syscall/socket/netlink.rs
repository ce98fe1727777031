//! AF_NETLINK sockets as guests see them, see [`crate::net::server`].

use std::os::fd::{BorrowedFd, OwnedFd};

use caisson_sys::socket as host;
use rustix::io::Errno;
use rustix::net::SocketFlags;

use super::address::Address;
use crate::call::Call;
use crate::net::server::{self, Asker, Family};
use crate::task::Capability;

/// Options of SOL_NETLINK, linux/netlink.h.
const ADD_MEMBERSHIP: i32 = 1;
const DROP_MEMBERSHIP: i32 = 2;
/// PKTINFO, BROADCAST_ERROR, NO_ENOBUFS, CAP_ACK, EXT_ACK: what they ask for is optional.
const HINTS: &[i32] = &[3, 4, 5, 10, 11];
const LISTEN_ALL_NSID: i32 = 8;

pub(super) fn make(
    call: &Call<'_>,
    kind: i32,
    protocol: i32,
    nonblocking: bool,
) -> Result<OwnedFd, Errno> {
    if kind != libc::SOCK_RAW && kind != libc::SOCK_DGRAM {
        return Err(Errno::SOCKTNOSUPPORT);
    }
    let family = Family::of(protocol)?;
    let mut flags = SocketFlags::empty();
    flags.set(SocketFlags::NONBLOCK, nonblocking);
    let credentials = call.credentials();
    let asker = Asker {
        uid: credentials.ruid,
        net_admin: credentials.can(Capability::NetAdmin),
    };
    let net = call.process().net();
    server::socket(family, call.process().guest_pid as u32, asker, net, flags)
}

/// Whether this is one of the guests' netlink sockets.
pub(super) fn is_guests(socket: BorrowedFd<'_>) -> bool {
    server::is_guests(socket)
}

/// The same, addressed as such.
pub(super) fn is_one(socket: BorrowedFd<'_>, address: &Address) -> bool {
    address.is_netlink() && is_guests(socket)
}

/// Answer a request. A change of the network is made with the rights that the guest had when it made the socket,
/// if it still has them.
pub(super) fn request(
    call: &mut Call<'_>,
    socket: BorrowedFd<'_>,
    data: &[u8],
) -> Result<usize, Errno> {
    call.servant.assume_self()?;
    let net_admin = call.credentials().can(Capability::NetAdmin);
    server::request(socket, data, net_admin)?;
    Ok(data.len())
}

pub(super) fn connect(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    server::connect(socket)
}

pub(super) fn bind(socket: BorrowedFd<'_>, address: &Address) -> Result<(), Errno> {
    let word = |at: usize| {
        let bytes = address.bytes().get(at..at + 4)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    };
    match (word(4), word(8)) {
        (Some(port), Some(groups)) => server::bind(socket, port, groups),
        _ => Err(Errno::INVAL),
    }
}

/// setsockopt(2) at the level SOL_NETLINK.
pub(super) fn set_option(
    call: &Call<'_>,
    socket: BorrowedFd<'_>,
    option: i32,
) -> Result<(), Errno> {
    match option {
        ADD_MEMBERSHIP | DROP_MEMBERSHIP => {
            server::change_membership(socket, option, call.read(call.arg(3))?)
        }
        LISTEN_ALL_NSID => Err(Errno::PERM),
        option if HINTS.contains(&option) => Ok(()),
        _ => Err(Errno::NOPROTOOPT),
    }
}

/// The name of a guest's netlink socket, and of every other as the host has it.
pub(super) fn name(socket: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    if !is_guests(socket) {
        return host::name(socket);
    }
    let (port, groups) = server::address(socket)?;
    let mut name = vec![0; server::ADDRESS_BYTES];
    name[..2].copy_from_slice(&(libc::AF_NETLINK as u16).to_ne_bytes());
    name[4..8].copy_from_slice(&port.to_ne_bytes());
    name[8..].copy_from_slice(&groups.to_ne_bytes());
    Ok(name)
}
