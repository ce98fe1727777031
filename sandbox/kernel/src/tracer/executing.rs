//! The execution of a program by a tracee, which is in truth that of the loader: its tracer sees nothing of it until the
//! program stands at its first instruction.

use caisson_sys::notify::{Listener, Notification};
use caisson_sys::signal;
use caisson_sys::surgery::{self, ExecRegisters, held};
use caisson_sys::trace::{self, guest as host};
use rustix::io::Errno;

use super::events::stopped;
use super::guards::Then;
use super::tracee::{Exec, Loading, Scene, Starting, State};
use super::tracees::Tracees;
use crate::task::lock;

impl Tracees {
    /// Replace the waiting call of a thread, traced or not, by the execution of the loader.
    pub fn exec(
        &mut self,
        listener: &Listener,
        call: &Notification,
        registers: ExecRegisters,
    ) -> Result<(), Errno> {
        if !self.by_tid.contains_key(&call.tid) {
            return self.relieved(call.tid, Then::Leave, || {
                surgery::exec(listener, call, registers, None)
            });
        }
        let tracee = self.in_call(call.tid)?;
        let (before, late) = held::exec(listener, call, registers)?;
        tracee.exec = Exec::Starting(Box::new(Starting {
            before,
            nr: call.nr,
            late,
            has_entered: false,
            former: None,
        }));
        host::resume(call.tid, host::Resume::ToCall, 0)
    }

    /// A stop between the surgery and the end of the host's execveat(2), none of which the tracer sees: in registers
    /// there is the sandbox's secret. All signals are held back but SIGSTOP.
    pub(super) fn starting(&mut self, tid: i32, status: i32) {
        let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
        let tid = match event {
            libc::PTRACE_EVENT_EXEC => self.rename(tid),
            _ => tid,
        };
        let Some(tracee) = self.by_tid.get_mut(&tid) else {
            return;
        };
        let Exec::Starting(starting) = &mut tracee.exec else {
            return;
        };
        let is_call = event == 0 && signal == libc::SIGTRAP | 0x80;
        match event {
            libc::PTRACE_EVENT_EXEC => {}
            0 if is_call && starting.former.is_some() => {
                let loading = Loading {
                    mask: Some(starting.before.mask),
                    nr: starting.nr,
                    former: starting.former.unwrap_or(0),
                    late: std::mem::take(&mut starting.late),
                };
                tracee.exec = Exec::Loading(loading);
                host::resume(tid, host::Resume::Continue, 0).ok();
                return;
            }
            0 if is_call && starting.has_entered => return self.exec_failed(tid),
            0 if is_call => starting.has_entered = true,
            0 => starting.late.push(signal),
            _ => {}
        }
        host::resume(tid, host::Resume::ToCall, 0).ok();
    }

    /// The host has executed the loader: from now on the thread that called has its process' id. Returns that.
    fn rename(&mut self, tid: i32) -> i32 {
        let former = host::message(tid).unwrap_or(tid as u64) as i32;
        let Some(mut tracee) = (if former == tid {
            self.by_tid.remove(&tid)
        } else {
            // The former first thread is gone without a word.
            self.forget(tid);
            self.forget(former)
        }) else {
            return tid;
        };
        let former_guest = tracee.guest_tid;
        tracee.tid = tid;
        if let Ok(ids) = self.ids(tid) {
            tracee.guest_tid = ids.inner_tid;
        }
        if let Exec::Starting(starting) = &mut tracee.exec {
            starting.former = Some(former_guest);
        }
        self.add(tracee);
        tid
    }

    /// It executes the loader by a call that was changed before it was traced.
    pub(super) fn executed_unasked(&mut self, tid: i32) {
        let former = host::message(tid).unwrap_or(0) as i32;
        let former = self.by_tid.get(&former).map_or(0, |one| one.guest_tid);
        self.rename(tid);
        if let Some(tracee) = self.by_tid.get_mut(&tid) {
            tracee.exec = Exec::Loading(Loading {
                mask: None,
                nr: libc::SYS_execve as u32,
                former,
                late: Vec::new(),
            });
        }
        host::resume(tid, host::Resume::Continue, 0).ok();
    }

