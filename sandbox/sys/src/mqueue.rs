//! POSIX message queues of the calling process' IPC namespace, mq_overview(7).

use std::ffi::CStr;
use std::os::fd::{FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::layout::Plain;
use crate::raw::syscall;

/// `struct mq_attr`, linux/mqueue.h.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Attributes {
    pub flags: i64,
    pub max_messages: i64,
    pub message_bytes: i64,
    pub messages: i64,
    reserved: [i64; 4],
}

// SAFETY: eight words, as the kernel declares them; every value is valid.
unsafe impl Plain for Attributes {}

/// How a queue is to be opened.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// `O_*`.
    pub flags: i32,
    /// Permissions of a new queue.
    pub mode: u32,
    /// Sizes of a new queue; `None`: the namespace's defaults.
    pub attributes: Option<Attributes>,
}

/// mq_open(2): the kernel's own, whose names have no leading slash.
pub fn open(name: &CStr, opening: &Opening) -> Result<OwnedFd, Errno> {
    let attributes = opening
        .attributes
        .as_ref()
        .map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the name is NUL-terminated; the attributes are null or a live `struct mq_attr`, which is only read.
    let fd = unsafe {
        syscall!(
            libc::SYS_mq_open,
            name.as_ptr(),
            opening.flags,
            opening.mode,
            attributes
        )
    }?;
    // SAFETY: the call returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// mq_unlink(2).
pub fn unlink(name: &CStr) -> Result<(), Errno> {
    // SAFETY: the name is NUL-terminated.
    unsafe { syscall!(libc::SYS_mq_unlink, name.as_ptr()) }?;
    Ok(())
}

/// `NOTIFY_COOKIE_LEN`, linux/mqueue.h.
pub const COOKIE_BYTES: usize = 32;
/// `sizeof(struct sigevent)`, asm-generic/siginfo.h.
pub const EVENT_BYTES: usize = 64;

/// A call of mq_notify(2) with `SIGEV_THREAD`: the cookie will come through a netlink socket.
#[derive(Clone, Copy, Debug)]
pub struct Notice {
    pub queue: i32,
    /// Number of the socket in the calling process. It is not needed behind the call.
    pub socket: i32,
    pub cookie: [u8; COOKIE_BYTES],
    /// What the filter lets the call through for, in the unused sixth argument.
    pub mark: u32,
}

impl Notice {
    /// Bytes of memory that the call takes.
    pub const LENGTH: usize = EVENT_BYTES + COOKIE_BYTES;

    /// What is to be in that memory, at `address`: the event, and behind it the cookie.
    pub fn memory(&self, address: u64) -> [u8; Notice::LENGTH] {
        let mut bytes = [0; Notice::LENGTH];
        let cookie_at = address + EVENT_BYTES as u64;
        bytes[..8].copy_from_slice(&cookie_at.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.socket.to_ne_bytes());
        bytes[12..16].copy_from_slice(&libc::SIGEV_THREAD.to_ne_bytes());
        bytes[EVENT_BYTES..].copy_from_slice(&self.cookie);
        bytes
    }

    pub fn arguments(&self, address: u64) -> [u64; 6] {
        [self.queue as u64, address, 0, 0, 0, self.mark.into()]
    }
}

#[cfg(test)]
mod tests {
    use super::{Notice, Opening, open, unlink};
    use rustix::io::Errno;

    #[test]
    fn the_cookie_lies_behind_the_event() {
        let notice = Notice {
            queue: 3,
            socket: 5,
            cookie: *b"0123456789abcdef0123456789abcdef",
            mark: 7,
        };
        let bytes = notice.memory(0x1000);
        assert_eq!(bytes[..8], 0x1040u64.to_ne_bytes());
        assert_eq!(bytes[8..16], [5, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(bytes[0x40..], notice.cookie);
        assert_eq!(notice.arguments(0x1000), [3, 0x1000, 0, 0, 0, 7]);
    }

    #[test]
    fn a_queue_is_there_until_it_is_unlinked() {
        let name = std::ffi::CString::new(format!("caisson-test-{}", std::process::id()))
            .expect("a name without NUL");
        let mut opening = Opening {
            flags: libc::O_RDWR | libc::O_CREAT | libc::O_EXCL,
            mode: 0o600,
            attributes: None,
        };
        open(&name, &opening).expect("a new queue");
        assert_eq!(open(&name, &opening).err(), Some(Errno::EXIST));
        unlink(&name).expect("unlink");
        opening.flags = libc::O_RDWR;
        assert_eq!(open(&name, &opening).err(), Some(Errno::NOENT));
        assert_eq!(unlink(&name), Err(Errno::NOENT));
    }
}
