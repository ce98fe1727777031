//! One process of a container, the first or an exec: its phase, its exit, and who waits for it.
//!
//! Key type: [`Process`]. Its lock is held for moments only, never while the runtime runs, so that
//! state, wait and kill answer whatever else goes on.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use containerd_shim_protos::api::WaitResponse;
use containerd_shim_protos::events::task::TaskExit;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::ShimError;
use crate::events::{Publisher, timestamp};
use crate::io::{ProcessIo, StdioPaths};
use crate::reaper::Exit;
use crate::sync::lock;
use crate::ttrpc::server::Reply;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// An exec that is not started, or a container whose process waits for start.
    Created,
    /// The runtime is starting it; an exit now is told after the start.
    Starting,
    Running,
    Stopped,
    Deleted,
}

impl Phase {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Created => "created",
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::Stopped => "stopped",
            Phase::Deleted => "deleted",
        }
    }
}

/// What `state` tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Snapshot {
    pub(crate) phase: Phase,
    pub(crate) pid: u32,
    pub(crate) exit: Option<Exit>,
}

struct State {
    phase: Phase,
    pid: u32,
    pidfd: Option<Arc<OwnedFd>>,
    exit: Option<Exit>,
    /// An exit that is not told yet, because the start or a kill is not either.
    early_exit: Option<Exit>,
    /// How many [`UntoldExit`]s there are.
    holders: usize,
    waiting: Vec<Reply>,
    io: Option<Arc<ProcessIo>>,
    stdin_closed: bool,
}

pub(crate) struct Process {
    pub(crate) container_id: String,
    /// Empty for the container's first process.
    pub(crate) exec_id: String,
    pub(crate) stdio: StdioPaths,
    /// The OCI process of an exec, as JSON; the first process has its own in config.json.
    pub(crate) spec: Vec<u8>,
    publisher: Arc<Publisher>,
    state: Mutex<State>,
}

impl Process {
    pub(crate) fn new(
        container_id: &str,
        exec_id: &str,
        stdio: StdioPaths,
        publisher: Arc<Publisher>,
    ) -> Process {
        Process {
            container_id: container_id.to_owned(),
            exec_id: exec_id.to_owned(),
            stdio,
            spec: Vec::new(),
            publisher,
            state: Mutex::new(State {
                phase: Phase::Created,
                pid: 0,
                pidfd: None,
                exit: None,
                early_exit: None,
                holders: 0,
                waiting: Vec::new(),
                io: None,
                stdin_closed: false,
            }),
        }
    }

