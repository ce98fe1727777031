//! Processes that the runtime has made: they wait in their first exec until they may start, and the runtime then waits
//! until their program is in place.

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
    /// By host pid.
    waiting: Mutex<HashMap<i32, Stage>>,
    moved: Condvar,
    /// How many there are: nearly always none, which is all that exec looks at.
    count: AtomicUsize,
}

enum Stage {
    /// It has not made its call yet.
    Expected,
    Held(Held),
    /// Its program is in place, or it has ended.
    Passed,
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
        lock(&self.waiting).insert(pid, Stage::Expected);
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// Take the call if its process is expected. Returns whether it was held.
    pub fn hold(&self, call: &Call<'_>) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let mut waiting = lock(&self.waiting);
        match waiting.get_mut(&call.incoming.tid) {
            Some(stage @ Stage::Expected) => {
                *stage = Stage::Held(Held {
                    incoming: call.incoming,
                    transport: call.transport.clone(),
                });
                self.moved.notify_all();
                true
            }
            _ => false,
        }
    }

    /// Wait until the process has arrived.
    pub fn wait(&self, pid: i32, timeout: Duration) -> Option<()> {
        self.wait_for(pid, timeout, |stage| matches!(stage, Stage::Held(_)))
    }

    /// Wait until the process, whose call has been answered, has passed.
    pub fn wait_passed(&self, pid: i32, timeout: Duration) -> Option<()> {
        self.wait_for(pid, timeout, |stage| matches!(stage, Stage::Passed))
    }

    fn wait_for(&self, pid: i32, timeout: Duration, is: fn(&Stage) -> bool) -> Option<()> {
        let waiting = lock(&self.waiting);
        let is_not = |map: &mut HashMap<i32, Stage>| !map.get(&pid).is_some_and(is);
        let (waiting, _) = self
            .moved
            .wait_timeout_while(waiting, timeout, is_not)
            .unwrap_or_else(PoisonError::into_inner);
        waiting.get(&pid).is_some_and(is).then_some(())
    }

    /// Whether the runtime waits for the program of this process.
    pub fn holds(&self, pid: i32) -> bool {
        self.count.load(Ordering::Acquire) != 0 && lock(&self.waiting).contains_key(&pid)
    }

    /// The program of this process is in place, or it has ended.
    pub fn pass(&self, pid: i32) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        if let Some(stage) = lock(&self.waiting).get_mut(&pid) {
            *stage = Stage::Passed;
            self.moved.notify_all();
        }
    }

    /// Work on the held call on this thread. `ESRCH` when there is none.
    pub fn with_waiting<R>(
        &self,
        kernel: &Arc<Kernel>,
        pid: i32,
        work: impl FnOnce(&mut Call<'_>) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let held = match lock(&self.waiting).get(&pid) {
            Some(Stage::Held(held)) => held.clone(),
            _ => return Err(Errno::SRCH),
        };
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

    /// Nobody waits for the process any more.
    pub fn forget(&self, pid: i32) {
        if lock(&self.waiting).remove(&pid).is_some() {
            self.count.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Let the exec fail: the process then ends.
    pub fn refuse(&self, pid: i32, errno: Errno) {
        if let Some(Stage::Held(held)) = lock(&self.waiting).get(&pid) {
            // The process may have been killed meanwhile.
            held.transport.answer_error(&held.incoming, errno).ok();
        }
        self.forget(pid);
    }
}
