//! What the host tells of tracees.

use caisson_sys::signal;
use caisson_sys::trace::guest as host;

use super::guards::restart_early_end;
use super::tracee::{Exec, Scene, State, Tracee};
use super::tracees::{Tracees, signal_of};

/// wait(2)'s status of a stop.
pub(super) const fn stopped(signal: i32, event: i32) -> i32 {
    event << 16 | signal << 8 | 0x7f
}

/// Set in the signal of a stop at a system call, of those who ask for that.
const CALL: i32 = 0x80;

fn is_making(event: i32) -> bool {
    matches!(
        event,
        libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE
    )
}

impl Tracees {
    pub(super) fn event(&mut self, tid: i32, status: i32) {
        self.take_event(tid, status);
        self.abandon_orphans();
    }

    fn take_event(&mut self, tid: i32, status: i32) {
        if let Some(is_first) = self.kicked.remove(&tid) {
            if libc::WIFSTOPPED(status) {
                self.detach(tid, signal_of(status), is_first);
            } else if is_first {
                self.tracer().collect(status);
            }
            return;
        }
        if self.guards.contains_key(&tid) {
            return self.guarded_event(tid, status);
        }
        if !self.by_tid.contains_key(&tid) {
            if libc::WIFSTOPPED(status) {
                self.early.insert(tid, status);
            } else {
                self.early.remove(&tid);
            }
            return;
        }
        if libc::WIFSTOPPED(status) {
            self.stop_event(tid, status);
        } else {
            self.ended(tid, status);
        }
    }

    fn stop_event(&mut self, tid: i32, status: i32) {
        let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
        // Executed by another thread than the first one, whose id it has now.
        let caller = match event {
            libc::PTRACE_EVENT_EXEC => host::message(tid).unwrap_or(0) as i32,
            _ => tid,
        };
        let is_starting = |tid| {
            let tracee: Option<&Tracee> = self.by_tid.get(&tid);
            tracee.is_some_and(|tracee| matches!(tracee.exec, Exec::Starting(_)))
        };
        if is_starting(tid) || is_starting(caller) {
            return self.starting(tid, status);
        }
        let Some(tracee) = self.by_tid.get_mut(&tid) else {
            return;
        };
        if event == libc::PTRACE_EVENT_EXEC {
            return self.executed_unasked(tid);
        }
        if tracee.leaving {
            if is_making(event) {
                self.made_untraced(tid);
            }
            return self.leave(tid, signal_of(status));
        }
        if std::mem::take(&mut tracee.repeats) && event == 0 && signal == libc::SIGTRAP | CALL {
            host::resume(tid, tracee.mode, 0).ok();
            return;
        }
        if event != libc::PTRACE_EVENT_STOP {
            // Any other stop takes the place of one that an interruption was to bring.
            tracee.own_trap = false;
            tracee.wants_trap = false;
        }
        if let Exec::Loading(loading) = &mut tracee.exec {
            if event == 0 && signal & CALL == 0 {
                loading.late.push(signal);
            }
            host::resume(tid, host::Resume::Continue, 0).ok();
            return;
        }
        match event {
            libc::PTRACE_EVENT_STOP if signal == libc::SIGTRAP => self.trap(tid, status),
            libc::PTRACE_EVENT_STOP => {
                let status = if tracee.seized {
                    status
                } else {
                    stopped(signal, 0)
                };
                self.present(tid, status, Scene::Real);
            }
            event if is_making(event) => self.made(tid, status),
            libc::PTRACE_EVENT_VFORK_DONE => {
                tracee.message = Some(tracee.vfork_child);
                self.present(tid, status, Scene::Real);
            }
            libc::PTRACE_EVENT_EXIT => self.exits(tid, status),
            0 if signal == libc::SIGTRAP | CALL => {
                let status = if tracee.has(libc::PTRACE_O_TRACESYSGOOD) {
                    status
                } else {
                    stopped(libc::SIGTRAP, 0)
                };
                self.present_real(tid, status);
            }
            0 => {
                let ours = std::mem::take(&mut tracee.interrupted);
                restart_early_end(tid, ours);
                self.present_real(tid, status);
            }
            // Nothing else was asked for.
            _ => self.go_on(tid),
        }
    }

