//! The socket options that are not native: setsockopt(2), getsockopt(2).
//!
//! Most that come here would load programs, keys or protocols into the host kernel, and do not exist for a
//! guest. Queries about peers are answered in guest terms.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use caisson_abi::constant::socket as option;
use caisson_sys::layout::bytes_of;
use caisson_sys::socket as host;
use rustix::io::Errno;

use super::connect::socket_of;
use super::netlink;
use super::packet::{self, SOL_PACKET};
use super::peer::{self, Peer};
use crate::call::Call;
use crate::reply::Reply;

/// linux/icmp.h, linux/icmpv6.h and linux/in6.h: what ping(8) sets on its raw socket.
const SOL_RAW: u32 = 255;
const ICMP_FILTER: u32 = 1;
const IPV6_CHECKSUM: u32 = 7;
const SOL_ICMPV6: u32 = 58;
const SOL_NETLINK: u32 = 270;
const ICMPV6_FILTER: u32 = 1;
/// linux/netfilter_ipv4.h and linux/netfilter_ipv6/ip6_tables.h: where a redirected connection was going.
const SO_ORIGINAL_DST: u32 = 80;
/// The largest value that is passed on for a guest.
const VALUE_MAX: usize = 2048;
/// Levels whose options are decided on here. Of others the host says that they do not exist, which differs between
/// families.
const KNOWN_LEVELS: &[u32] = &[
    option::SOL_SOCKET,
    option::IPPROTO_IP,
    option::IPPROTO_IPV6,
    option::IPPROTO_TCP,
    option::IPPROTO_UDP,
    SOL_ICMPV6,
    SOL_RAW,
    SOL_NETLINK,
];
/// An option that no level has.
const NO_OPTION: i32 = -1;

pub fn setsockopt(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let socket = socket_of(call)?;
    let length = usize::try_from(call.int(4)).map_err(|_| Errno::INVAL)?;
    match (call.uint(1), call.uint(2)) {
        (SOL_RAW, ICMP_FILTER | IPV6_CHECKSUM) | (SOL_ICMPV6, ICMPV6_FILTER) => {
            set_for_guest(call, socket.as_fd(), length)
        }
        (SOL_PACKET, name) if packet::may_set(name) => set_for_guest(call, socket.as_fd(), length),
        (level, name) if is_privileged(level, name) => set_for_guest(call, socket.as_fd(), length),
        (SOL_NETLINK, _) if netlink::is_guests(socket.as_fd()) => {
            netlink::set_option(call, socket.as_fd(), call.int(2), length).map(|()| Reply::ZERO)
        }
        (option::SOL_SOCKET, option::SO_PASSCRED) => {
            let value: i32 = read_int(call, length)?;
            host::set_option(
                socket.as_fd(),
                call.int(1),
                call.int(2),
                &value.to_ne_bytes(),
            )?;
            if value != 0 {
                call.kernel
                    .credentials_wanted
                    .store(true, Ordering::Release);
            }
            Ok(Reply::ZERO)
        }
        (level, name) if KNOWN_LEVELS.contains(&level) => Err(refusal(level, name)),
        (level, _) => {
            host::set_option(socket.as_fd(), level as i32, NO_OPTION, &[0; 4])?;
            Err(Errno::NOPROTOOPT)
        }
    }
}

/// Options that the host takes from whoever has a capability, and a few without pointers that are newer than the
/// list of native ones.
fn is_privileged(level: u32, name: u32) -> bool {
    match level {
        option::SOL_SOCKET => option::SOCKET_SET_PRIVILEGED.contains(&name),
        option::IPPROTO_IP => name == option::IP_TRANSPARENT,
        option::IPPROTO_IPV6 => option::IPV6_PRIVILEGED.contains(&name),
        option::IPPROTO_TCP => option::TCP_RECENT.contains(&name),
        _ => false,
    }
}

/// Set an option whose value holds no pointer, with the guest's capabilities.
fn set_for_guest(
    call: &mut Call<'_>,
    socket: BorrowedFd<'_>,
    length: usize,
) -> Result<Reply, Errno> {
    let mut value = vec![0; length.min(VALUE_MAX)];
    call.read_bytes(call.arg(3), &mut value)?;
    call.assume()?;
    call.servant.obey_limits()?;
    host::set_option(socket, call.int(1), call.int(2), &value)?;
    Ok(Reply::ZERO)
}

/// `EINVAL` for a value that is too short, `EFAULT`.
fn read_int(call: &Call<'_>, length: usize) -> Result<i32, Errno> {
    if length < size_of::<i32>() {
        return Err(Errno::INVAL);
    }
    call.read(call.arg(3))
}

/// What setting an option that is not for guests fails with.
fn refusal(level: u32, name: u32) -> Errno {
    match level {
        option::SOL_SOCKET => Errno::PERM,
        option::IPPROTO_TCP if name == option::TCP_ULP => Errno::NOENT,
        option::IPPROTO_TCP if option::TCP_EMULATED.contains(&name) => Errno::PERM,
        option::IPPROTO_IP
            if option::IP_EMULATED.contains(&name) || option::IP_NETFILTER.contains(&name) =>
        {
            Errno::PERM
        }
        option::IPPROTO_IPV6 if name != option::IPV6_ADDRFORM => Errno::PERM,
        _ => Errno::NOPROTOOPT,
    }
}

