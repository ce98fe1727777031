//! Namespaces, namespaces(7).

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::raw::syscall;

bitflags::bitflags! {
    /// Kinds of namespaces, with clone(2)'s bits.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Namespaces: u32 {
        const MOUNT = libc::CLONE_NEWNS as u32;
        const CGROUP = libc::CLONE_NEWCGROUP as u32;
        const UTS = libc::CLONE_NEWUTS as u32;
        const IPC = libc::CLONE_NEWIPC as u32;
        const USER = libc::CLONE_NEWUSER as u32;
        const PID = libc::CLONE_NEWPID as u32;
        const NET = libc::CLONE_NEWNET as u32;
    }
}

/// Enter the namespaces `kinds` of what `fd` names: a pidfd, or one namespace file.
pub fn enter(fd: BorrowedFd<'_>, kinds: Namespaces) -> Result<(), Errno> {
    // SAFETY: setns takes integers; it changes what this thread sees of the system, no memory.
    unsafe { syscall!(libc::SYS_setns, fd.as_raw_fd(), kinds.bits()) }?;
    Ok(())
}

/// Make new namespaces for this thread (for PID: for its future children), unshare(2).
pub fn unshare(kinds: Namespaces) -> Result<(), Errno> {
    // SAFETY: only namespace bits can be in `kinds`; no memory or descriptor table is affected.
    unsafe { syscall!(libc::SYS_unshare, kinds.bits()) }?;
    Ok(())
}
