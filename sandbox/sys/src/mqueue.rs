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

#[cfg(test)]
mod tests {
    use super::{Opening, open, unlink};
    use rustix::io::Errno;

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
