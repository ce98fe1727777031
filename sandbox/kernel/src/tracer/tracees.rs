//! All traced threads; only the tracing thread has them.

use std::collections::HashMap;
use std::sync::Arc;

use caisson_sys::trace::{self, guest as host};
use caisson_sys::{namespace::ThreadIds, signal};
use rustix::io::Errno;

use super::guards::Guard;
use super::tracee::{Exec, Owner, Scene, State, Stop, Tracee};
use super::waiting::Waits;
use super::{Tracer, Watched};
use crate::kernel::Kernel;
use crate::task::{lock, read_proc};

/// What the host tells us of any tracee, beside what its tracer wants to be told.
const OWN_OPTIONS: i32 =
    libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_EXITKILL;

/// Options that are passed on to the host. What is not here it never gets, above all not PTRACE_O_SUSPEND_SECCOMP, for which
/// the app kernel has the rights.
const HOST_OPTIONS: i32 = libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEVFORKDONE
    | libc::PTRACE_O_TRACEEXIT;

/// How a guest wants to trace a thread.
#[derive(Clone, Copy, Debug)]
pub struct Attach {
    pub owner: Owner,
    /// Host ids of the target.
    pub tid: i32,
    pub pid: i32,
    pub guest_tid: i32,
    pub seized: bool,
    pub options: i32,
    /// Stop it, as PTRACE_ATTACH does.
    pub stop: bool,
}

pub struct Tracees {
    pub(super) kernel: Arc<Kernel>,
    pub(super) by_tid: HashMap<i32, Tracee>,
    /// Threads to be let go at their next stop, of whom nobody is told: those of tracers that are interrupted in wait(2),
    /// and such as nobody traces any more. Whether it is the first one of the sandbox's first process.
    pub(super) kicked: HashMap<i32, bool>,
    /// Threads that no guest traces, see module `guards`.
    pub(super) guards: HashMap<i32, Guard>,
    /// Stops of threads whose makers have not told of them yet.
    pub(super) early: HashMap<i32, i32>,
    /// By host pid of the tracer.
    pub(super) waits: HashMap<i32, Waits>,
    stops: u64,
}

pub(super) fn host_options(options: i32) -> i32 {
    OWN_OPTIONS | options & HOST_OPTIONS
}

impl Tracees {
    pub(super) fn new(kernel: &Arc<Kernel>) -> Tracees {
        Tracees {
            kernel: kernel.clone(),
            by_tid: HashMap::new(),
            kicked: HashMap::new(),
            guards: HashMap::new(),
            early: HashMap::new(),
            waits: HashMap::new(),
            stops: 0,
        }
    }

    /// What happens next to any of them. `EINTR`: look after everything else.
    pub(super) fn wait() -> Result<(i32, i32), Errno> {
        match host::wait_any() {
            // Nobody is traced: sleep until woken.
            Err(Errno::CHILD) => rustix::event::poll(&mut [], None).and(Err(Errno::INTR)),
            result => result,
        }
    }

    pub(super) fn tracer(&self) -> &Tracer {
        &self.kernel.tracer
    }

