//! What is known of one traced thread.

use caisson_sys::surgery::held::{Before, Late};
use caisson_sys::trace::guest::Resume;

/// The guest thread that traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Host ids.
    pub tid: i32,
    pub pid: i32,
    /// Its process in the guests' pid namespace.
    pub guest_pid: i32,
    /// It had CAP_SYS_PTRACE when it attached.
    pub may_trace_all: bool,
}

#[derive(Debug)]
pub(super) struct Tracee {
    /// Host ids.
    pub(super) tid: i32,
    pub(super) pid: i32,
    pub(super) guest_tid: i32,
    pub(super) owner: Owner,
    /// Its process is a child of its tracer's, so that the host tells the tracer of its end.
    pub(super) is_child: bool,
    /// It is the sandbox's first process, a child of this one.
    pub(super) is_ours: bool,
    /// By PTRACE_SEIZE, and not by PTRACE_ATTACH or PTRACE_TRACEME. On the host it is seized in any case.
    pub(super) seized: bool,
    /// `PTRACE_O_*` as the guest has set them.
    pub(super) options: i32,
    /// How it was let go on last.
    pub(super) mode: Resume,
    pub(super) state: State,
    /// PTRACE_GETEVENTMSG, where it is not what the host says.
    pub(super) message: Option<u64>,
    /// It has been interrupted by us, for reasons that are not its tracer's.
    pub(super) own_trap: bool,
    /// Its call has been ended by us, because a signal is due.
    pub(super) interrupted: bool,
    /// Its tracer has asked for PTRACE_INTERRUPT and not been told yet.
    pub(super) wants_trap: bool,
    /// It makes a call again that its tracer has seen it enter.
    pub(super) repeats: bool,
    /// Its first stop, after it was made by another tracee, is yet to come.
    pub(super) is_new: bool,
    /// Nobody traces it any more: to be let go at its next stop.
    pub(super) leaving: bool,
    /// The guest id of the child that it has made by vfork(2).
    pub(super) vfork_child: u64,
    pub(super) exec: Exec,
}

#[derive(Debug)]
pub(super) enum State {
    Running,
    Stopped(Stop),
}

/// A stop that the tracer sees. On the host the thread is in a stop as well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    /// As of wait(2).
    pub(super) status: i32,
    /// The tracer has waited for it.
    pub(super) reported: bool,
    pub(super) scene: Scene,
    /// Order among the stops of all tracees.
    pub(super) number: u64,
}

/// What the host has stopped it for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    /// What the tracer is told.
    Real,
    /// We have carried its call out in a way of our own; the tracer is told that it executed a program by that call.
    Executed { nr: u32 },
    /// Likewise: the tracer is told that the call returns.
    CallEnd { nr: u32 },
    /// It is new; the tracer, which has not seized it, is told of a SIGSTOP.
    New,
}

impl Scene {
    /// The call that the tracer finds it in.
    pub(super) fn call(self) -> Option<u32> {
        match self {
            Scene::Executed { nr } | Scene::CallEnd { nr } => Some(nr),
            Scene::Real | Scene::New => None,
        }
    }
}

/// How far the execution of a program has come.
#[derive(Debug)]
pub(super) enum Exec {
    No,
    /// It is to make the call that executes the loader, or makes it.
    Starting(Box<Starting>),
    /// The loader runs.
    Loading(Loading),
}

#[derive(Debug)]
pub(super) struct Starting {
    pub(super) before: Before,
    /// The call by which the guest asked for it.
    pub(super) nr: u32,
    pub(super) late: Late,
    pub(super) has_entered: bool,
    /// Guest id of the thread that called, once the host has executed the loader.
    pub(super) former: Option<i32>,
}

#[derive(Debug)]
pub(super) struct Loading {
    /// The signal mask that was changed for the time being.
    pub(super) mask: Option<u64>,
    pub(super) nr: u32,
    pub(super) former: i32,
    pub(super) late: Late,
}

impl Tracee {
    pub(super) fn has(&self, option: i32) -> bool {
        self.options & option != 0
    }

    /// Whether its tracer is to hear of the end of a call that it is in.
    pub(super) fn hears_of_calls(&self) -> bool {
        self.mode == Resume::ToCall
    }

    pub(super) fn stop(&self) -> Option<Stop> {
        match self.state {
            State::Stopped(stop) => Some(stop),
            State::Running => None,
        }
    }
}
