//! Calls that are made again after signals that their process ignores (`sandbox/kernel/src/repeat.rs`).

use caisson_sys::trace;
use rustix::io::Errno;

use crate::ignored::Signals;
use crate::repeat::{self, Repeat};

use super::tracees::{State, Tracees};

impl Tracees {
    /// A signal is about to be delivered.
    pub(super) fn signalled(&mut self, tid: i32, signal: i32) -> Result<(), Errno> {
        let known = self.end_repeat(tid);
        let proc = &self.host_proc;
        let ignores = || Signals::of(proc, tid).is_some_and(|signals| signals.ignore(signal));
        match repeat::begin(tid, known, ignores)? {
            None => trace::resume(tid, signal),
            Some(repeat) => {
                self.follow(tid, repeat)?;
                trace::resume_to_call_with(tid, signal)
            }
        }
    }

    /// The thread has stopped at the beginning or the end of a call. Whether that is one that is made again, which then
    /// goes on.
    pub(super) fn repeats(&mut self, tid: i32) -> Result<bool, Errno> {
        let Some(repeat) = self.end_repeat(tid) else {
            return Ok(false);
        };
        self.go_on_with(tid, repeat.at_call(tid)?)?;
        Ok(true)
    }

    /// A call that was delivered is left to the host, and is followed again if it was before.
    pub(super) fn go_on_repeating(
        &mut self,
        tid: i32,
        repeat: Option<Repeat>,
    ) -> Result<(), Errno> {
        self.go_on_with(tid, repeat.map(Repeat::to_its_end))
    }

    fn go_on_with(&mut self, tid: i32, repeat: Option<Repeat>) -> Result<(), Errno> {
        let Some(repeat) = repeat else {
            return trace::resume(tid, 0);
        };
        self.follow(tid, repeat)?;
        if repeat.stops_at_call() {
            trace::resume_to_call(tid)
        } else {
            trace::resume(tid, 0)
        }
    }

    fn follow(&mut self, tid: i32, repeat: Repeat) -> Result<(), Errno> {
        self.tracee(tid)?.state = State::Repeating(repeat);
        Ok(())
    }

    /// What was known of the call that is made again; whatever else happens to the thread ends that.
    pub(super) fn end_repeat(&mut self, tid: i32) -> Option<Repeat> {
        let state = &mut self.tracee(tid).ok()?.state;
        let State::Repeating(repeat) = *state else {
            return None;
        };
        *state = State::Running;
        Some(repeat)
    }
}