    /// Begin to trace. `EPERM` for a thread that is traced already, `EAGAIN` while its process executes a program or the
    /// thread is stopped for another reason.
    pub fn attach(&mut self, attach: &Attach) -> Result<(), Errno> {
        let tid = attach.tid;
        if self.by_tid.contains_key(&tid) {
            return Err(Errno::PERM);
        }
        if self.kicked.contains_key(&tid) || self.give_up(tid) {
            return Err(Errno::AGAIN);
        }
        self.prepare_tracer(attach.owner)?;
        self.unless_executing(attach.pid, None, || {
            host::seize(tid, host_options(attach.options))
        })
        .map_err(|error| match error {
            // Somebody of ours has it for a moment.
            Errno::PERM => Errno::AGAIN,
            error => error,
        })?;
        let parent = self.parent_of(attach.pid);
        let is_child = parent == Some(attach.owner.pid);
        let is_ours = self.is_our_child(attach.pid);
        self.add(Tracee {
            tid,
            pid: attach.pid,
            guest_tid: attach.guest_tid,
            owner: attach.owner,
            is_child,
            is_ours,
            seized: attach.seized,
            options: attach.options,
            mode: host::Resume::Continue,
            state: State::Running,
            message: None,
            own_trap: false,
            interrupted: false,
            repeats: false,
            wants_trap: false,
            is_new: false,
            leaving: false,
            vfork_child: 0,
            exec: Exec::No,
        });
        // One that had stopped with its group is in a stop of ours already, and its tracer may use that without waiting.
        if let Ok(Some(status)) = host::wait_now(tid) {
            self.event(tid, status);
        }
        if attach.stop {
            signal::send_to_thread(attach.pid, tid, libc::SIGSTOP)?;
        }
        Ok(())
    }

    /// Seize a thread of the process `pid`, which is `work`, unless one of its threads, other than `except`, executes a
    /// program (`EAGAIN`): the host would have us wait for the end of that, which may have to wait for threads that only
    /// we reap.
    pub(super) fn unless_executing<R>(
        &self,
        pid: i32,
        except: Option<i32>,
        work: impl FnOnce() -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let process = self.kernel.table.process(pid).ok_or(Errno::SRCH)?;
        // Whoever begins to execute one needs this.
        let executing = lock(&process.exec);
        let wait = executing.as_ref().is_some_and(|plan| {
            !plan.taken && Some(plan.tid) != except && self.is_in_exec(plan.tid)
        });
        if wait {
            return Err(Errno::AGAIN);
        }
        work()
    }

    /// Stop a thread that no guest traces, for a call of its own that waits for its answer.
    pub(super) fn passing<R>(
        &self,
        tid: i32,
        work: impl FnOnce() -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let thread = self.kernel.table.thread(tid).ok_or(Errno::SRCH)?;
        match self.unless_executing(thread.process.pid, Some(tid), work) {
            // The other one ends it.
            Err(Errno::AGAIN) => Err(Errno::SRCH),
            result => result,
        }
    }

    pub(super) fn add(&mut self, tracee: Tracee) {
        let watched = Watched {
            pid: tracee.pid,
            guest_tid: tracee.guest_tid,
            tracer: tracee.owner.guest_pid,
            weak: !tracee.owner.may_trace_all,
        };
        // Of an earlier thread of this number, whose end was not told.
        self.guards.remove(&tracee.tid);
        lock(&self.tracer().watched).insert(tracee.tid, watched);
        self.by_tid.insert(tracee.tid, tracee);
    }

    pub(super) fn forget(&mut self, tid: i32) -> Option<Tracee> {
        lock(&self.tracer().watched).remove(&tid);
        self.by_tid.remove(&tid)
    }

    /// Whether the thread is inside a native execve(2) or execveat(2), or may be.
    fn is_in_exec(&self, tid: i32) -> bool {
        matches!(
            self.native_call(tid),
            Some(NativeCall::Unknown | NativeCall::Is(libc::SYS_execve | libc::SYS_execveat))
        )
    }

    /// The call that a thread sleeps in.
    pub(super) fn native_call(&self, tid: i32) -> Option<NativeCall> {
        let text = read_proc(self.kernel.host_proc(), &format!("{tid}/syscall")).ok()?;
        let first = text.split_ascii_whitespace().next()?;
        Some(first.parse().map_or(NativeCall::Unknown, NativeCall::Is))
    }

    /// Host pid of the parent of the process.
    pub(super) fn parent_of(&self, pid: i32) -> Option<i32> {
        let status = read_proc(self.kernel.host_proc(), &format!("{pid}/status")).ok()?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        parent.trim().parse().ok()
    }

