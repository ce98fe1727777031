//! The calls that are at work on threads, so that the shim does not end before they are answered: a kill
//! is answered when the runtime has returned, and until then containerd may have seen the exit, deleted
//! the container and asked for the shutdown.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::sync::lock;

#[derive(Default)]
pub(crate) struct Calls {
    at_work: Mutex<usize>,
    fewer: Condvar,
}

/// One call, until it is dropped.
pub(crate) struct Call(Arc<Calls>);

impl Calls {
    pub(super) fn begin(self: &Arc<Self>) -> Call {
        *lock(&self.at_work) += 1;
        Call(Arc::clone(self))
    }

    /// Wait until none is at work, but not longer than `limit`.
    pub(crate) fn finish(&self, limit: Duration) {
        let at_work = lock(&self.at_work);
        let _done_or_late = self
            .fewer
            .wait_timeout_while(at_work, limit, |at_work| *at_work > 0)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        *lock(&self.0.at_work) -= 1;
        self.0.fewer.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_waits_for_calls_but_not_for_ever() {
        let calls = Arc::new(Calls::default());
        let call = calls.begin();
        calls.finish(Duration::from_millis(10));
        let answered = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(call);
        });
        calls.finish(Duration::from_secs(60));
        assert_eq!(*lock(&calls.at_work), 0);
        answered.join().unwrap();
    }
}
