//! Threads whose calls must not fail because a signal came too early.
//!
//! Until the app kernel has received a notified call, the host lets any signal end it, with `ERESTARTSYS`
//! (`seccomp_do_user_notification` of kernel/seccomp.c). Behind a handler with SA_RESTART the call is made again and nobody
//! knows. Behind one without, fork(2) or stat(2) fail with `EINTR`, which Linux never lets them: a shell cannot fork because
//! another of its children ends. So threads that have such handlers are traced for the sake of the stop before each signal,
//! where an early end becomes one that always restarts (`ERESTARTNOINTR`): as if the signal had come before the call.
//!
//! Must never: change the end of a call that may end so, wait for a thread, or keep a guest from tracing one.

use caisson_abi::nr;
use caisson_sys::notify::{Listener, Notification};
use caisson_sys::surgery::held;
use caisson_sys::trace::{self, guest as host};
use rustix::io::Errno;

use crate::ignored::Signals;
use crate::repeat::{self, Repeat};

use super::tracees::{Tracees, signal_of};

const ERESTARTSYS: i64 = 512;
const ERESTARTNOINTR: i64 = 513;

/// Notified calls that the host, or another guest, may end with `EINTR` in the midst of them: what they do then is theirs.
const MAY_END: &[u32] = &[
    nr::wait4,
    nr::waitid,
    nr::connect,
    nr::sendto,
    nr::sendmsg,
    nr::sendmmsg,
    nr::semop,
    nr::semtimedop,
    nr::msgsnd,
    nr::msgrcv,
    nr::ioctl,
    nr::fcntl,
    nr::splice,
    nr::tee,
    nr::vmsplice,
    nr::sync,
    nr::ptrace,
];

/// How many are kept before those are looked for that ended unheard, in the execution of a program by another thread.
const MANY: usize = 64;

const OPTIONS: i32 = libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_TRACESYSGOOD;
/// The signal of a stop at a call.
const CALL_STOP: i32 = libc::SIGTRAP | 0x80;

#[derive(Debug)]
pub(super) struct Guard {
    /// It is the first thread of the sandbox's first process.
    is_first: bool,
    /// Its call has been ended by us, because a signal is due.
    interrupted: bool,
    /// Its call is made again after a signal that its process ignores.
    repeat: Option<Repeat>,
}

/// What becomes of a guarded thread that was let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Guard,
    Leave,
}

impl Tracees {
    /// Look after the signals of a thread that waits in a notified call. Nothing is done for one that is traced already:
    /// whether it was.
    pub fn guard(&mut self, tid: i32) -> Result<bool, Errno> {
        if self.by_tid.contains_key(&tid) || self.kicked.contains_key(&tid) {
            return Ok(false);
        }
        let thread = self.kernel.table.thread(tid).ok_or(Errno::SRCH)?;
        let pid = thread.process.pid;
        let seized = self.unless_executing(pid, None, || host::seize(tid, OPTIONS));
        match seized {
            // One that has it already, or it is stopped for a moment for another reason.
            Err(Errno::PERM) => return Ok(self.guards.contains_key(&tid)),
            result => result?,
        }
        if self.guards.len() >= MANY && self.guards.len().is_power_of_two() {
            let table = &self.kernel.table;
            self.guards.retain(|tid, _| table.thread(*tid).is_some());
        }
        let is_first = tid == pid && self.is_our_child(pid);
        self.guards.insert(
            tid,
            Guard {
                is_first,
                interrupted: false,
                repeat: None,
            },
        );
        Ok(true)
    }

    pub(super) fn guarded_event(&mut self, tid: i32, status: i32) {
        if !libc::WIFSTOPPED(status) {
            if self.guards.remove(&tid).is_some_and(|one| one.is_first) {
                self.tracer().collect(status);
            }
            return;
        }
        match (status >> 16, libc::WSTOPSIG(status)) {
            // Its handlers are gone.
            (libc::PTRACE_EVENT_EXEC, _) => {
                let former = host::message(tid).unwrap_or(0) as i32;
                self.unguard(former);
                let is_first = self.unguard(tid) || self.is_our_child(tid);
                self.detach(tid, 0, is_first);
            }
            (libc::PTRACE_EVENT_STOP, libc::SIGTRAP) => self.resume_guarded(tid, 0),
            // With its group.
            (libc::PTRACE_EVENT_STOP, _) => drop(trace::listen(tid)),
            (_, CALL_STOP) => {
                let known = self.end_repeat(tid);
                let next = known.and_then(|repeat| repeat.at_call(tid).ok().flatten());
                self.follow(tid, next);
                self.resume_guarded(tid, 0);
            }
            _ => self.guarded_signal(tid, signal_of(status)),
        }
    }

    fn guarded_signal(&mut self, tid: i32, signal: u64) {
        restart_early_end(tid, self.is_end_ours(tid, signal));
        let known = self.end_repeat(tid);
        let next = repeat::begin(tid, known, || self.ignores(tid, signal));
        self.follow(tid, next.ok().flatten());
        self.resume_guarded(tid, signal);
    }

