//! `kill`: a signal for the guest's init process, or for all of its processes.
//!
//! Takes no lock: a container can be killed whatever else is being done with it.

use std::time::Duration;

use super::Context;
use crate::cgroup::procs::{self, Freezer};
use crate::spec::signal;
use crate::state::{State, Status};
use crate::{RuntimeError, tier};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    pub id: String,
    /// Name or number
    #[arg(default_value = "SIGTERM")]
    pub signal: String,
    /// Signal every process of the container
    #[arg(long, short = 'a')]
    pub all: bool,
}

/// How long SIGKILL may take to end the guest before the sandbox is ended with it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the sandbox may take to follow its guest.
const FOLLOW: Duration = Duration::from_secs(2);
/// How long a killed process may take to end before it counts as held by something.
const STUCK: Duration = Duration::from_millis(50);

pub fn run(context: &Context, arguments: &Arguments) -> Result<(), RuntimeError> {
    let number = signal::number(&arguments.signal)
        .ok_or_else(|| RuntimeError::option("signal", &arguments.signal, "no such signal"))?;
    let entry = context.store.entry(&arguments.id)?;
    let state = entry.load()?;
    let status = state.status();
    if arguments.all {
        if number == libc::SIGKILL || status == Status::Stopped {
            // Whatever is left of it.
            procs::signal_all(&|| state.guest_pids(), number);
        } else {
            return tier::of(&state)?.signal_all(&state, &entry, number);
        }
        if status == Status::Stopped {
            return Ok(());
        }
    } else if matches!(status, Status::Stopped | Status::Creating) {
        return Err(RuntimeError::NotRunning);
    }
    if number == libc::SIGKILL {
        return kill(&state);
    }
    send(&state, number)
}

fn send(state: &State, number: i32) -> Result<(), RuntimeError> {
    let init = state.init.ok_or(RuntimeError::NotRunning)?;
    if init
        .signal(number)
        .map_err(RuntimeError::step("pidfd_send_signal"))?
    {
        Ok(())
    } else {
        Err(RuntimeError::NotRunning)
    }
}

/// SIGKILL for a guest that may be frozen, in a sandbox that may hang.
pub fn kill(state: &State) -> Result<(), RuntimeError> {
    let sent = send(state, libc::SIGKILL);
    if state.cgroup.freezer_state() == Freezer::Frozen {
        // A frozen process does not die.
        state.cgroup.set_freezer(Freezer::Thawed)?;
    }
    let Some(sandbox) = state.sandbox else {
        return sent;
    };
    let init_ended = state.init.is_none_or(|init| init.wait_end(PATIENCE));
    if init_ended && sandbox.wait_end(FOLLOW) {
        // An init that had ended by itself while the sandbox had not yet is no error either.
        return Ok(());
    }
    sandbox
        .signal(libc::SIGKILL)
        .map_err(RuntimeError::step("pidfd_send_signal"))?;
    let tier = tier::of(state)?;
    if !sandbox.wait_end(STUCK) {
        tier.unblock(sandbox.pid);
    }
    sandbox.wait_end(FOLLOW);
    Ok(state.cgroup.kill_all(&|pid| tier.unblock(pid))?)
}
