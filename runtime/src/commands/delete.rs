//! `delete`: everything a container holds is given back, whatever state it or its creator died in.

use super::{Context, kill};
use crate::fault;
use crate::log::Level;
use crate::state::{Entry, State, StateError, Status};
use crate::{RuntimeError, hooks, tier};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    pub id: String,
    /// Kill a running container first; a container that does not exist is no error
    #[arg(long, short = 'f')]
    pub force: bool,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<(), RuntimeError> {
    let entry = context.store.entry(&arguments.id)?;
    if arguments.force {
        force(context, &entry)
    } else {
        let _lock = entry.lock()?;
        let state = entry.load()?;
        match state.status() {
            Status::Stopped | Status::Created => destroy(context, &entry, &state),
            status => Err(RuntimeError::DeleteRunning {
                id: state.id,
                status,
            }),
        }
    }
}

fn force(context: &Context, entry: &Entry) -> Result<(), RuntimeError> {
    // Whoever holds the lock may wait for the very sandbox that is to go: a `create` under way is ended, and a
    // running container killed, before the lock is waited for.
    if let Ok(state) = entry.load() {
        match state.status() {
            Status::Creating => {
                let signalled = state.creator.signal(libc::SIGKILL);
                signalled.map_err(RuntimeError::step("pidfd_send_signal"))?;
            }
            Status::Stopped => {}
            _ => kill::kill(&state)?,
        }
    }
    let _lock = match entry.lock() {
        Err(StateError::NotFound { .. }) => return Ok(()),
        other => other?,
    };
    match entry.load() {
        Ok(state) => destroy(context, entry, &state),
        // A `create` that died before it wrote a state made nothing but the folder.
        Err(StateError::NotFound { .. }) => Ok(entry.remove()?),
        Err(error @ StateError::Corrupt { .. }) => {
            entry.remove()?;
            Err(error.into())
        }
        // A state that cannot be read just now is that of a container that may run.
        Err(error) => Err(error.into()),
    }
}

/// End what still runs and remove cgroups and state.
pub fn destroy(context: &Context, entry: &Entry, state: &State) -> Result<(), RuntimeError> {
    if state.sandbox.is_some_and(|sandbox| sandbox.is_alive()) {
        kill::kill(state)?;
    }
    let tier = tier::of(state)?;
    state.cgroup.kill_all(&|pid| tier.unblock(pid))?;
    fault::point("delete.killed");
    state.cgroup.remove()?;
    tier.clean(entry, state)?;
    fault::point("delete.cgroup");
    let document = state.for_hooks(Status::Stopped);
    for error in hooks::run_all("poststop", &state.spec.hooks.poststop, &document) {
        context.log.write(Level::Warning, &error.to_string());
    }
    fault::point("delete.hooks");
    Ok(entry.remove()?)
}
