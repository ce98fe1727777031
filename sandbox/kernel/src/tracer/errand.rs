//! Answers to calls for which their thread is brought to a stop, where a tracer of the guest's holds it, or held it a
//! moment ago.

use caisson_sys::mqueue::Notice;
use caisson_sys::notify::{Cloexec, Listener, Notification};
use caisson_sys::signal;
use caisson_sys::surgery::{self, held};
use rustix::io::Errno;

use super::guards::Then;
use super::tracee::Tracee;
use super::tracees::Tracees;

impl Tracees {
    pub fn answer_terminal(
        &mut self,
        listener: &Listener,
        call: &Notification,
        fd: i32,
    ) -> Result<(), Errno> {
        if !self.by_tid.contains_key(&call.tid) {
            return self.relieved(call.tid, Then::Guard, || {
                surgery::answer_terminal(listener, call, fd)
            });
        }
        self.in_call(call.tid)?;
        let (_, late) = held::answer_terminal(listener, call, fd)?;
        self.errand_done(call, late);
        Ok(())
    }

    pub fn answer_with_received(
        &mut self,
        listener: &Listener,
        call: &Notification,
        socket: i32,
        cloexec: Cloexec,
    ) -> Result<i64, Errno> {
        if !self.by_tid.contains_key(&call.tid) {
            return self.relieved(call.tid, Then::Guard, || {
                surgery::answer_with_received(listener, call, socket, cloexec)
            });
        }
        self.in_call(call.tid)?;
        let (result, late) = held::answer_with_received(listener, call, socket, cloexec)?;
        self.errand_done(call, late);
        Ok(result)
    }

    pub fn answer_with_notice(
        &mut self,
        listener: &Listener,
        call: &Notification,
        notice: &Notice,
    ) -> Result<i64, Errno> {
        if !self.by_tid.contains_key(&call.tid) {
            return self.relieved(call.tid, Then::Guard, || {
                surgery::answer_with_notice(listener, call, notice)
            });
        }
        self.in_call(call.tid)?;
        let (result, late) = held::answer_with_notice(listener, call, notice)?;
        self.errand_done(call, late);
        Ok(result)
    }

    /// A tracee whose call waits for its answer. `ESRCH` if it has been killed and its tracer sees its end.
    pub(super) fn in_call(&mut self, tid: i32) -> Result<&mut Tracee, Errno> {
        self.by_tid
            .get_mut(&tid)
            .filter(|tracee| tracee.stop().is_none())
            .ok_or(Errno::SRCH)
    }

    fn errand_done(&mut self, call: &Notification, late: held::Late) {
        if let Some(tracee) = self.by_tid.get(&call.tid) {
            for signal in late {
                signal::send_to_thread(tracee.pid, call.tid, signal).ok();
            }
        }
        self.call_ends(call.tid, call.nr);
    }

    /// Its tracer is not told that the thread enters the same call again.
    pub fn clone_with(
        &mut self,
        listener: &Listener,
        call: &Notification,
        flags: u64,
    ) -> Result<(), Errno> {
        if !self.by_tid.contains_key(&call.tid) {
            return self.relieved(call.tid, Then::Guard, || {
                surgery::clone_with(listener, call, flags)
            });
        }
        let tracee = self.in_call(call.tid)?;
        let pid = tracee.pid;
        let late = held::clone_with(listener, call, flags)?;
        for signal in late {
            signal::send_to_thread(pid, call.tid, signal).ok();
        }
        if let Some(tracee) = self.by_tid.get_mut(&call.tid) {
            tracee.repeats = tracee.hears_of_calls();
        }
        self.go_on(call.tid);
        Ok(())
    }

    pub fn interrupt(&mut self, listener: &Listener, call: &Notification) -> Result<(), Errno> {
        if !self.by_tid.contains_key(&call.tid) {
            let guarded = self.interrupt_guarded(listener, call);
            return guarded.unwrap_or_else(|| {
                self.relieved(call.tid, Then::Leave, || surgery::interrupt(listener, call))
            });
        }
        let tracee = self.in_call(call.tid)?;
        tracee.own_trap = true;
        tracee.interrupted = true;
        held::interrupt(listener, call)
    }
}
