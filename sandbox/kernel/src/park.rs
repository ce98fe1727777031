//! Calls that may block for long: they are finished by a thread of their own, so that the receiving
//! thread is free for the next call.
//!
//! A signal for the waiting guest thread ends its call early, as on Linux: a watcher looks for pending
//! signals of parked threads and interrupts both the worker and the guest's call.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::io::Errno;

use crate::call::Call;
use crate::ignored::Signals;
use crate::kernel::Kernel;
use crate::reply::Reply;
use crate::servant::Servant;
use crate::serve;
use crate::strace::{Line, Outcome};
use crate::task::{Thread, lock};
use crate::threads;
use crate::transport::{Incoming, Transport};

/// Most calls that may be parked at once in a sandbox; beyond that `EAGAIN`.
const MAX_PARKED: usize = 512;
const WORKER_STACK_BYTES: usize = 128 << 10;
/// How long a signal may wait for a parked call to notice it.
const SIGNAL_CHECK: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
pub struct Parked {
    calls: Mutex<HashMap<u64, Arc<Waiting>>>,
    watching: AtomicBool,
}

struct Waiting {
    incoming: Incoming,
    transport: Arc<dyn Transport>,
    thread: Arc<Thread>,
    /// The worker's host thread id, 0 until it runs.
    worker: std::sync::atomic::AtomicI32,
    /// Taken by whoever ends the call, by an answer or by an interruption: never both, or a descriptor could be put
    /// into a guest whose call is then made again.
    claimed: AtomicBool,
    /// When this holds, the worker is woken to look.
    due: Box<dyn Fn() -> bool + Send + Sync>,
    line: Mutex<Option<Line>>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting")
            .field("incoming", &self.incoming)
            .finish_non_exhaustive()
    }
}

impl Call<'_> {
    /// Finish this call on a thread of its own, where `work` may block. `work` must treat `EINTR` as the
    /// end of the call.
    pub fn park(
        &mut self,
        work: impl FnOnce(&mut Call<'_>) -> Result<Reply, Errno> + Send + 'static,
    ) -> Result<Reply, Errno> {
        self.park_until(|| false, work)
    }

    /// The same, where what `work` waits in is to be ended (`EINTR`) as soon as something else is `due` as well.
    pub fn park_until(
        &mut self,
        due: impl Fn() -> bool + Send + Sync + 'static,
        work: impl FnOnce(&mut Call<'_>) -> Result<Reply, Errno> + Send + 'static,
    ) -> Result<Reply, Errno> {
        let waiting = Arc::new(Waiting {
            incoming: self.incoming,
            transport: self.transport.clone(),
            thread: self.thread.clone(),
            worker: 0.into(),
            claimed: AtomicBool::new(false),
            due: Box::new(due),
            line: Mutex::new(self.line.take()),
        });
        {
            let mut calls = lock(&self.kernel.parked.calls);
            if calls.len() >= MAX_PARKED {
                return Err(Errno::AGAIN);
            }
            calls.insert(self.incoming.id, waiting.clone());
        }
        let kernel = self.kernel.clone();
        let spawned = threads::start("caisson-call", WORKER_STACK_BYTES, move || {
            finish(&kernel, &waiting, work);
        });
        if spawned.is_err() {
            lock(&self.kernel.parked.calls).remove(&self.incoming.id);
            return Err(Errno::AGAIN);
        }
        watch_signals(self.kernel);
        Ok(Reply::Answered)
    }
}

fn finish(
    kernel: &Arc<Kernel>,
    waiting: &Waiting,
    work: impl FnOnce(&mut Call<'_>) -> Result<Reply, Errno>,
) {
    // The thread that received the call may hold it back.
    caisson_sys::signal::block_wake(false);
    let tid = rustix::thread::gettid().as_raw_nonzero().get();
    waiting.worker.store(tid, Ordering::Release);
    let result = Servant::enlist(kernel).map(|mut servant| {
        let mut call = Call {
            kernel,
            transport: &waiting.transport,
            thread: waiting.thread.clone(),
            servant: &mut servant,
            incoming: waiting.incoming,
            line: None,
        };
        work(&mut call)
    });
    lock(&kernel.parked.calls).remove(&waiting.incoming.id);
    kernel.walkers.unregister(tid as u32);
    let line = lock(&waiting.line).take();
    if waiting.claimed.swap(true, Ordering::AcqRel) {
        // The guest's call has been answered by the interruption.
        if let (Some(strace), Some(line)) = (&kernel.strace, line) {
            strace.end(line, Outcome::Interrupted);
        }
        return;
    }
    serve::conclude(
        kernel,
        &waiting.transport,
        &waiting.incoming,
        result.and_then(|reply| reply),
        line,
    );
}

/// Have one thread look for signals as long as anything is parked.
fn watch_signals(kernel: &Arc<Kernel>) {
    if kernel.parked.watching.swap(true, Ordering::AcqRel) {
        return;
    }
    let watched = kernel.clone();
    let spawned = threads::start("caisson-signals", WORKER_STACK_BYTES, move || {
        loop {
            std::thread::sleep(SIGNAL_CHECK);
            let calls: Vec<_> = lock(&watched.parked.calls).values().cloned().collect();
            if calls.is_empty() {
                watched.parked.watching.store(false, Ordering::Release);
                // A call may have been parked between the look and the store.
                if lock(&watched.parked.calls).is_empty()
                    || watched.parked.watching.swap(true, Ordering::AcqRel)
                {
                    return;
                }
                continue;
            }
            calls
                .iter()
                .for_each(|waiting| check_one(&watched, waiting));
        }
    });
    if spawned.is_err() {
        kernel.parked.watching.store(false, Ordering::Release);
    }
}

fn check_one(kernel: &Kernel, waiting: &Waiting) {
    let gone = !waiting.transport.still_waits(&waiting.incoming);
    let worker = waiting.worker.load(Ordering::Acquire);
    let signals = Signals::of(&kernel.host_proc, waiting.incoming.tid);
    if !gone && !signals.is_some_and(|signals| signals.is_due()) {
        if worker != 0 && (waiting.due)() {
            caisson_sys::signal::wake_thread(worker);
        }
        return;
    }
    kernel.parked.end_one(waiting, !gone);
}

impl Parked {
    /// End a call whose worker runs, unless it has just been answered.
    fn end_one(&self, waiting: &Waiting, still_waits: bool) {
        let worker = waiting.worker.load(Ordering::Acquire);
        if worker == 0 {
            return;
        }
        if waiting.claimed.swap(true, Ordering::AcqRel) {
            // It was ended before and is still here: the signal came just before the worker began to wait, and was
            // lost. A worker that is in the list is alive while that is locked.
            let calls = lock(&self.calls);
            let listed = calls.get(&waiting.incoming.id);
            if listed.is_some_and(|listed| std::ptr::eq(&raw const **listed, waiting)) {
                caisson_sys::signal::wake_thread(worker);
            }
            return;
        }
        if still_waits
            && let Err(error) = waiting.transport.interrupt(&waiting.incoming)
            && error != Errno::SRCH
        {
            tracing::debug!(tid = waiting.incoming.tid, %error, "cannot interrupt a parked call");
        }
        caisson_sys::signal::wake_thread(worker);
    }

    /// End the parked call of a thread, if it has one, because its tracer wants it to stop: it restarts.
    pub fn interrupt(&self, tid: i32) {
        let found = lock(&self.calls)
            .values()
            .find(|waiting| waiting.incoming.tid == tid)
            .cloned();
        if let Some(waiting) = found {
            self.end_one(&waiting, waiting.transport.still_waits(&waiting.incoming));
        }
    }
}
