//! Entering a user namespace for good.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::namespace::{self, Namespaces};

/// Enter the user namespace and become its root, without supplementary groups where they can be dropped. `between` runs
/// when the rights are the namespace's already but the user is still the caller's. The calling process must have a
/// single thread.
///
/// The process stays dumpable, so that it can use its own /proc: it must not hold secrets of other namespaces.
pub fn enter_as_root<R>(user: BorrowedFd<'_>, between: impl FnOnce() -> R) -> Result<R, Errno> {
    namespace::enter(user, Namespaces::USER)?;
    let result = between();
    let root = (rustix::fs::Uid::ROOT, rustix::fs::Gid::ROOT);
    match set_thread_groups(&[]) {
        // Where an unprivileged user has made the namespace, user_namespaces(7).
        Err(Errno::PERM) => {}
        other => other?,
    }
    set_thread_res_gid(root.1, root.1, root.1)?;
    set_thread_res_uid(root.0, root.0, root.0)?;
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)?;
    Ok(result)
}