    /// The host could not execute the loader: the registers become what they were, but for the error.
    fn exec_failed(&mut self, tid: i32) {
        let Some(tracee) = self.by_tid.get_mut(&tid) else {
            return;
        };
        let Exec::Starting(starting) = std::mem::replace(&mut tracee.exec, Exec::No) else {
            return;
        };
        let pid = tracee.pid;
        let restored = trace::registers(tid).and_then(|now| {
            let mut before = starting.before.registers;
            before.rax = now.rax;
            trace::set_registers(tid, &before)?;
            trace::set_signal_mask(tid, starting.before.mask)
        });
        if restored.is_err() {
            // Killed; its end comes.
            return;
        }
        self.drop_plan(pid, tid);
        for signal in starting.late {
            signal::send_to_thread(pid, tid, signal).ok();
        }
        self.call_ends(tid, starting.nr);
    }

    /// Nobody will ask for what was prepared.
    pub(super) fn drop_plan(&self, pid: i32, tid: i32) {
        let Some(process) = self.kernel.table.process(pid) else {
            return;
        };
        let mut slot = lock(&process.exec);
        if slot.as_ref().is_some_and(|plan| plan.tid == tid) {
            let room = slot.take().and_then(|plan| plan.room);
            drop(slot);
            if let Some(room) = room {
                room.restore();
            }
        }
    }

    /// A call of the thread, which is in a stop of ours, has been carried out in another way and returns.
    pub(super) fn call_ends(&mut self, tid: i32, nr: u32) {
        let Some(tracee) = self.by_tid.get(&tid) else {
            return;
        };
        if tracee.leaving {
            return self.leave(tid, 0);
        }
        if tracee.hears_of_calls() {
            let status = call_status(tracee.has(libc::PTRACE_O_TRACESYSGOOD));
            self.present(tid, status, Scene::CallEnd { nr });
        } else {
            self.go_on(tid);
        }
    }

    /// The loader has mapped the program and asks to be replaced by it. `ENOSYS` from anybody else.
    pub fn start_program(
        &mut self,
        listener: &Listener,
        call: &Notification,
        entry: u64,
        stack: u64,
    ) -> Result<(), Errno> {
        let tid = call.tid;
        if !self.by_tid.contains_key(&tid) {
            return Err(Errno::NOSYS);
        }
        let tracee = self.in_call(tid)?;
        let Exec::Loading(loading) = &tracee.exec else {
            return Err(Errno::NOSYS);
        };
        let also_late = held::start_program(listener, call, loading.nr, entry, stack)?;
        let Exec::Loading(loading) = std::mem::replace(&mut tracee.exec, Exec::No) else {
            return Err(Errno::NOSYS);
        };
        if let Some(mask) = loading.mask {
            trace::set_signal_mask(tid, mask)?;
        }
        let (pid, nr) = (tracee.pid, loading.nr);
        for signal in loading.late.into_iter().chain(also_late) {
            signal::send_to_thread(pid, tid, signal).ok();
        }
        if tracee.has(libc::PTRACE_O_TRACEEXEC) && !tracee.leaving {
            tracee.message = Some(loading.former as u64);
            let status = stopped(libc::SIGTRAP, libc::PTRACE_EVENT_EXEC);
            self.present(tid, status, Scene::Executed { nr });
            return Ok(());
        }
        if !tracee.seized && !tracee.leaving {
            signal::send_to_thread(pid, tid, libc::SIGTRAP).ok();
        }
        self.call_ends(tid, nr);
        Ok(())
    }

    /// What follows a stop that the tracer was told of and the host has not made. Whether the thread is stopped again.
    pub(super) fn next_scene(&mut self, tid: i32, scene: Scene) -> bool {
        let Some(tracee) = self.by_tid.get_mut(&tid) else {
            return false;
        };
        match scene {
            Scene::Executed { nr } if tracee.hears_of_calls() => {
                tracee.state = State::Running;
                self.call_ends(tid, nr);
                true
            }
            _ => false,
        }
    }
}

pub(super) const fn call_status(marked: bool) -> i32 {
    let mark = if marked { 0x80 } else { 0 };
    stopped(libc::SIGTRAP | mark, 0)
}
