//! `pause`: freeze the guest; the app kernel stays awake.

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
        Status::Running | Status::Created => {
            let tier = tier::of(&state)?;
            tier.pausing(&entry)?;
            state.cgroup.set_freezer(Freezer::Frozen).map_err(|error| {
                // What is told is why it could not be paused.
                tier.resumed(&entry).ok();
                error.into()
            })
        }
        status => Err(RuntimeError::WrongStatus {
            action: "pause",
            status,
        }),
    }
}
