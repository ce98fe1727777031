//! sendto(2) with a destination address, and what sendmsg(2) leaves to the app kernel.

use std::os::fd::{AsFd, OwnedFd};

use caisson_sys::{signal, socket as host};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;
use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};

use super::address::Address;
use super::connect::{on_address, socket_of};
use super::control::Control;
use super::netlink;
use crate::audited;
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
pub(super) const SIZE_MAX: usize = 1 << 20;

/// `offsetof(struct mmsghdr, msg_len)` and its size.
const SENT_AT: u64 = 56;
const ENTRY_BYTES: u64 = 64;

/// A message, copied from the guest.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) data: Vec<u8>,
    pub(super) flags: i32,
    pub(super) address: Option<Address>,
    pub(super) control: Control,
}

pub fn sendto(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let socket = socket_of(call)?;
    if call.arg(4) == 0 {
        return netlink_request(call, &socket);
    }
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
    let parcel = Parcel {
        data,
        flags: call.int(3),
        address: Some(address),
        control: Control::default(),
    };
    deliver(call, socket, parcel)
}

/// A send without address, of the length that requests for lists have: some C libraries take the answer with a
/// call that does not wait, so it is there before the request returns.
fn netlink_request(call: &mut Call<'_>, socket: &OwnedFd) -> Result<Reply, Errno> {
    if !netlink::is_guests(socket.as_fd()) {
        return Ok(Reply::Continue(audited::sending()));
    }
    let mut data = vec![0; call.arg(2).min(SIZE_MAX as u64) as usize];
    call.read_bytes(call.arg(1), &mut data)?;
    netlink::send(call, socket.as_fd(), None, &data).map(|sent| Reply::Value(sent as i64))
}

/// Send one message, on a thread of its own if that has to wait.
pub(super) fn deliver(
    call: &mut Call<'_>,
    socket: OwnedFd,
    parcel: Parcel,
) -> Result<Reply, Errno> {
    let value = |sent: usize| Reply::Value(sent as i64);
    let waits = waits(&socket, parcel.flags)?;
    if waits && parcel.flags & libc::MSG_FASTOPEN != 0 {
        return call.park(move |call| send(call, &socket, &parcel, 0).map(value));
    }
    match send(call, &socket, &parcel, libc::MSG_DONTWAIT) {
        Err(Errno::AGAIN) if waits => {
            call.park(move |call| send(call, &socket, &parcel, 0).map(value))
        }
        result => result.map(value),
    }
}

/// sendmmsg(2): messages until one fails; its error only if it is the first.
pub(super) fn deliver_many(
    call: &mut Call<'_>,
    socket: OwnedFd,
    count: usize,
    flags: i32,
    pack: impl Fn(&mut Call<'_>, &OwnedFd, usize) -> Result<Parcel, Errno> + Send + 'static,
) -> Result<Reply, Errno> {
    let waits = waits(&socket, flags)?;
    let mut done = 0;
    match send_from(call, &socket, &mut done, count, libc::MSG_DONTWAIT, &pack) {
        Err(Errno::AGAIN) if waits => call.park(move |call| {
            let result = send_from(call, &socket, &mut done, count, 0, &pack);
            counted(done, result)
        }),
        result => counted(done, result),
    }
}

fn counted(done: usize, result: Result<(), Errno>) -> Result<Reply, Errno> {
    match result {
        Err(error) if done == 0 => Err(error),
        _ => Ok(Reply::Value(done as i64)),
    }
}

fn send_from(
    call: &mut Call<'_>,
    socket: &OwnedFd,
    done: &mut usize,
    count: usize,
    more: i32,
    pack: &impl Fn(&mut Call<'_>, &OwnedFd, usize) -> Result<Parcel, Errno>,
) -> Result<(), Errno> {
    while *done < count {
        let parcel = pack(call, socket, *done)?;
        let sent = send(call, socket, &parcel, more)?;
        let at = call.arg(1) + *done as u64 * ENTRY_BYTES + SENT_AT;
        call.write(at, &(sent as u32))?;
        *done += 1;
    }
    Ok(())
}

fn waits(socket: &OwnedFd, flags: i32) -> Result<bool, Errno> {
    Ok(flags & libc::MSG_DONTWAIT == 0 && !fcntl_getfl(socket)?.contains(OFlags::NONBLOCK))
}

fn send(call: &mut Call<'_>, socket: &OwnedFd, parcel: &Parcel, more: i32) -> Result<usize, Errno> {
    let to_netlink = parcel
        .address
        .as_ref()
        .is_none_or(|address| address.is_netlink());
    if to_netlink && netlink::is_guests(socket.as_fd()) {
        return netlink::send(call, socket.as_fd(), parcel.address.as_ref(), &parcel.data);
    }
    let flags = parcel.flags & FLAGS | more | libc::MSG_NOSIGNAL;
    let ancillary = if socket_domain(socket)? == AddressFamily::UNIX {
        parcel.control.ancillary(call)
    } else {
        host::Ancillary::default()
    };
    let post = |address: &[u8]| {
        host::send_message(socket.as_fd(), &parcel.data, flags, address, &ancillary)
    };
    let sent = match &parcel.address {
        Some(address) => on_address(call, address, post),
        None => {
            call.assume()?;
            post(&[])
        }
    };
    // The signal for a broken pipe is the guest's, not ours.
    if sent == Err(Errno::PIPE) && parcel.flags & libc::MSG_NOSIGNAL == 0 {
        signal::send_to_thread(call.process().pid, call.incoming.tid, libc::SIGPIPE).ok();
    }
    sent
}