    /// With the host's own message.
    fn present_real(&mut self, tid: i32, status: i32) {
        if let Some(tracee) = self.by_tid.get_mut(&tid) {
            tracee.message = None;
        }
        self.present(tid, status, Scene::Real);
    }

    /// A stop for no other reason than that it was interrupted, is new, or may go on after a stop of its group.
    fn trap(&mut self, tid: i32, status: i32) {
        let Some(tracee) = self.by_tid.get_mut(&tid) else {
            return;
        };
        let is_new = std::mem::take(&mut tracee.is_new);
        let ours = std::mem::take(&mut tracee.own_trap);
        let wanted = std::mem::take(&mut tracee.wants_trap);
        if is_new && !tracee.seized {
            self.present(tid, stopped(libc::SIGSTOP, 0), Scene::New);
        } else if tracee.seized && (wanted || !ours) {
            self.present_real(tid, status);
        } else {
            self.go_on(tid);
        }
    }

    /// It is about to end, and traces nobody from now on: two that hold each other's end would never end. The end of those
    /// who are killed and of the sandbox's first process is not held, because the host would not end them even if they
    /// were killed again, nor their pid namespace.
    fn exits(&mut self, tid: i32, status: i32) {
        self.tracer_gone(|owner| owner.tid == tid);
        let ended = host::message(tid).unwrap_or(0) as i32;
        let is_first = self.by_tid.get(&tid).is_some_and(|one| one.is_ours);
        if is_first || libc::WIFSIGNALED(ended) && libc::WTERMSIG(ended) == libc::SIGKILL {
            self.go_on(tid);
        } else {
            self.present_real(tid, status);
        }
    }

    /// It has made another thread or process, and its tracer is gone: that is let go like itself.
    fn made_untraced(&mut self, tid: i32) {
        let new = host::message(tid).unwrap_or(0) as i32;
        let Ok(ids) = self.ids(new) else {
            return;
        };
        if self
            .by_tid
            .get(&tid)
            .is_some_and(|one| one.has(libc::PTRACE_O_EXITKILL))
        {
            signal::send_to_thread(ids.tgid, new, libc::SIGKILL).ok();
        }
        self.abandon(new);
    }

    /// It has made another thread or process, which is traced as well.
    fn made(&mut self, tid: i32, status: i32) {
        let new = host::message(tid).unwrap_or(0) as i32;
        let ids = self.ids(new);
        let Some(maker) = self.by_tid.get_mut(&tid) else {
            return;
        };
        let message = ids.map_or(0, |ids| ids.inner_tid as u64);
        maker.message = Some(message);
        if status >> 16 == libc::PTRACE_EVENT_VFORK {
            maker.vfork_child = message;
        }
        let (owner, seized, options) = (maker.owner, maker.seized, maker.options);
        let (pid, is_ours) = (maker.pid, maker.is_ours);
        if let Ok(ids) = ids {
            let is_child = self.parent_of(ids.tgid) == Some(owner.pid);
            self.add(Tracee {
                tid: new,
                pid: ids.tgid,
                guest_tid: ids.inner_tid,
                owner,
                is_child,
                is_ours: is_ours && pid == ids.tgid,
                seized,
                options,
                mode: host::Resume::Continue,
                state: State::Running,
                message: None,
                own_trap: false,
                interrupted: false,
                repeats: false,
                wants_trap: false,
                is_new: true,
                leaving: false,
                vfork_child: 0,
                exec: Exec::No,
            });
        }
        self.present(tid, status, Scene::Real);
        if let Some(status) = self.early.remove(&new) {
            self.take_event(new, status);
        }
    }

    fn ended(&mut self, tid: i32, status: i32) {
        let Some(tracee) = self.forget(tid) else {
            return;
        };
        if let Exec::Starting(_) = tracee.exec {
            self.drop_plan(tracee.pid, tid);
        }
        if tracee.is_ours && tid == tracee.pid {
            // Nobody else has been told.
            self.tracer().collect(status);
        }
        // The host tells its parent now. If that is the tracer there is nothing to add.
        let told_by_host = tracee.is_child && tid == tracee.pid;
        if !tracee.leaving && !told_by_host {
            self.report_end(&tracee, status);
        }
    }
}
