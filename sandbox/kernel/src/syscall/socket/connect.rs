//! bind(2), listen(2), connect(2) and getsockname(2).

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use caisson_sys::path::set_cwd;
use caisson_sys::socket as host;
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;
use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;

use super::address::Address;
use super::{identity, netlink};
use crate::call::Call;
use crate::reply::Reply;

pub fn bind(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let socket = socket_of(call)?;
    let address = Address::read(call, call.arg(1), call.int(2))?;
    if netlink::is_one(socket.as_fd(), &address) {
        return netlink::bind(socket.as_fd(), &address).map(|()| Reply::ZERO);
    }
    call.assume_mask();
    on_address(call, &address, |address| {
        host::bind(socket.as_fd(), address)
    })?;
    Ok(Reply::ZERO)
}

/// Here and not on the host, because peers are to see the guest as the one who listens.
pub fn listen(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let socket = call.fd(call.int(0))?;
    let backlog = call.int(1);
    if netlink::is_guests(socket.as_fd()) {
        return Err(Errno::OPNOTSUPP);
    }
    call.assume()?;
    identity::with(
        &call.kernel.ids,
        &call.credentials(),
        call.process().guest_pid,
        || rustix::net::listen(&socket, backlog),
    )??;
    Ok(Reply::ZERO)
}

pub fn connect(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let socket = socket_of(call)?;
    let address = Address::read(call, call.arg(1), call.int(2))?;
    if netlink::is_one(socket.as_fd(), &address) {
        return netlink::connect(call, socket.as_fd(), &address).map(|()| Reply::ZERO);
    }
    let may_wait = !fcntl_getfl(&socket)?.contains(OFlags::NONBLOCK)
        && socket_type(&socket)? != SocketType::DGRAM;
    if may_wait {
        call.park(move |call| make_connection(call, &socket, &address))
    } else {
        make_connection(call, &socket, &address)
    }
}

/// As the host has it, but for the netlink sockets that are none to the host.
pub fn getsockname(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let socket = socket_of(call)?;
    let room: i32 = call.read(call.arg(2))?;
    let room = usize::try_from(room).map_err(|_| Errno::INVAL)?;
    let name = netlink::name(socket.as_fd())?;
    call.write_bytes(call.arg(1), &name[..name.len().min(room)])?;
    call.write(call.arg(2), &(name.len() as i32))?;
    Ok(Reply::ZERO)
}

fn make_connection(
    call: &mut Call<'_>,
    socket: &OwnedFd,
    address: &Address,
) -> Result<Reply, Errno> {
    let credentials = call.credentials();
    let (pid, unix) = (call.process().guest_pid, address.is_unix());
    let kernel = call.kernel.clone();
    on_address(call, address, |address| {
        if unix {
            identity::with(&kernel.ids, &credentials, pid, || {
                host::connect(socket.as_fd(), address)
            })?
        } else {
            host::connect(socket.as_fd(), address)
        }
    })?;
    Ok(Reply::ZERO)
}

/// The guest's descriptor; `EBADF`, `ENOTSOCK`, before the address is looked at.
pub(super) fn socket_of(call: &Call<'_>) -> Result<OwnedFd, Errno> {
    let fd = call.fd(call.int(0))?;
    match socket_type(&fd) {
        Ok(_) => Ok(fd),
        Err(error) => Err(error),
    }
}

/// Run `operation` with the address as the guest gave it, with the guest's rights, and, where a path is in
/// it, where that path has its meaning.
pub(super) fn on_address<R>(
    call: &mut Call<'_>,
    address: &Address,
    mut operation: impl FnMut(&[u8]) -> Result<R, Errno>,
) -> Result<R, Errno> {
    let Some(path) = address.path() else {
        call.assume()?;
        return operation(address.bytes());
    };
    let result = call.on_path(libc::AT_FDCWD, &path, |at: BorrowedFd<'_>, name: &CStr| {
        if !name.to_bytes().starts_with(b"/") {
            set_cwd(at)?;
        }
        if name == path.as_c_str() {
            // To the byte, so that getsockname(2) gives back what was given.
            operation(address.bytes())
        } else {
            operation(Address::of_path(name)?.bytes())
        }
    });
    // Not to keep a directory of the guest busy.
    set_cwd(call.kernel.host_proc())?;
    result
}
