//! A procfs instance of a guest's pid namespace, without a place in any mount tree.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::raw::syscall;

/// Turn a configured file system context (`fsopen("proc")` and `FSCONFIG_CMD_CREATE` done by a process
/// of that pid namespace) into a detached mount, fsmount(2).
pub fn mount_context(context: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    const FSMOUNT_CLOEXEC: u32 = 1;
    const MOUNT_ATTR_NOSUID: u32 = 2;
    const MOUNT_ATTR_NODEV: u32 = 4;
    const MOUNT_ATTR_NOEXEC: u32 = 8;
    let attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
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
