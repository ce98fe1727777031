//! Whose name a thread acts in: files that it makes belong to the user and group of the request.
//!
//! Who may do what has been decided by the guest's kernel (`default_permissions`), which alone knows the caller's groups
//! and capabilities. The server's capabilities, few as they are, are the same whoever asks.

use std::cell::Cell;

use caisson_sys::credentials;

/// CAP_FSETID of linux/capability.h, as a bit.
const FSETID: u64 = 1 << 4;

thread_local! {
    /// File system user and group of this thread.
    static CURRENT: Cell<Option<(u32, u32)>> = const { Cell::new(None) };
}

/// Act for this user and group from now on.
pub(crate) fn assume(uid: u32, gid: u32) {
    if CURRENT.get() != Some((uid, gid)) {
        credentials::set_fsgid(gid);
        credentials::set_fsuid(uid);
        CURRENT.set(Some((uid, gid)));
    }
}

/// Do something to a file's content for somebody who may not keep its set-user-id bits by doing so.
pub(crate) fn without_fsetid<T>(act: impl FnOnce() -> T) -> T {
    // A thread that could not drop it has none.
    let Ok((effective, permitted)) = credentials::capabilities() else {
        return act();
    };
    let dropped = effective & FSETID != 0
        && credentials::set_capabilities(effective & !FSETID, permitted).is_ok();
    let outcome = act();
    if dropped {
        // What is permitted can be made effective.
        credentials::set_capabilities(effective, permitted).ok();
    }
    outcome
}