    /// Whether it is the sandbox's first process.
    pub(super) fn is_our_child(&self, pid: i32) -> bool {
        self.parent_of(pid) == Some(std::process::id() as i32)
    }

    pub(super) fn ids(&self, tid: i32) -> Result<ThreadIds, Errno> {
        self.kernel.ids_of(tid)
    }

    /// The tracer is to see this stop.
    pub(super) fn present(&mut self, tid: i32, status: i32, scene: Scene) {
        self.stops += 1;
        let number = self.stops;
        let Some(tracee) = self.by_tid.get_mut(&tid) else {
            return;
        };
        tracee.state = State::Stopped(Stop {
            status,
            reported: false,
            scene,
            number,
        });
        let owner = tracee.owner;
        self.tell(owner.pid);
    }

    /// Let it go on as it was let go on last. One that is dead will be heard of.
    pub(super) fn go_on(&mut self, tid: i32) {
        if let Some(tracee) = self.by_tid.get_mut(&tid) {
            tracee.state = State::Running;
            host::resume(tid, tracee.mode, 0).ok();
        }
    }

    /// The tracers that `is_meant` names are gone: their tracees are let go, or killed if that was wanted.
    pub(super) fn tracer_gone(&mut self, is_meant: impl Fn(&Owner) -> bool) {
        let left: Vec<i32> = self
            .by_tid
            .values()
            .filter(|tracee| is_meant(&tracee.owner))
            .map(|tracee| tracee.tid)
            .collect();
        for tid in left {
            self.release(tid);
        }
        self.waits.retain(|pid, waits| {
            waits.forget(&is_meant);
            !waits.is_empty() || lock(&self.kernel.tracer.tracers).contains(pid)
        });
    }

    fn release(&mut self, tid: i32) {
        let Some(tracee) = self.by_tid.get_mut(&tid) else {
            return;
        };
        if tracee.has(libc::PTRACE_O_EXITKILL) {
            signal::send_to_thread(tracee.pid, tid, libc::SIGKILL).ok();
        }
        match tracee.stop() {
            Some(stop) => {
                let signal = pending_signal(stop);
                self.leave(tid, signal);
            }
            None => {
                tracee.leaving = true;
                trace::interrupt(tid).ok();
            }
        }
    }

    /// Trace it no more; it is in a stop.
    pub(super) fn leave(&mut self, tid: i32, signal: u64) {
        let Some(tracee) = self.forget(tid) else {
            return;
        };
        let mut late = Vec::new();
        if let Exec::Loading(loading) = tracee.exec {
            if let Some(mask) = loading.mask {
                trace::set_signal_mask(tid, mask).ok();
            }
            late = loading.late;
        }
        self.detach(tid, signal, tracee.is_ours && tid == tracee.pid);
        for signal in late {
            signal::send_to_thread(tracee.pid, tid, signal).ok();
        }
    }

    /// Trace a thread no more that is in a stop.
    pub(super) fn detach(&mut self, tid: i32, signal: u64, is_first: bool) {
        if host::detach(tid, signal) == Err(Errno::SRCH) {
            // Killed: another stop, or its end, is still to come.
            self.kicked.insert(tid, is_first);
        }
    }
}

/// The signal that a thread has been stopped for, to be delivered when it is let go.
fn pending_signal(stop: Stop) -> u64 {
    let is_signal = stop.scene == Scene::Real && libc::WSTOPSIG(stop.status) != libc::SIGTRAP;
    if is_signal { signal_of(stop.status) } else { 0 }
}

/// The signal that is about to be delivered in a stop with this status, 0 for a stop of another kind.
pub(super) fn signal_of(status: i32) -> u64 {
    let signal = libc::WSTOPSIG(status);
    if status >> 16 == 0 && signal & 0x80 == 0 {
        signal as u64
    } else {
        0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NativeCall {
    /// It runs.
    Unknown,
    Is(i64),
}
