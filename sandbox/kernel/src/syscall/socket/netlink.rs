//! AF_NETLINK sockets as guests see them: NETLINK_ROUTE for lists, see [`crate::net::route`].

use std::os::fd::{BorrowedFd, OwnedFd};

use caisson_sys::socket as host;
use rustix::io::Errno;
use rustix::net::SocketFlags;

use super::address::Address;
use crate::call::Call;
use crate::net::route;

pub(super) fn make(
    call: &Call<'_>,
    kind: i32,
    protocol: i32,
    nonblocking: bool,
) -> Result<OwnedFd, Errno> {
    if kind != libc::SOCK_RAW && kind != libc::SOCK_DGRAM {
        return Err(Errno::SOCKTNOSUPPORT);
    }
    if protocol != libc::NETLINK_ROUTE {
        return Err(Errno::PROTONOSUPPORT);
    }
    let mut flags = SocketFlags::empty();
    flags.set(SocketFlags::NONBLOCK, nonblocking);
    route::socket(call.process().guest_pid as u32, flags)
}

/// Whether this is one of the guests' netlink sockets, addressed as such.
pub(super) fn is_one(socket: BorrowedFd<'_>, address: &Address) -> bool {
    address.is_netlink() && route::port_of(socket).is_some()
}

/// bind(2): the port is given already. Nobody tells guests of changes: multicast groups are refused.
pub(super) fn bind(address: &Address) -> Result<(), Errno> {
    match address.bytes().get(8..route::ADDRESS_BYTES) {
        Some([0, 0, 0, 0]) => Ok(()),
        Some(_) => Err(Errno::PERM),
        None => Err(Errno::INVAL),
    }
}

/// The name of a guest's netlink socket, and of every other as the host has it.
pub(super) fn name(socket: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let Some(port) = route::port_of(socket) else {
        return host::name(socket);
    };
    let mut name = vec![0; route::ADDRESS_BYTES];
    name[..2].copy_from_slice(&(libc::AF_NETLINK as u16).to_ne_bytes());
    name[4..8].copy_from_slice(&port.to_ne_bytes());
    Ok(name)
}
