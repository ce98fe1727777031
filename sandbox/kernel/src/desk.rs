//! Where other threads leave work for a thread that traces, because ptrace belongs to a thread.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use caisson_sys::signal;
use rustix::io::Errno;

use crate::task::lock;

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// The tracing thread sleeps in wait(2) and is woken by a signal. One that comes just before it sleeps is lost, so it
/// is sent again.
const WAKE_AGAIN: Duration = Duration::from_millis(1);

/// `S` is what the tracing thread knows of those it traces.
pub struct Desk<S> {
    jobs: Mutex<VecDeque<Job<S>>>,
    /// Host thread id of the tracing thread, 0 until there is one.
    tracer: AtomicI32,
    closed: AtomicBool,
}

fn own_tid() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

impl<S> Default for Desk<S> {
    fn default() -> Desk<S> {
        Desk {
            jobs: Mutex::default(),
            tracer: AtomicI32::default(),
            closed: AtomicBool::default(),
        }
    }
}

impl<S: 'static> Desk<S> {
    /// The calling thread is the tracing one. Whether it was not known yet.
    pub fn open(&self) -> bool {
        let first = self.tracer.swap(own_tid(), Ordering::AcqRel) == 0;
        if first {
            signal::block_wake(true);
        }
        first
    }

    pub fn is_mine(&self) -> bool {
        self.tracer.load(Ordering::Acquire) == own_tid()
    }

    /// Do what was left, on the tracing thread.
    pub fn serve(&self, state: &mut S) {
        loop {
            let Some(job) = lock(&self.jobs).pop_front() else {
                return;
            };
            job(state);
        }
    }

    /// Sleep, so that [`Desk::ask`] can wake: at other times its signal would end the host's calls made for a guest.
    pub fn wait<R>(&self, sleep: impl FnOnce() -> Result<R, Errno>) -> Result<R, Errno> {
        signal::block_wake(false);
        let result = if lock(&self.jobs).is_empty() {
            sleep()
        } else {
            Err(Errno::INTR)
        };
        signal::block_wake(true);
        result
    }

    /// Nothing is done any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        lock(&self.jobs).clear();
    }

    /// Have the tracing thread do `job`. `ESRCH` when there is nobody left to trace.
    pub fn ask<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut S) -> R + Send + 'static,
    ) -> Result<R, Errno> {
        let (sender, receiver) = sync_channel(1);
        lock(&self.jobs).push_back(Box::new(move |state: &mut S| {
            // Whoever asked waits.
            sender.send(job(state)).ok();
        }));
        loop {
            if self.closed.load(Ordering::Acquire) {
                lock(&self.jobs).clear();
            }
            let tracer = self.tracer.load(Ordering::Acquire);
            if tracer != 0 {
                signal::wake_thread(tracer);
            }
            match receiver.recv_timeout(WAKE_AGAIN) {
                Ok(result) => return Ok(result),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Errno::SRCH),
            }
        }
    }
}
