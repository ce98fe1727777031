//! Socket calls with addresses and options as plain bytes, exactly as a guest gave them.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::layout::Plain;
use crate::raw::{check, syscall};

/// Largest address that Linux takes, `sizeof(struct sockaddr_storage)`.
pub const ADDRESS_MAX: usize = 128;

/// bind(2).
pub fn bind(socket: BorrowedFd<'_>, address: &[u8]) -> Result<(), Errno> {
    check(
        // SAFETY: pointer and length describe the live slice, which the call only reads.
        unsafe {
            libc::bind(
                socket.as_raw_fd(),
                address.as_ptr().cast(),
                address.len() as u32,
            )
        }
        .into(),
    )?;
    Ok(())
}

/// connect(2).
pub fn connect(socket: BorrowedFd<'_>, address: &[u8]) -> Result<(), Errno> {
    check(
        // SAFETY: as for bind.
        unsafe {
            libc::connect(
                socket.as_raw_fd(),
                address.as_ptr().cast(),
                address.len() as u32,
            )
        }
        .into(),
    )?;
    Ok(())
}

/// sendto(2). Returns the bytes sent.
pub fn send_to(
    socket: BorrowedFd<'_>,
    data: &[u8],
    flags: i32,
    address: &[u8],
) -> Result<usize, Errno> {
    // SAFETY: both pointers and lengths describe live slices, which the call only reads.
    let sent = check(unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            data.as_ptr().cast(),
            data.len(),
            flags,
            address.as_ptr().cast(),
            address.len() as u32,
        )
    } as i64)?;
    Ok(sent as usize)
}

/// getsockopt(2): fills `value`, returns the length that the kernel reports. On `ERANGE` the length that
/// would be needed comes beside the error.
pub fn option(
    socket: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: &mut [u8],
) -> Result<usize, (Errno, usize)> {
    let mut length = value.len() as u32;
    // SAFETY: the pointer has room for `length` bytes, `length` is live; the call writes no more.
    let result = check(
        unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                level,
                name,
                value.as_mut_ptr().cast(),
                &raw mut length,
            )
        }
        .into(),
    );
    match result {
        Ok(_) => Ok(length as usize),
        Err(errno) => Err((errno, length as usize)),
    }
}

/// setsockopt(2) for options whose value holds no pointer.
pub fn set_option(
    socket: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: &[u8],
) -> Result<(), Errno> {
    check(
        // SAFETY: pointer and length describe the live slice. Callers name options without pointers in them.
        unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                level,
                name,
                value.as_ptr().cast(),
                value.len() as u32,
            )
        }
        .into(),
    )?;
    Ok(())
}

/// Ids that a call is made with, of this thread alone.
#[derive(Clone, Copy, Debug)]
pub struct EffectiveIds {
    pub uid: u32,
    pub gid: u32,
    pub fsuid: u32,
    pub fsgid: u32,
}

/// Supplementary groups during a call and after it.
#[derive(Clone, Copy, Debug)]
pub struct Groups<'a> {
    pub during: &'a [u32],
    pub after: &'a [u32],
}

/// Run `work` with these effective ids and groups in the thread's credentials, which is what a unix socket
/// keeps of its peer. Without `groups` those stay as they are. The thread's real and saved ids are root's.
///
/// A thread that cannot return to its own ids must not go on: then the process ends.
pub fn with_effective_ids<R>(
    ids: EffectiveIds,
    groups: Option<Groups<'_>>,
    work: impl FnOnce() -> R,
) -> Result<R, Errno> {
    const KEEP: u32 = u32::MAX;
    let set_groups = |choose: fn(Groups<'_>) -> &[u32]| match groups {
        Some(groups) => crate::credentials::set_groups(choose(groups)),
        None => Ok(()),
    };
    set_groups(|groups| groups.during)?;
    // SAFETY: integers only. The raw calls concern this thread alone, unlike libc's wrappers.
    let taken = unsafe {
        syscall!(libc::SYS_setresgid, KEEP, ids.gid, KEEP)
            .and_then(|_| syscall!(libc::SYS_setresuid, KEEP, ids.uid, KEEP))
    };
    // Setting an effective id sets the one for files as well.
    crate::credentials::set_fsgid(ids.fsgid);
    crate::credentials::set_fsuid(ids.fsuid);
    let result = taken.map(|_| work());
    // SAFETY: as above.
    let back = unsafe {
        syscall!(libc::SYS_setresuid, KEEP, 0, KEEP)
            .and_then(|_| syscall!(libc::SYS_setresgid, KEEP, 0, KEEP))
    };
    crate::credentials::set_fsgid(ids.fsgid);
    crate::credentials::set_fsuid(ids.fsuid);
    if back.is_err() || set_groups(|groups| groups.after).is_err() {
        std::process::abort();
    }
    result
}

