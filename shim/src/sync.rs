//! Locks that outlive a panic: one failed call must not take the whole shim down with it.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Lock `mutex`, also when a thread panicked while it held it: all states behind our locks are
/// valid between any two statements.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
