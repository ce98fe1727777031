//! `start`: let the program of a created container run.

use super::{Context, kill};
use crate::fault;
use crate::hooks::inside;
use crate::state::{Entry, Phase, State, Status};
use crate::{RuntimeError, hooks, tier};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    pub id: String,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<(), RuntimeError> {
    start(&context.store.entry(&arguments.id)?)
}

pub fn start(entry: &Entry) -> Result<(), RuntimeError> {
    let _lock = entry.lock()?;
    let mut state = entry.load()?;
    match state.status() {
        Status::Created => {}
        Status::Running | Status::Paused => return Err(RuntimeError::StartRunning),
        Status::Stopped => return Err(RuntimeError::StartStopped),
        status @ Status::Creating => {
            return Err(RuntimeError::WrongStatus {
                action: "start",
                status,
            });
        }
    }
    if let Err(error) = inside::run(entry, &state) {
        end_failed(&state);
        return Err(error);
    }
    fault::point("start.hooks");
    // Noted first: were we killed after the program has begun, "created" would be a lie for ever.
    state.phase = Phase::Started;
    entry.save(&state)?;
    fault::point("start.noted");
    if let Err(error) = tier::of(&state)?.start(entry) {
        end_failed(&state);
        return Err(error);
    }
    fault::point("start.started");
    let document = state.for_hooks(Status::Running);
    if let Err(error) = hooks::run("poststart", &state.spec.hooks.poststart, &document) {
        // As in runc: what was to watch or feed the container is not there.
        kill::kill(&state)?;
        return Err(error.into());
    }
    Ok(())
}

/// A container whose program could not be executed is stopped.
fn end_failed(state: &State) {
    for process in [state.init, state.sandbox].into_iter().flatten() {
        // Whatever cannot be signalled has ended.
        process.signal(libc::SIGKILL).ok();
        if state
            .sandbox
            .is_none_or(|sandbox| sandbox.wait_end(std::time::Duration::from_secs(2)))
        {
            return;
        }
    }
}