/// getsockname(2), as plain bytes.
pub fn name(socket: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    address(|at, length| {
        // SAFETY: `at` has room for `*length` bytes, both live for the call.
        unsafe { libc::getsockname(socket.as_raw_fd(), at, length) }
    })
}

/// getpeername(2), as plain bytes.
pub fn peer_name(socket: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    address(|at, length| {
        // SAFETY: as for name.
        unsafe { libc::getpeername(socket.as_raw_fd(), at, length) }
    })
}

fn address(ask: impl FnOnce(*mut libc::sockaddr, *mut u32) -> i32) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0u8; ADDRESS_MAX];
    let mut length = ADDRESS_MAX as u32;
    check(ask(bytes.as_mut_ptr().cast(), &raw mut length).into())?;
    bytes.truncate(length as usize);
    Ok(bytes)
}

/// What goes beside the data of [`send_message`].
#[derive(Debug, Default)]
pub struct Ancillary<'a> {
    /// `SCM_RIGHTS`, one message for each list.
    pub rights: Vec<Vec<BorrowedFd<'a>>>,
    /// `SCM_CREDENTIALS`, with a pid of this process' namespace.
    pub credentials: Option<libc::ucred>,
}

impl Ancillary<'_> {
    /// The control messages, in a buffer aligned as they must be.
    fn bytes(&self) -> Vec<u64> {
        let mut control = Vec::new();
        let mut put = |kind: i32, content: &[u8]| {
            let length = size_of::<libc::cmsghdr>() + content.len();
            let mut message = (length as u64).to_ne_bytes().to_vec();
            message.extend_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
            message.extend_from_slice(&kind.to_ne_bytes());
            message.extend_from_slice(content);
            message.resize(length.next_multiple_of(8), 0);
            let words = message.chunks_exact(8);
            control.extend(words.map(|word| {
                u64::from_ne_bytes([
                    word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7],
                ])
            }));
        };
        for list in &self.rights {
            let numbers: Vec<u8> = list
                .iter()
                .flat_map(|fd| fd.as_raw_fd().to_ne_bytes())
                .collect();
            put(libc::SCM_RIGHTS, &numbers);
        }
        if let Some(credentials) = &self.credentials {
            put(libc::SCM_CREDENTIALS, crate::layout::bytes_of(credentials));
        }
        control
    }
}

/// sendmsg(2). An empty address is none. Returns the bytes sent.
pub fn send_message(
    socket: BorrowedFd<'_>,
    data: &[u8],
    flags: i32,
    address: &[u8],
    ancillary: &Ancillary<'_>,
) -> Result<usize, Errno> {
    let control = ancillary.bytes();
    let mut part = libc::iovec {
        iov_base: data.as_ptr() as *mut libc::c_void,
        iov_len: data.len(),
    };
    // SAFETY: an all-zero msghdr is a valid one without name, data and control messages.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    if !address.is_empty() {
        message.msg_name = address.as_ptr() as *mut libc::c_void;
        message.msg_namelen = address.len() as u32;
    }
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if !control.is_empty() {
        message.msg_control = control.as_ptr() as *mut libc::c_void;
        message.msg_controllen = size_of_val(control.as_slice());
    }
    // SAFETY: all pointers of the header describe live slices with their lengths, which the call only reads.
    let sent =
        check(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) } as i64)?;
    Ok(sent as usize)
}

/// A request of netdevice(7) or arp(7) whose argument holds no pointers. `argument` is a `struct ifreq` or, longer, a
/// `struct arpreq`.
pub fn interface_request(
    socket: BorrowedFd<'_>,
    request: u32,
    argument: &mut [u8],
) -> Result<(), Errno> {
    if argument.len() < size_of::<libc::ifreq>() {
        return Err(Errno::INVAL);
    }
    // SAFETY: these requests read and write no more than the structure that `argument` has room for.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), request.into(), argument.as_mut_ptr()) };
    check(result.into()).map(drop)
}

/// `struct rtentry`, linux/route.h.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Route {
    pub before: [u64; 11],
    /// Address of the interface's name, or 0.
    pub device: u64,
    pub after: [u64; 3],
}

// SAFETY: integers only, without padding.
unsafe impl Plain for Route {}

/// `SIOCADDRT` or `SIOCDELRT`, with `device` as the interface instead of what `route` points to.
pub fn route_request(
    socket: BorrowedFd<'_>,
    request: u32,
    route: &mut Route,
    device: Option<&[u8; libc::IFNAMSIZ]>,
) -> Result<(), Errno> {
    route.device = device.map_or(0, |name| name.as_ptr() as u64);
    // SAFETY: the request reads a struct rtentry, which `route` is, and the name, which is live and ends with a NUL.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), request.into(), route) };
    check(result.into()).map(drop)
}