    fn ignores(&self, tid: i32, signal: u64) -> bool {
        let signals = Signals::of(self.kernel.host_proc(), tid);
        signals.is_some_and(|signals| signals.ignore(signal as i32))
    }

    /// Whether we have ended the call that the thread comes from. Before the signal for which we did, those may come that its
    /// process ignores.
    fn is_end_ours(&mut self, tid: i32, signal: u64) -> bool {
        if !self.guards.get(&tid).is_some_and(|one| one.interrupted) {
            return false;
        }
        let more = self.ignores(tid, signal);
        if let Some(guard) = self.guards.get_mut(&tid) {
            guard.interrupted = more;
        }
        true
    }

    fn end_repeat(&mut self, tid: i32) -> Option<Repeat> {
        self.guards.get_mut(&tid)?.repeat.take()
    }

    fn follow(&mut self, tid: i32, repeat: Option<Repeat>) {
        if let Some(guard) = self.guards.get_mut(&tid) {
            guard.repeat = repeat;
        }
    }

    /// If it is dead, its end is still to come.
    fn resume_guarded(&self, tid: i32, signal: u64) {
        let repeat = self.guards.get(&tid).and_then(|guard| guard.repeat);
        let mode = match repeat {
            Some(repeat) if repeat.stops_at_call() => host::Resume::ToCall,
            _ => host::Resume::Continue,
        };
        host::resume(tid, mode, signal).ok();
    }

    /// Whether it was the sandbox's first.
    fn unguard(&mut self, tid: i32) -> bool {
        if let Some(thread) = self.kernel.table.thread(tid) {
            thread.set_guarded(false);
        }
        self.guards.remove(&tid).is_some_and(|one| one.is_first)
    }

    /// A guest is to trace it: it is let go at its next stop. Whether it was guarded.
    pub(super) fn give_up(&mut self, tid: i32) -> bool {
        if !self.guards.contains_key(&tid) {
            return false;
        }
        let is_first = self.unguard(tid);
        // It fails for one of whose end nothing was heard, and whose number another has now.
        let is_ours = trace::interrupt(tid).is_ok();
        if is_ours {
            self.kicked.insert(tid, is_first);
        }
        is_ours
    }

    /// Do `work`, which stops a thread that no guest traces and lets it go in the end.
    pub(super) fn relieved<R>(
        &mut self,
        tid: i32,
        then: Then,
        work: impl FnOnce() -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let (guard, kicked) = (self.guards.remove(&tid), self.kicked.remove(&tid));
        let result = self.passing(tid, work);
        if result.is_err() {
            // Nothing may have been done, and its stops are still to be heard of.
            self.kicked.extend(kicked.map(|is_first| (tid, is_first)));
            self.guards.extend(guard.map(|guard| (tid, guard)));
            return result;
        }
        if guard.is_some() {
            let again = then == Then::Guard && self.guard(tid) == Ok(true);
            if let Some(thread) = self.kernel.table.thread(tid) {
                thread.set_guarded(again);
            }
        }
        result
    }

    /// End the call of a guarded thread because a signal is due. `None` for any other thread.
    pub(super) fn interrupt_guarded(
        &mut self,
        listener: &Listener,
        call: &Notification,
    ) -> Option<Result<(), Errno>> {
        self.guards.get_mut(&call.tid)?.interrupted = true;
        Some(held::interrupt(listener, call))
    }
}

/// The thread is in the stop before a signal. `ours`: we have ended its call.
pub(super) fn restart_early_end(tid: i32, ours: bool) {
    let Ok(mut user) = trace::registers(tid) else {
        return;
    };
    if ours || !is_early_end(user.orig_rax, user.rax) {
        return;
    }
    user.rax = (-ERESTARTNOINTR).cast_unsigned();
    trace::set_registers(tid, &user).ok();
}

fn is_early_end(call: u64, value: u64) -> bool {
    let Ok(number) = u32::try_from(call) else {
        return false;
    };
    let served = caisson_abi::row(number).is_some_and(|row| {
        use caisson_abi::{Disposition, Otherwise};
        matches!(
            row.standard,
            Disposition::Emulate(_) | Disposition::NativeWhen(_, Otherwise::Emulate(_))
        )
    });
    value.cast_signed() == -ERESTARTSYS && served && !MAY_END.contains(&number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_that_nothing_may_end_are_made_again() {
        let early = (-ERESTARTSYS).cast_unsigned();
        for number in [nr::fork, nr::clone, nr::stat, nr::openat, nr::execve] {
            assert!(is_early_end(number.into(), early), "{number}");
        }
        for number in [nr::read, nr::wait4, nr::connect, nr::ioctl, nr::poll] {
            assert!(!is_early_end(number.into(), early), "{number}");
        }
        assert!(!is_early_end(nr::fork.into(), 7));
        assert!(!is_early_end(u64::MAX, early));
    }
}
