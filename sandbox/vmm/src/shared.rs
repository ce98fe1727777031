//! What the threads of a machine have in common: whether it runs, stands still or has ended.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::VmmError;
use crate::bus::lock;

/// How a guest ended its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It wrote 0 to our port.
    Shutdown,
    /// It reset the machine, as a kernel does to reboot.
    Reset,
    /// Its processor met an error while handling an error while handling an error.
    TripleFault,
    /// The host asked for it.
    Stopped,
}

/// What a virtual CPU is to do now.
pub(crate) enum Order {
    Run,
    Stop,
}

pub(crate) struct State {
    pub(crate) paused: bool,
    /// How the machine ends, the first of all reasons.
    pub(crate) end: Option<Result<End, VmmError>>,
    /// Which virtual CPUs are known to stand still.
    pub(crate) standing: Vec<bool>,
    marks: Vec<(u8, Duration)>,
    /// When the guest's first instruction was about to run.
    entered: Option<Duration>,
}

/// What virtual CPUs, devices and the control socket have in common.
pub(crate) struct Shared {
    start: Instant,
    pub(crate) state: Mutex<State>,
    pub(crate) changed: Condvar,
    /// Wakes the thread of the devices.
    pub(crate) ended: EventFd,
}

impl Shared {
    pub(crate) fn new(start: Instant, vcpus: u8) -> Result<Shared, VmmError> {
        Ok(Shared {
            start,
            state: Mutex::new(State {
                paused: false,
                end: None,
                standing: vec![false; vcpus.into()],
                marks: Vec::new(),
                entered: None,
            }),
            changed: Condvar::new(),
            ended: EventFd::new(EFD_NONBLOCK).map_err(VmmError::step("eventfd"))?,
        })
    }

    /// Ends the machine; only the first end counts.
    pub(crate) fn end(&self, end: Result<End, VmmError>) {
        lock(&self.state).end.get_or_insert(end);
        self.changed.notify_all();
        // It fails only when it has been written already.
        self.ended.write(1).ok();
    }

    /// The guest has come as far as `number`. The first 64 marks are kept.
    pub(crate) fn mark(&self, number: u8) {
        let mut state = lock(&self.state);
        if state.marks.len() < 64 {
            state.marks.push((number, self.start.elapsed()));
        }
    }

    /// The first virtual CPU is about to run.
    pub(crate) fn enter(&self) {
        lock(&self.state).entered = Some(self.start.elapsed());
    }

    /// When the guest's first instruction was about to run, from the monitor's start.
    pub(crate) fn entered(&self) -> Option<Duration> {
        lock(&self.state).entered
    }

    /// Boot marks and when they were made, from the monitor's start.
    pub(crate) fn marks(&self) -> Vec<(u8, Duration)> {
        lock(&self.state).marks.clone()
    }

    pub(crate) fn is_paused(&self) -> bool {
        lock(&self.state).paused
    }

    /// Asked by each virtual CPU before it runs: stands still while the machine is paused.
    pub(crate) fn order(&self, vcpu: u8) -> Order {
        let mut state = lock(&self.state);
        loop {
            if state.end.is_some() {
                return Order::Stop;
            }
            if !state.paused {
                state.standing[usize::from(vcpu)] = false;
                return Order::Run;
            }
            state.standing[usize::from(vcpu)] = true;
            self.changed.notify_all();
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.state).end.is_some()
    }
}
