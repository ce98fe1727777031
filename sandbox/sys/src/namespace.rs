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

/// As clone(2) spells it. Not one of [`Namespaces`]: among clone's flags this bit is part of the exit signal.
const TIME: i32 = 0x80;

/// Later children of this process are born into a new time namespace, time_namespaces(7), whose clocks are set
/// through /proc/self/timens_offsets until the first of them is.
pub fn unshare_time() -> Result<(), Errno> {
    // SAFETY: changes where this thread's children are born, no memory.
    unsafe { syscall!(libc::SYS_unshare, TIME) }?;
    Ok(())
}

/// Enter the time namespace of what `fd` names: a pidfd, or a namespace file. The caller must be single-threaded.
pub fn enter_time(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: takes integers; changes what this process reads from clocks, no memory.
    unsafe { syscall!(libc::SYS_setns, fd.as_raw_fd(), TIME) }?;
    Ok(())
}
