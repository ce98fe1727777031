//! sendmsg(2) and sendmmsg(2). Most messages are the host's to send: the app kernel sends those whose
//! destination has its meaning in the container's tree, and those that carry credentials, for to the host all
//! guests are one user.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};

use super::address::Address;
use super::connect::socket_of;
use super::control::{self, Control};
use super::send::{self, Parcel, SIZE_MAX};
use crate::audited;
use crate::call::Call;
use crate::reply::Reply;

/// `struct msghdr` on x86-64, and its place in `struct mmsghdr`.
const HEADER_BYTES: usize = 56;
const ENTRY_BYTES: usize = 64;
/// `UIO_MAXIOV`, linux/uio.h: parts of a message, and messages of a call.
const PARTS: u64 = 1024;
/// `TASK_SIZE_MAX` with four levels of page tables, asm/page_64.h.
const TASK_SIZE: u64 = (1 << 47) - 4096;

/// The fields of a `struct msghdr` that sending looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    name: u64,
    name_length: i32,
    parts: u64,
    part_count: u64,
    control: u64,
    control_length: u64,
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Option<Header> {
        let word = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        Some(Header {
            name: word(0)?,
            name_length: word(8)? as i32,
            parts: word(16)?,
            part_count: word(24)?,
            control: word(32)?,
            control_length: word(40)?,
        })
    }

    fn has_name(&self) -> bool {
        self.name != 0 && self.name_length != 0
    }

    /// Whether anything is in it that the host could get wrong.
    fn is_plain(&self) -> bool {
        !self.has_name() && self.control_length == 0
    }
}

pub fn sendmsg(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let mut bytes = [0; HEADER_BYTES];
    let headers = match call.read_bytes(call.arg(1), &mut bytes) {
        Ok(()) => Header::parse(&bytes).into_iter().collect(),
        // The host says it, after it has looked at the descriptor.
        Err(_) => Vec::new(),
    };
    let flags = call.int(2);
    let Some(socket) = to_be_served(call, &headers)? else {
        return Ok(Reply::Continue(audited::sending()));
    };
    let parcel = pack(call, &socket, &headers[0], flags)?;
    send::deliver(call, socket, parcel)
}

pub fn sendmmsg(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let count = u64::from(call.uint(2)).min(PARTS) as usize;
    let mut bytes = vec![0; count * ENTRY_BYTES];
    let headers: Vec<Header> = match call.read_bytes(call.arg(1), &mut bytes) {
        Ok(()) => bytes
            .chunks_exact(ENTRY_BYTES)
            .filter_map(Header::parse)
            .collect(),
        Err(_) => Vec::new(),
    };
    let flags = call.int(3);
    let Some(socket) = to_be_served(call, &headers)? else {
        return Ok(Reply::Continue(audited::sending()));
    };
    let count = headers.len();
    send::deliver_many(call, socket, count, flags, move |call, socket, index| {
        pack(call, socket, &headers[index], flags)
    })
}

/// The socket, if one of the messages is the app kernel's to send.
fn to_be_served(call: &Call<'_>, headers: &[Header]) -> Result<Option<OwnedFd>, Errno> {
    let credentials_wanted = call
        .kernel
        .credentials_wanted
        .load(std::sync::atomic::Ordering::Acquire);
    if headers.is_empty() || (headers.iter().all(Header::is_plain) && !credentials_wanted) {
        return Ok(None);
    }
    let socket = socket_of(call)?;
    let serves = socket_domain(&socket)? == AddressFamily::UNIX
        && (credentials_wanted
            || headers.iter().any(|header| {
                header.has_name()
                    || control::names_credentials(call, header.control, header.control_length)
            }));
    Ok(serves.then_some(socket))
}

/// Everything of a message, copied once, in Linux's order.
fn pack(
    call: &mut Call<'_>,
    socket: &OwnedFd,
    header: &Header,
    flags: i32,
) -> Result<Parcel, Errno> {
    let address = if header.name == 0 || header.name_length == 0 {
        None
    } else {
        // Linux cuts longer names off here, and refuses them elsewhere.
        let length = match header.name_length {
            ..0 => return Err(Errno::INVAL),
            length => length.min(128),
        };
        Some(Address::read(call, header.name, length)?)
    };
    let data = gather(call, socket, header)?;
    let control = if header.control_length == 0 {
        Control::default()
    } else {
        Control::read(call, header.control, header.control_length)?
    };
    Ok(Parcel {
        data,
        flags,
        address,
        control,
    })
}

/// The data. A stream takes less than asked for, as it may on Linux.
fn gather(call: &Call<'_>, socket: &OwnedFd, header: &Header) -> Result<Vec<u8>, Errno> {
    if header.part_count > PARTS {
        return Err(Errno::MSGSIZE);
    }
    let mut parts = vec![0u8; header.part_count as usize * 16];
    call.read_bytes(header.parts, &mut parts)?;
    let mut data = Vec::new();
    let mut total = 0u64;
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
    let parts: Vec<(u64, u64)> = parts
        .chunks_exact(16)
        .map(|part| (word(&part[..8]), word(&part[8..])))
        .collect();
    for (at, length) in &parts {
        if *length > i64::MAX as u64 {
            return Err(Errno::INVAL);
        }
        if at.saturating_add(*length) > TASK_SIZE {
            return Err(Errno::FAULT);
        }
        total = total.saturating_add(*length);
    }
    if total > SIZE_MAX as u64 && socket_type(socket)? != SocketType::STREAM {
        return Err(Errno::MSGSIZE);
    }
    for (at, length) in parts {
        let start = data.len();
        let length = length.min((SIZE_MAX - start) as u64);
        data.resize(start + length as usize, 0);
        call.read_bytes(at, &mut data[start..])?;
    }
    Ok(data)
}
