//! AF_NETLINK sockets as guests see them, see [`crate::net::server`].

use std::os::fd::{BorrowedFd, OwnedFd};

use caisson_abi::constant::socket::{SO_DOMAIN, SO_TYPE};
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
const LIST_MEMBERSHIPS: i32 = 9;

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
    let net = call.thread.net();
    server::socket(
        family,
        kind,
        call.process().guest_pid as u32,
        asker,
        net,
        flags,
    )
}

/// Whether this is one of the guests' netlink sockets.
pub(super) fn is_guests(socket: BorrowedFd<'_>) -> bool {
    server::is_guests(socket)
}

/// The same, addressed as such.
pub(super) fn is_one(socket: BorrowedFd<'_>, address: &Address) -> bool {
    address.is_netlink() && is_guests(socket)
}

/// Send a request to where `address` says, to the kernel without one. Only those who may change the network can send to others
/// than the kernel, `EPERM`; and there is nobody else, `ECONNREFUSED`.
pub(super) fn send(
    call: &mut Call<'_>,
    socket: BorrowedFd<'_>,
    address: Option<&Address>,
    data: &[u8],
) -> Result<usize, Errno> {
    let to = address.map_or(Ok(Destination::default()), Destination::of)?;
    to.permitted(call)?;
    let sent = request(call, socket, data)?;
    if to.port == 0 {
        Ok(sent)
    } else {
        Err(Errno::CONNREFUSED)
    }
}

/// Answer a request. A change of the network is made with the rights that the guest had when it made the socket,
/// if it still has them.
fn request(call: &mut Call<'_>, socket: BorrowedFd<'_>, data: &[u8]) -> Result<usize, Errno> {
    call.servant.assume_self()?;
    let net_admin = call.credentials().can(Capability::NetAdmin);
    server::request(socket, data, net_admin)?;
    Ok(data.len())
}

/// What a `struct sockaddr_nl` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Destination {
    port: u32,
    groups: u32,
}

impl Destination {
    /// `EINVAL` when it is too short.
    fn of(address: &Address) -> Result<Destination, Errno> {
        let word = |at: usize| {
            let bytes = address.bytes().get(at..at + 4)?;
            Some(u32::from_ne_bytes(bytes.try_into().ok()?))
        };
        match (word(4), word(8)) {
            (Some(port), Some(groups)) => Ok(Destination { port, groups }),
            _ => Err(Errno::INVAL),
        }
    }

    fn permitted(self, call: &Call<'_>) -> Result<(), Errno> {
        if self == Destination::default() || call.credentials().can(Capability::NetAdmin) {
            Ok(())
        } else {
            Err(Errno::PERM)
        }
    }
}

pub(super) fn connect(
    call: &Call<'_>,
    socket: BorrowedFd<'_>,
    address: &Address,
) -> Result<(), Errno> {
    Destination::of(address)?.permitted(call)?;
    server::connect(socket)
}

pub(super) fn bind(socket: BorrowedFd<'_>, address: &Address) -> Result<(), Errno> {
    let Destination { port, groups } = Destination::of(address)?;
    server::bind(socket, port, groups)
}

/// setsockopt(2) at the level SOL_NETLINK.
pub(super) fn set_option(
    call: &Call<'_>,
    socket: BorrowedFd<'_>,
    option: i32,
    length: usize,
) -> Result<(), Errno> {
    let value: u32 = if length < size_of::<u32>() {
        0
    } else {
        call.read(call.arg(3))?
    };
    match option {
        ADD_MEMBERSHIP | DROP_MEMBERSHIP => server::change_membership(socket, option, value),
        LISTEN_ALL_NSID => Err(Errno::PERM),
        option if HINTS.contains(&option) => server::turn(socket, option, value != 0),
        _ => Err(Errno::NOPROTOOPT),
    }
}

/// getsockopt(2) at the level SOL_NETLINK, into `room` bytes.
pub(super) fn option(
    call: &Call<'_>,
    socket: BorrowedFd<'_>,
    option: i32,
    room: usize,
) -> Result<(), Errno> {
    if option == LIST_MEMBERSHIPS {
        const WORD_BYTES: usize = 4;
        let list = server::memberships(socket)?;
        let fit = list.len().min(room - room % WORD_BYTES);
        if fit > 0 {
            call.write_bytes(call.arg(3), &list[..fit])?;
        }
        // How many there would be.
        return call.write(call.arg(4), &(list.len() as i32));
    }
    let on = match option {
        LISTEN_ALL_NSID => false,
        option if HINTS.contains(&option) => server::is_on(socket, option)?,
        _ => return Err(Errno::NOPROTOOPT),
    };
    if room < size_of::<i32>() {
        return Err(Errno::INVAL);
    }
    call.write(call.arg(4), &(size_of::<i32>() as i32))?;
    call.write(call.arg(3), &i32::from(on))
}

/// What `SO_DOMAIN`, `SO_TYPE` and `SO_PROTOCOL` say of it.
pub(super) fn identity(socket: BorrowedFd<'_>, option: u32) -> Result<i32, Errno> {
    let (kind, protocol) = server::kind(socket)?;
    Ok(match option {
        SO_DOMAIN => libc::AF_NETLINK,
        SO_TYPE => kind,
        _ => protocol,
    })
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

#[cfg(test)]
mod tests {
    use super::{Address, Destination, Errno};

    #[test]
    fn a_destination_needs_a_whole_address() {
        let mut bytes = vec![16, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0];
        let whole = Address::of_bytes(&bytes);
        assert_eq!(
            Destination::of(&whole),
            Ok(Destination { port: 7, groups: 1 })
        );
        bytes.pop();
        assert_eq!(
            Destination::of(&Address::of_bytes(&bytes)),
            Err(Errno::INVAL)
        );
    }
}
