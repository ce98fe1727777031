//! sendto(2) with a destination address. Without one it is native.

use std::os::fd::{AsFd, OwnedFd};

use caisson_sys::{signal, socket as host};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;
use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;

use super::address::Address;
use super::connect::{on_address, socket_of};
use super::netlink;
use crate::call::Call;
use crate::reply::Reply;

/// Flags that are passed on. The others mean nothing to send calls, or (`MSG_ZEROCOPY`) would tie the
/// host's work to memory of ours.
const FLAGS: i32 = libc::MSG_OOB
    | libc::MSG_DONTROUTE
    | libc::MSG_DONTWAIT
    | libc::MSG_EOR
    | libc::MSG_CONFIRM
    | libc::MSG_MORE
    | libc::MSG_NOSIGNAL
    | libc::MSG_FASTOPEN;

/// Bytes sent in one go: above every datagram that the host's default limits let through. A stream takes
/// less than asked for, as it may on Linux.
const SIZE_MAX: usize = 1 << 20;

pub fn sendto(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let socket = socket_of(call)?;
    let wanted = usize::try_from(call.arg(2)).unwrap_or(usize::MAX);
    let address = Address::read(call, call.arg(4), call.int(5))?;
    if wanted > SIZE_MAX && socket_type(&socket)? != SocketType::STREAM {
        return Err(Errno::MSGSIZE);
    }
    let size = wanted.min(SIZE_MAX);
    let mut data = vec![0; size];
    if size > 0 {
        call.read_bytes(call.arg(1), &mut data)?;
    }
    let flags = call.int(3) & FLAGS;
    let waits =
        flags & libc::MSG_DONTWAIT == 0 && !fcntl_getfl(&socket)?.contains(OFlags::NONBLOCK);
    if waits && flags & libc::MSG_FASTOPEN != 0 {
        return call.park(move |call| send(call, &socket, &data, flags, &address));
    }
    match send(call, &socket, &data, flags | libc::MSG_DONTWAIT, &address) {
        Err(Errno::AGAIN) if waits => {
            call.park(move |call| send(call, &socket, &data, flags, &address))
        }
        result => result,
    }
}

fn send(
    call: &mut Call<'_>,
    socket: &OwnedFd,
    data: &[u8],
    flags: i32,
    address: &Address,
) -> Result<Reply, Errno> {
    if netlink::is_one(socket.as_fd(), address) {
        return host::send_to(socket.as_fd(), data, flags | libc::MSG_NOSIGNAL, &[])
            .map(|sent| Reply::Value(sent as i64));
    }
    // The signal for a broken pipe is the guest's, not ours.
    let sent = on_address(call, address, |address| {
        host::send_to(socket.as_fd(), data, flags | libc::MSG_NOSIGNAL, address)
    });
    if sent == Err(Errno::PIPE) && flags & libc::MSG_NOSIGNAL == 0 {
        signal::send_to_thread(call.process().pid, call.incoming.tid, libc::SIGPIPE).ok();
    }
    sent.map(|sent| Reply::Value(sent as i64))
}
