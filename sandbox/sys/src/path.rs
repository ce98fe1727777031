//! The root directory and working directory of one thread.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::raw::syscall;

/// Give this thread a root and working directory of its own (`unshare(CLONE_FS)`).
pub fn unshare_fs() -> Result<(), Errno> {
    // SAFETY: CLONE_FS only separates this thread's root, working directory and umask; no memory or
    // descriptor table is affected.
    unsafe { syscall!(libc::SYS_unshare, libc::CLONE_FS) }?;
    Ok(())
}

/// Make `directory` the root (and working) directory of this thread.
pub fn set_root(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::process::fchdir(directory)?;
    rustix::process::chroot(c".")
}

/// Where the path of a unix socket that `bind` or `connect` is given relative to.
pub fn set_cwd(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::process::fchdir(directory)
}