    /// The name of this process in events: containerd uses the container's for the first one.
    fn event_id(&self) -> &str {
        if self.exec_id.is_empty() {
            &self.container_id
        } else {
            &self.exec_id
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = lock(&self.state);
        Snapshot {
            phase: state.phase,
            pid: state.pid,
            exit: state.exit,
        }
    }

    pub(crate) fn io(&self) -> Option<Arc<ProcessIo>> {
        lock(&self.state).io.clone()
    }

    /// No more input comes. Said before the start, it is remembered for then.
    pub(crate) fn close_stdin(&self) {
        let mut state = lock(&self.state);
        match &state.io {
            Some(io) => io.close_stdin(),
            None => state.stdin_closed = true,
        }
    }

    /// The process exists; it is our child already or still a zombie, so the pid cannot be another's.
    pub(crate) fn attach(&self, pid: i32, io: ProcessIo) {
        let pidfd = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let mut state = lock(&self.state);
        state.pid = pid as u32;
        state.pidfd = pidfd.map(Arc::new);
        if state.stdin_closed {
            io.close_stdin();
        }
        state.io = Some(Arc::new(io));
    }

    /// Go from created to starting, or say why not.
    pub(crate) fn begin_start(&self) -> Result<(), ShimError> {
        let mut state = lock(&self.state);
        match state.phase {
            Phase::Created => {
                state.phase = Phase::Starting;
                Ok(())
            }
            phase => Err(ShimError::WrongState {
                action: "start",
                state: phase.name(),
            }),
        }
    }

    /// The start succeeded: publish it (`tell` does) and then the exit, if that came meanwhile.
    pub(crate) fn started(&self, tell: impl FnOnce(u32)) {
        let mut state = lock(&self.state);
        state.phase = Phase::Running;
        tell(state.pid);
        self.tell_early_exit(&mut state);
    }

    /// The start failed; the process is as it was, or has ended.
    pub(crate) fn start_failed(&self) {
        let mut state = lock(&self.state);
        state.phase = Phase::Created;
        self.tell_early_exit(&mut state);
    }

    /// An exec whose start failed never runs again: it is stopped, with the status of a shell that
    /// cannot execute.
    pub(crate) fn start_failed_for_good(&self) {
        let mut state = lock(&self.state);
        let exit = Exit {
            status: 255,
            at: std::time::SystemTime::now(),
        };
        state.phase = Phase::Stopped;
        state.exit = Some(exit);
        answer(&mut state.waiting, exit);
    }

    /// The reaper saw the process end.
    pub(crate) fn exited(&self, exit: Exit) {
        let mut state = lock(&self.state);
        if !matches!(state.phase, Phase::Stopped | Phase::Deleted) {
            state.early_exit = Some(exit);
            self.tell_early_exit(&mut state);
        }
    }

    /// Tell nobody of an exit before the returned value is dropped.
    pub(crate) fn hold_exit(self: &Arc<Self>) -> UntoldExit {
        lock(&self.state).holders += 1;
        UntoldExit(Arc::clone(self))
    }

    fn tell_early_exit(&self, state: &mut State) {
        if state.phase == Phase::Starting || state.holders > 0 {
            return;
        }
        if let Some(exit) = state.early_exit.take() {
            self.finish(state, exit);
        }
    }

    fn finish(&self, state: &mut State, exit: Exit) {
        state.phase = Phase::Stopped;
        state.exit = Some(exit);
        state.pidfd = None;
        self.publisher.publish(&TaskExit {
            container_id: self.container_id.clone(),
            id: self.event_id().to_owned(),
            pid: state.pid,
            exit_status: exit.status,
            exited_at: timestamp(exit.at),
            ..TaskExit::default()
        });
        answer(&mut state.waiting, exit);
    }

    /// Answer `reply` when the process has ended.
    pub(crate) fn wait(&self, reply: Reply) {
        let mut state = lock(&self.state);
        state.waiting.push(reply);
        if let Some(exit) = state.exit {
            answer(&mut state.waiting, exit);
        }
    }

    /// Send a signal to exactly this process.
    pub(crate) fn signal(&self, signal: u32) -> Result<(), ShimError> {
        let state = lock(&self.state);
        let pidfd = match (state.phase, state.pidfd.clone()) {
            (Phase::Stopped | Phase::Deleted, _) => return Err(ShimError::ProcessFinished),
            (_, Some(pidfd)) => pidfd,
            (phase, None) => {
                return Err(ShimError::WrongState {
                    action: "kill",
                    state: phase.name(),
                });
            }
        };
        drop(state);
        match pidfd_send_signal(&*pidfd, signal_of(signal)?) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::SRCH) => Err(ShimError::ProcessFinished),
            Err(error) => Err(ShimError::io(
                "signal",
                format!("process {}", self.event_id()),
            )(error.into())),
        }
    }

    /// Go to deleted, unless the process lives.
    pub(crate) fn begin_delete(&self) -> Result<Snapshot, ShimError> {
        let mut state = lock(&self.state);
        match state.phase {
            Phase::Starting | Phase::Running => {
                return Err(ShimError::WrongState {
                    action: "delete",
                    state: state.phase.name(),
                });
            }
            Phase::Deleted => return Err(ShimError::ProcessFinished),
            Phase::Created | Phase::Stopped => {}
        }
        let snapshot = Snapshot {
            phase: state.phase,
            pid: state.pid,
            exit: state.exit,
        };
        if state.phase == Phase::Stopped {
            state.phase = Phase::Deleted;
        }
        Ok(snapshot)
    }

    /// A created container was deleted; its process was killed for that.
    pub(crate) fn deleted(&self) -> Exit {
        let mut state = lock(&self.state);
        let exit = state.exit.unwrap_or_else(Exit::killed);
        state.phase = Phase::Deleted;
        state.exit = Some(exit);
        answer(&mut state.waiting, exit);
        exit
    }
}

/// While it lives, an exit of the process is not told.
pub(crate) struct UntoldExit(Arc<Process>);

impl Drop for UntoldExit {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.holders -= 1;
        self.0.tell_early_exit(&mut state);
    }
}

fn answer(waiting: &mut Vec<Reply>, exit: Exit) {
    for reply in std::mem::take(waiting) {
        reply.succeed(&WaitResponse {
            exit_status: exit.status,
            exited_at: timestamp(exit.at),
            ..WaitResponse::default()
        });
    }
}

fn signal_of(signal: u32) -> Result<Signal, ShimError> {
    match i32::try_from(signal) {
        Ok(raw @ 1..=64) => Ok(raw_signal(raw)),
        _ => Err(ShimError::InvalidField {
            field: "signal",
            value: signal.to_string(),
            reason: "is not a signal that Linux has".into(),
        }),
    }
}

#[expect(
    unsafe_code,
    reason = "real-time signals have no names, so there is no safe constructor for them"
)]
fn raw_signal(raw: i32) -> Signal {
    // SAFETY: the caller checked 1..=64. The signals that the C library keeps for itself are only
    // sent, to another process, which may have another C library.
    unsafe { Signal::from_raw_unchecked(raw) }
}
