//! `resume`: thaw a paused guest.

use super::Context;
use crate::cgroup::procs::Freezer;
use crate::state::Status;
use crate::{RuntimeError, tier};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    pub id: String,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<(), RuntimeError> {
    let entry = context.store.entry(&arguments.id)?;
    let state = entry.load()?;
    match state.status() {
        Status::Paused => {
            state.cgroup.set_freezer(Freezer::Thawed)?;
            tier::of(&state)?.resumed(&entry)
        }
        Status::Created => Ok(state.cgroup.set_freezer(Freezer::Thawed)?),
        status => Err(RuntimeError::WrongStatus {
            action: "resume",
            status,
        }),
    }
}
