//! ptrace(2) among guests.
//!
//! One thread of the app kernel is the host's tracer of every guest that a guest traces ([`Tracees`]); what the guest's
//! tracer asks for is done by it, and what it sees of a tracee is told to the guest's tracer by wait(2). Guests never
//! trace each other on the host: the host would judge by the one user that all guests are, and whoever held the
//! one tracer that a thread can have would keep the app kernel from it (exec, `sandbox/sys/src/surgery.rs`).
//!
//! Must never: do for a guest a request of ptrace(2) that needs rights the guest has not (module `requests` lists those
//! that are done), wait for a guest that another guest may keep from going on, or leave the sandbox's secret in the
//! registers of a thread whose stop a guest sees.

mod errand;
mod events;
mod executing;
mod guards;
mod orphans;
mod requests;
mod tracee;
mod tracees;
mod waiting;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex};

use caisson_sys::credentials;
use rustix::io::Errno;

use crate::desk::Desk;
use crate::kernel::Kernel;
use crate::task::lock;
use crate::threads;

pub use requests::Request;
pub use tracee::Owner;
pub use tracees::{Attach, Tracees};
pub use waiting::{Asked, Outcome, Report, Which};

const STACK_BYTES: usize = 256 << 10;

/// What other threads know of a tracee.
#[derive(Clone, Copy, Debug)]
struct Watched {
    pid: i32,
    guest_tid: i32,
    /// Of its tracer, in the guests' pid namespace.
    tracer: i32,
    /// The tracer had no CAP_SYS_PTRACE when it attached.
    weak: bool,
}

#[derive(Default)]
pub struct Tracer {
    desk: Desk<Tracees>,
    started: Mutex<bool>,
    /// A guest has traced: until then nothing has to be looked up.
    used: AtomicBool,
    /// By host thread id.
    watched: Mutex<HashMap<i32, Watched>>,
    /// Host pids of processes that have traced.
    tracers: Mutex<HashSet<i32>>,
    /// How the sandbox's first process ended, as of wait(2), if that was waited for here.
    collected: AtomicI32,
    has_collected: AtomicBool,
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer")
            .field("used", &self.used)
            .finish_non_exhaustive()
    }
}

impl Tracer {
    /// Have the tracing thread do `job`, which must not wait for anybody else. The thread is started for the first one.
    pub fn ask<R: Send + 'static>(
        &self,
        kernel: &Arc<Kernel>,
        job: impl FnOnce(&mut Tracees) -> R + Send + 'static,
    ) -> Result<R, Errno> {
        self.start(kernel)?;
        self.desk.ask(job)
    }

    fn start(&self, kernel: &Arc<Kernel>) -> Result<(), Errno> {
        let mut started = lock(&self.started);
        if *started {
            return Ok(());
        }
        let kernel = kernel.clone();
        threads::start("caisson-trace", STACK_BYTES, move || {
            // Not as the guest for whom the thread was started.
            if let Err(error) = credentials::act_as_self() {
                tracing::warn!(%error, "tracing for guests goes on without rights");
            }
            let mut tracees = Tracees::new(&kernel);
            kernel.tracer.desk.open();
            loop {
                kernel.tracer.desk.serve(&mut tracees);
                if let Ok((tid, status)) = kernel.tracer.desk.wait(Tracees::wait) {
                    tracees.event(tid, status);
                }
            }
        })
        .map_err(|_| Errno::AGAIN)?;
        *started = true;
        self.used.store(true, Ordering::Release);
        Ok(())
    }

    /// The same where there may be nothing to do: only if a guest has ever traced.
    fn ask_if_used<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Tracees) -> R + Send + 'static,
    ) -> Option<R> {
        if !self.is_used() {
            return None;
        }
        self.desk.ask(job).ok()
    }

    /// Whether a guest has ever traced.
    pub fn is_used(&self) -> bool {
        self.used.load(Ordering::Acquire)
    }

    fn watched(&self, tid: i32) -> Option<Watched> {
        if !self.is_used() {
            return None;
        }
        lock(&self.watched).get(&tid).copied()
    }

    /// Whether the thread of host id `tid` is traced by a guest, so that nobody but the tracing thread can bring it to a
    /// stop.
    pub fn holds(&self, tid: i32) -> bool {
        self.watched(tid).is_some()
    }

    /// Whether the process has tracees, of whom its wait(2) may tell.
    pub fn is_tracer(&self, pid: i32) -> bool {
        self.is_used() && lock(&self.tracers).contains(&pid)
    }

    /// The process, in the guests' pid namespace, that traces a thread of that namespace; 0 for none: `TracerPid` of
    /// proc_pid_status(5).
    pub fn of_guest(&self, guest_tid: i32) -> i32 {
        if !self.is_used() {
            return 0;
        }
        let watched = lock(&self.watched);
        let found = watched.values().find(|one| one.guest_tid == guest_tid);
        found.map_or(0, |one| one.tracer)
    }

    /// Whether a program that the process executes can give it no rights, because one without CAP_SYS_PTRACE would see
    /// and change what it does with them: `LSM_UNSAFE_PTRACE`, security/commoncap.c.
    pub fn restrains(&self, pid: i32) -> bool {
        self.is_used()
            && lock(&self.watched)
                .values()
                .any(|one| one.pid == pid && one.weak)
    }

    /// A child of this process has ended, and the tracing thread has waited for it.
    fn collect(&self, status: i32) {
        self.collected.store(status, Ordering::Release);
        self.has_collected.store(true, Ordering::Release);
    }

    /// The wait status of the sandbox's first process, if it was traced when it ended.
    pub fn collected(&self) -> Option<i32> {
        let known = self.has_collected.load(Ordering::Acquire);
        known.then(|| self.collected.load(Ordering::Acquire))
    }

    /// A guest process has ended, and is in the table no more, or all of it but the thread `kept` has: its tracees are let
    /// go.
    pub fn process_gone(&self, pid: i32, kept: Option<i32>) {
        // First, so that an attachment under way sees either that its tracer is gone, or to it that there is one.
        let traced = match kept {
            None => self.is_used() && lock(&self.tracers).remove(&pid),
            Some(_) => self.is_tracer(pid),
        };
        if traced {
            self.ask_if_used(move |tracees| {
                tracees.tracer_gone(|owner| owner.pid == pid && Some(owner.tid) != kept);
            });
        }
    }

    /// A thread of a process ends.
    pub fn thread_gone(&self, pid: i32, tid: i32) {
        if self.is_tracer(pid) {
            self.ask_if_used(move |tracees| tracees.tracer_gone(|owner| owner.tid == tid));
        }
    }
}
