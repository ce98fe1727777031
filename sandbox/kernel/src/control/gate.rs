//! Processes that the runtime has made and that wait in their first exec until they may start.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

use crate::call::Call;
use crate::kernel::Kernel;
use crate::task::lock;
use crate::transport::{Incoming, Transport};

#[derive(Default)]
pub struct Gate {
    /// By host pid; `None` until the process has made its call.
    waiting: Mutex<HashMap<i32, Option<Held>>>,
    arrived: Condvar,
    /// How many are expected or wait: nearly always none, which is all that exec looks at.
    count: AtomicUsize,
}

#[derive(Clone)]
struct Held {
    incoming: Incoming,
    transport: Arc<dyn Transport>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl Gate {
    /// The next exec of this process is to be held.
    pub fn expect(&self, pid: i32) {
        lock(&self.waiting).insert(pid, None);
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// Take the call if its process is expected. Returns whether it was held.
    pub fn hold(&self, call: &Call<'_>) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let mut waiting = lock(&self.waiting);
        match waiting.get_mut(&call.incoming.tid) {
            Some(slot @ None) => {
                *slot = Some(Held {
                    incoming: call.incoming,
                    transport: call.transport.clone(),
                });
                self.arrived.notify_all();
                true
            }
            _ => false,
        }
    }

    /// Wait until the process has arrived.
    pub fn wait(&self, pid: i32, timeout: Duration) -> Option<()> {
        let waiting = lock(&self.waiting);
        let arrived =
            |map: &mut HashMap<i32, Option<Held>>| !matches!(map.get(&pid), Some(Some(_)));
        let (waiting, _) = self
            .arrived
            .wait_timeout_while(waiting, timeout, arrived)
            .unwrap_or_else(PoisonError::into_inner);
        matches!(waiting.get(&pid), Some(Some(_))).then_some(())
    }

    /// Work on the held call on this thread. `ESRCH` when there is none.
    pub fn with_waiting<R>(
        &self,
        kernel: &Arc<Kernel>,
        pid: i32,
        work: impl FnOnce(&mut Call<'_>) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let held = lock(&self.waiting)
            .get(&pid)
            .cloned()
            .flatten()
            .ok_or(Errno::SRCH)?;
        let thread = kernel.table.thread(pid).ok_or(Errno::SRCH)?;
        kernel.with_servant(|servant| {
            let mut call = Call {
                kernel,
                transport: &held.transport,
                thread,
                servant,
                incoming: held.incoming,
                line: None,
            };
            work(&mut call)
        })?
    }

    /// The call has been answered.
    pub fn forget(&self, pid: i32) {
        if lock(&self.waiting).remove(&pid).is_some() {
            self.count.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Let the exec fail: the process then ends.
    pub fn refuse(&self, pid: i32, errno: Errno) {
        if let Some(Some(held)) = lock(&self.waiting).get(&pid) {
            // The process may have been killed meanwhile.
            held.transport.answer_error(&held.incoming, errno).ok();
        }
        self.forget(pid);
    }
}
