//! Landlock as a second wall: a guest may open nothing by name, landlock(7).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::raw::syscall;

/// What a rule set shuts its processes off from, beside the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The file system alone.
    Files,
    /// Signals to processes outside of the domain as well (Linux 6.12), those of the same session included, which
    /// another user's id does not keep from SIGCONT: kill(2).
    FilesAndSignals,
}

/// The first version of Landlock's interface that knows [`Scope::FilesAndSignals`].
pub const SCOPES_SIGNALS: u64 = 6;

/// The version of this kernel's Landlock interface, landlock(7). `None` where the kernel has no Landlock.
pub fn version() -> Result<Option<u64>, Errno> {
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
    match version {
        Ok(version) => Ok(Some(version as u64)),
        Err(Errno::NOSYS | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A rule set that handles every file system right this kernel knows and grants none. `None` where the
/// kernel has no Landlock.
pub fn deny_all(scope: Scope) -> Result<Option<OwnedFd>, Errno> {
    let Some(version) = version()? else {
        return Ok(None);
    };
    let handled: u64 = match version {
        1 => (1 << 13) - 1,
        2 => (1 << 14) - 1,
        3 | 4 => (1 << 15) - 1,
        _ => (1 << 16) - 1,
    };
    // struct landlock_ruleset_attr: handled_access_fs, handled_access_net, scoped. Older kernels know less of it.
    const SCOPE_SIGNAL: u64 = 1 << 1;
    let attributes = [handled, 0, SCOPE_SIGNAL];
    let scoped = scope == Scope::FilesAndSignals && version >= SCOPES_SIGNALS;
    let length = if scoped { attributes.len() } else { 1 };
    create(&attributes[..length]).map(Some)
}

/// A rule set that leaves files alone and shuts off what else Landlock knows: TCP (Linux 6.7), and from 6.12 signals and
/// abstract unix sockets outside of the domain. `None` where the kernel knows none of these.
pub fn deny_all_but_files() -> Result<Option<OwnedFd>, Errno> {
    const NET: u64 = 4;
    const BIND_AND_CONNECT: u64 = 0b11;
    const ABSTRACT_SOCKETS_AND_SIGNALS: u64 = 0b11;
    let attributes = match version()? {
        Some(version) if version >= SCOPES_SIGNALS => {
            vec![0, BIND_AND_CONNECT, ABSTRACT_SOCKETS_AND_SIGNALS]
        }
        Some(version) if version >= NET => vec![0, BIND_AND_CONNECT],
        _ => return Ok(None),
    };
    create(&attributes).map(Some)
}

/// `attributes` are the fields of `struct landlock_ruleset_attr`, as many as this kernel knows.
fn create(attributes: &[u64]) -> Result<OwnedFd, Errno> {
    // SAFETY: the attribute lives and is as long as said.
    let fd = unsafe {
        syscall!(
            libc::SYS_landlock_create_ruleset,
            attributes.as_ptr(),
            size_of_val(attributes),
            0u32
        )
    }?;
    // SAFETY: the descriptor is new and ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Put this thread, and those that it makes from now on, under `ruleset`, for good. Needs no_new_privs.
pub fn restrict_self(ruleset: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: landlock_restrict_self takes a descriptor and flags; it touches no memory.
    unsafe { syscall!(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0u32) }?;
    Ok(())
}