pub fn getsockopt(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let socket = socket_of(call)?;
    let room: i32 = call.read(call.arg(4))?;
    let room = usize::try_from(room).map_err(|_| Errno::INVAL)?;
    match (call.uint(1), call.uint(2)) {
        (option::SOL_SOCKET, option::SO_PEERCRED) => {
            let peer = Peer::of(call, socket.as_fd())?;
            answer(call, bytes_of(&peer.ucred()), room)
        }
        (option::SOL_SOCKET, option::SO_PEERGROUPS) => peer_groups(call, &socket, room),
        (option::SOL_SOCKET, option::SO_PEERPIDFD) => {
            if room < size_of::<i32>() {
                return Err(Errno::INVAL);
            }
            let fd = peer::donate_pidfd(call, socket.as_fd())?;
            answer(call, bytes_of(&fd), room)
        }
        (
            option::SOL_SOCKET,
            name @ (option::SO_TYPE | option::SO_DOMAIN | option::SO_PROTOCOL),
        ) if netlink::is_guests(socket.as_fd()) => {
            let value = netlink::identity(socket.as_fd(), name)?;
            answer(call, bytes_of(&value), room)
        }
        (SOL_NETLINK, _) if netlink::is_guests(socket.as_fd()) => {
            netlink::option(call, socket.as_fd(), call.int(2), room).map(|()| Reply::ZERO)
        }
        // No filter is attached: its length is 0.
        (option::SOL_SOCKET, option::SO_ATTACH_FILTER) => answer(call, &[], room),
        (
            option::SOL_SOCKET,
            option::SO_COOKIE | option::SO_TYPE | option::SO_DOMAIN | option::SO_PROTOCOL,
        )
        | (SOL_RAW, ICMP_FILTER | IPV6_CHECKSUM)
        | (SOL_ICMPV6, ICMPV6_FILTER)
        | (option::IPPROTO_IPV6, option::IPV6_ADDRFORM)
        | (option::IPPROTO_IP | option::IPPROTO_IPV6, SO_ORIGINAL_DST) => {
            pass_on(call, socket.as_fd(), room)
        }
        (SOL_PACKET, name) if packet::may_ask(name) => pass_on(call, socket.as_fd(), room),
        (option::IPPROTO_TCP, name) if option::TCP_RECENT.contains(&name) => {
            pass_on(call, socket.as_fd(), room)
        }
        (option::IPPROTO_IPV6, name) if option::IPV6_PRIVILEGED.contains(&name) => {
            pass_on(call, socket.as_fd(), room)
        }
        (option::SOL_SOCKET, option::SO_NETNS_COOKIE) if room != size_of::<u64>() => {
            Err(Errno::INVAL)
        }
        (option::IPPROTO_TCP, option::TCP_AO_REPAIR) => Err(Errno::PERM),
        (option::IPPROTO_IP, name) if option::IP_NETFILTER.contains(&name) => Err(Errno::PERM),
        (option::IPPROTO_IPV6, name) if option::IPV6_NETFILTER.contains(&name) => Err(Errno::PERM),
        (level, _) if !KNOWN_LEVELS.contains(&level) => {
            host::option(socket.as_fd(), level as i32, NO_OPTION, &mut [0; 4])
                .map_err(|(errno, _)| errno)?;
            Err(Errno::NOPROTOOPT)
        }
        _ => Err(Errno::NOPROTOOPT),
    }
}

/// Write as much of `value` as there is room for, and how much that is.
fn answer(call: &Call<'_>, value: &[u8], room: usize) -> Result<Reply, Errno> {
    let value = &value[..value.len().min(room)];
    if !value.is_empty() {
        call.write_bytes(call.arg(3), value)?;
    }
    call.write(call.arg(4), &(value.len() as i32))?;
    Ok(Reply::ZERO)
}

fn peer_groups(call: &Call<'_>, socket: &OwnedFd, room: usize) -> Result<Reply, Errno> {
    let groups = Peer::of(call, socket.as_fd())?
        .groups
        .ok_or(Errno::NODATA)?;
    let bytes: Vec<u8> = groups
        .iter()
        .flat_map(|group| group.to_ne_bytes())
        .collect();
    if bytes.len() > room {
        call.write(call.arg(4), &(bytes.len() as i32))?;
        return Err(Errno::RANGE);
    }
    answer(call, &bytes, room)
}

/// Ask the host, for options whose value is the same whoever asks.
fn pass_on(call: &Call<'_>, socket: BorrowedFd<'_>, room: usize) -> Result<Reply, Errno> {
    let mut value = vec![0; room.min(VALUE_MAX)];
    let length =
        host::option(socket, call.int(1), call.int(2), &mut value).map_err(|(errno, _)| errno)?;
    answer(call, &value[..length.min(value.len())], room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_loads_something_into_the_host_is_refused() {
        assert_eq!(
            refusal(option::SOL_SOCKET, option::SO_ATTACH_BPF),
            Errno::PERM
        );
        assert_eq!(refusal(option::IPPROTO_TCP, option::TCP_ULP), Errno::NOENT);
        assert_eq!(
            refusal(option::IPPROTO_TCP, option::TCP_REPAIR),
            Errno::PERM
        );
        assert_eq!(refusal(option::IPPROTO_TCP, 999), Errno::NOPROTOOPT);
        assert_eq!(refusal(option::IPPROTO_IP, 64), Errno::PERM);
        assert_eq!(refusal(option::IPPROTO_IP, u32::MAX), Errno::NOPROTOOPT);
        assert_eq!(
            refusal(option::IPPROTO_UDP, option::UDP_ENCAP),
            Errno::NOPROTOOPT
        );
        assert_eq!(refusal(263, 1), Errno::NOPROTOOPT);
    }
}
