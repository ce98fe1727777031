//! The traced threads and what each is doing.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;

use caisson_abi::nr;
use caisson_sys::surgery::{ExecRegisters, to_clone};
use caisson_sys::trace::{self, Event, Registers};
use rustix::io::Errno;

use super::door::Door;
use super::queue::Queue;
use crate::repeat::Repeat;
use crate::transport::Incoming;

pub(super) const ERESTARTSYS: i64 = 512;
/// `orig_rax` of a thread that is in no call.
pub(super) const NO_CALL: u64 = u64::MAX;

pub(super) struct Tracees {
    threads: HashMap<i32, Tracee>,
    /// By process id.
    pub(super) doors: HashMap<i32, Door>,
    /// Threads that have come before their makers told of them: what they have of those is not known yet.
    newborns: HashSet<i32>,
    calls: u64,
    pub(super) queue: Queue,
    /// The host's procfs.
    pub(super) host_proc: OwnedFd,
}

/// A thread that is not known is one that runs.
#[derive(Default)]
pub(super) struct Tracee {
    pub(super) state: State,
    /// Its process, once that was asked for.
    pub(super) process: Option<i32>,
}

#[derive(Default)]
#[expect(
    clippy::large_enum_variant,
    reason = "every call makes it the large one; a box would be an allocation each"
)]
pub(super) enum State {
    #[default]
    Running,
    Waiting(Held),
    /// It was let out of this call to be interrupted; the call's number is put back at its next stop, so that the host
    /// kernel's rules for restarting apply.
    Interrupted(u64),
    /// Its call was made an exec of the loader. These are its registers, should the exec fail.
    Executing(Box<Registers>),
    /// A native call with a time of its own is made again.
    Repeating(Repeat),
}

/// A thread that is stopped in a call.
pub(super) struct Held {
    id: u64,
    /// At the beginning of the call.
    pub(super) registers: Registers,
    pub(super) place: Place,
    /// Its signal mask, when another is set.
    pub(super) mask: Option<u64>,
    repeat: Option<Repeat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Where its filter has stopped it: a call set now is made.
    Entry,
    /// Behind a call.
    Behind,
}

/// What the callers of a transport expect of a guest that was killed.
pub(super) fn gone(error: Errno) -> Errno {
    if error == Errno::SRCH {
        Errno::NOENT
    } else {
        error
    }
}

impl Tracees {
    pub(super) fn new(host_proc: OwnedFd) -> Tracees {
        Tracees {
            threads: HashMap::new(),
            doors: HashMap::new(),
            newborns: HashSet::new(),
            calls: 0,
            queue: Queue::default(),
            host_proc,
        }
    }

    /// Act on an event. Returns the call, if it is one to be served.
    pub(super) fn event(&mut self, tid: i32, event: Event) -> Option<Incoming> {
        match event {
            Event::Ended(_) => {
                self.remove(tid);
                self.release_newborns();
                return None;
            }
            Event::Executed(_) => self.release_newborns(),
            Event::Call => return self.called(tid),
            _ => {}
        }
        // A thread that dies while it is dealt with says so next.
        self.pass(tid, event).ok();
        None
    }

    fn pass(&mut self, tid: i32, event: Event) -> Result<(), Errno> {
        self.restart_after_interruption(tid)?;
        if !matches!(event, Event::CallStop | Event::Signal(_)) {
            self.end_repeat(tid);
        }
        match event {
            Event::Ended(_) | Event::Call => Ok(()),
            Event::Made(new) => {
                // A new process has copies of its maker's descriptors.
                let user = trace::registers(tid)?;
                let thread = user.orig_rax == u64::from(nr::clone)
                    && user.rdi & libc::CLONE_THREAD as u64 != 0;
                if !thread {
                    self.forget_door(tid);
                    self.inherit_door(tid, new);
                }
                self.expect(new);
                if self.newborns.remove(&new) {
                    // It may have been killed.
                    trace::resume(new, 0).ok();
                }
                trace::resume(tid, 0)
            }
            Event::Executed(former) => {
                self.threads.remove(&former);
                self.threads.insert(tid, Tracee::default());
                self.doors.insert(tid, Door::default());
                trace::resume(tid, 0)
            }
            Event::CallStop if self.repeats(tid)? => Ok(()),
            Event::CallStop => self.behind_exec(tid),
            Event::Trap if !self.threads.contains_key(&tid) => {
                self.newborns.insert(tid);
                Ok(())
            }
            Event::Trap => trace::resume(tid, 0),
            Event::GroupStop => trace::listen(tid),
            Event::Signal(signal) => self.signalled(tid, signal),
        }
    }

    /// A thread is going to say that it is there.
    pub(super) fn expect(&mut self, tid: i32) {
        self.threads.entry(tid).or_default();
    }

    /// One whose maker was killed before it could tell of it is not waited for any longer.
    fn release_newborns(&mut self) {
        for tid in std::mem::take(&mut self.newborns) {
            self.expect(tid);
            // It may have been killed as well.
            trace::resume(tid, 0).ok();
        }
    }

    fn called(&mut self, tid: i32) -> Option<Incoming> {
        let user = trace::registers(tid).ok()?;
        self.calls += 1;
        let repeat = self.end_repeat(tid);
        let tracee = self.threads.entry(tid).or_default();
        tracee.state = State::Waiting(Held {
            id: self.calls,
            registers: user,
            place: Place::Entry,
            mask: None,
            repeat,
        });
        Some(Incoming {
            id: self.calls,
            tid,
            nr: user.orig_rax as u32,
            args: [user.rdi, user.rsi, user.rdx, user.r10, user.r8, user.r9],
        })
    }

