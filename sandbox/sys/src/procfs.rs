//! A procfs instance of a guest's pid namespace, without a place in any mount tree.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::raw::syscall;

/// Turn a file system context (`fsopen("proc")` done by a process of that pid namespace) into a detached
/// mount: `FSCONFIG_CMD_CREATE` and fsmount(2). Needs CAP_SYS_ADMIN in the user namespace that owns the pid
/// namespace.
pub fn mount_context(context: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    const FSCONFIG_CMD_CREATE: u32 = 6;
    const FSMOUNT_CLOEXEC: u32 = 1;
    const MOUNT_ATTR_NOSUID: u32 = 2;
    const MOUNT_ATTR_NODEV: u32 = 4;
    const MOUNT_ATTR_NOEXEC: u32 = 8;
    let attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    // SAFETY: CREATE takes neither key nor value.
    unsafe {
        syscall!(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            FSCONFIG_CMD_CREATE,
            0,
            0,
            0
        )
    }?;
    // SAFETY: takes integers; the descriptor returned is new and ours alone.
    unsafe {
        syscall!(
            libc::SYS_fsmount,
            context.as_raw_fd(),
            FSMOUNT_CLOEXEC,
            attributes
        )
        .map(|fd| OwnedFd::from_raw_fd(fd as i32))
    }
}

/// As [`mount_context`], in the mount namespace `place`: whoever is not in the initial user namespace may have a new
/// procfs only where an unobstructed one is mounted already.
pub fn mount_context_in(place: BorrowedFd<'_>, context: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let mounting = || {
        crate::path::unshare_fs()?;
        crate::namespace::enter(place, crate::namespace::Namespaces::MOUNT)?;
        mount_context(context)
    };
    std::thread::scope(|scope| scope.spawn(mounting).join().unwrap_or(Err(Errno::AGAIN)))
}
