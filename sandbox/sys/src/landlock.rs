//! Landlock as a second wall: a guest may open nothing by name, landlock(7).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::raw::syscall;

/// A rule set that handles every file system right this kernel knows and grants none. `None` where the
/// kernel has no Landlock.
pub fn deny_all() -> Result<Option<OwnedFd>, Errno> {
    const VERSION: u32 = 1; // LANDLOCK_CREATE_RULESET_VERSION
    // SAFETY: with the VERSION flag the attribute pointer must be null and nothing is read.
    let version = unsafe {
        syscall!(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u64>(),
            0usize,
            VERSION
        )
    };
    let version = match version {
        Ok(version) => version,
        Err(Errno::NOSYS | Errno::OPNOTSUPP) => return Ok(None),
        Err(error) => return Err(error),
    };
    let handled: u64 = match version {
        1 => (1 << 13) - 1,
        2 => (1 << 14) - 1,
        3 | 4 => (1 << 15) - 1,
        _ => (1 << 16) - 1,
    };
    let attributes = [handled];
    // SAFETY: the attribute is the first, 8-byte version of struct landlock_ruleset_attr and lives.
    let fd = unsafe {
        syscall!(
            libc::SYS_landlock_create_ruleset,
            attributes.as_ptr(),
            8usize,
            0u32
        )
    }?;
    // SAFETY: the descriptor is new and ours alone.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
}

/// Put this thread, and those that it makes from now on, under `ruleset`, for good. Needs no_new_privs.
pub fn restrict_self(ruleset: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: landlock_restrict_self takes a descriptor and flags; it touches no memory.
    unsafe { syscall!(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0u32) }?;
    Ok(())
}