    pub(super) fn remove(&mut self, tid: i32) {
        self.threads.remove(&tid);
        self.doors.remove(&tid);
    }

    pub(super) fn tracee(&mut self, tid: i32) -> Result<&mut Tracee, Errno> {
        self.threads.get_mut(&tid).ok_or(Errno::SRCH)
    }

    /// Whether the thread is held in this call.
    pub(super) fn check(&mut self, call: &Incoming) -> Result<(), Errno> {
        if self.held(call.tid)?.id == call.id {
            Ok(())
        } else {
            Err(Errno::SRCH)
        }
    }

    pub(super) fn held(&mut self, tid: i32) -> Result<&mut Held, Errno> {
        match &mut self.tracee(tid)?.state {
            State::Waiting(held) => Ok(held),
            _ => Err(Errno::SRCH),
        }
    }

    /// Take the thread out of its stop: it runs when this returns without an error.
    fn take(&mut self, tid: i32) -> Result<Held, Errno> {
        self.held(tid)?;
        match std::mem::take(&mut self.tracee(tid)?.state) {
            State::Waiting(held) => Ok(held),
            _ => Err(Errno::SRCH),
        }
    }

    /// End the call with this result.
    pub(super) fn finish(&mut self, tid: i32, value: i64) -> Result<(), Errno> {
        let mut held = self.take(tid)?;
        held.registers.orig_rax = NO_CALL;
        held.registers.rax = value.cast_unsigned();
        trace::set_registers(tid, &held.registers)?;
        restore_mask(tid, &held)?;
        trace::resume(tid, 0)
    }

    /// Let the host make the call as it is.
    pub(super) fn go_on(&mut self, tid: i32) -> Result<(), Errno> {
        self.rearm(tid)?;
        let held = self.take(tid)?;
        restore_mask(tid, &held)?;
        self.go_on_repeating(tid, held.repeat)
    }

    /// Let the host make it, a clone(2), with these flags.
    pub(super) fn clone_with(&mut self, tid: i32, flags: u64) -> Result<(), Errno> {
        self.rearm(tid)?;
        let held = self.take(tid)?;
        restore_mask(tid, &held)?;
        trace::set_registers(tid, &to_clone(held.registers, flags))?;
        trace::resume(tid, 0)
    }

    /// End the call because a signal is due.
    pub(super) fn interrupt(&mut self, tid: i32) -> Result<(), Errno> {
        let held = self.take(tid)?;
        let number = held.registers.orig_rax;
        let mut user = held.registers;
        user.rax = (-ERESTARTSYS).cast_unsigned();
        if held.place == Place::Entry {
            // Skips the call.
            user.orig_rax = NO_CALL;
            self.tracee(tid)?.state = State::Interrupted(number);
        }
        trace::set_registers(tid, &user)?;
        restore_mask(tid, &held)?;
        // Without it a signal that another thread takes meanwhile would leave the thread with the error itself.
        trace::interrupt(tid)?;
        trace::resume(tid, 0)
    }

    fn restart_after_interruption(&mut self, tid: i32) -> Result<(), Errno> {
        let Ok(tracee) = self.tracee(tid) else {
            return Ok(());
        };
        let State::Interrupted(number) = tracee.state else {
            return Ok(());
        };
        tracee.state = State::Running;
        let mut user = trace::registers(tid)?;
        user.orig_rax = number;
        user.rax = (-ERESTARTSYS).cast_unsigned();
        trace::set_registers(tid, &user)
    }

    /// Replace the call by the loader's execution. The secret is set in a thread that is inside the kernel already, and
    /// taken away again if the exec fails: it is never in the registers of a thread that runs the guest's code.
    pub(super) fn exec(&mut self, tid: i32, exec: ExecRegisters) -> Result<(), Errno> {
        self.rearm(tid)?;
        let held = self.take(tid)?;
        let mut user = held.registers;
        user.orig_rax = nr::execveat.into();
        user.rdi = exec.loader as u64;
        user.rsi = exec.empty_path;
        user.rdx = exec.argv;
        user.r10 = exec.envp;
        user.r8 = libc::AT_EMPTY_PATH as u64;
        user.r9 = exec.secret;
        restore_mask(tid, &held)?;
        self.tracee(tid)?.state = State::Executing(Box::new(held.registers));
        trace::set_registers(tid, &user)?;
        trace::resume_to_call(tid)
    }

    /// The exec failed, or a thread is at the end of a call for another reason.
    fn behind_exec(&mut self, tid: i32) -> Result<(), Errno> {
        if let Ok(tracee) = self.tracee(tid)
            && let State::Executing(before) = std::mem::take(&mut tracee.state)
        {
            let mut user = *before;
            user.rax = trace::registers(tid)?.rax;
            user.orig_rax = NO_CALL;
            trace::set_registers(tid, &user)?;
        }
        trace::resume(tid, 0)
    }
}

/// Give the thread its own signal mask back.
pub(super) fn restore_mask(tid: i32, held: &Held) -> Result<(), Errno> {
    held.mask
        .map_or(Ok(()), |mask| trace::set_signal_mask(tid, mask))
}
