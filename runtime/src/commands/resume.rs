//! `resume`: thaw a paused guest.

use super::Context;
use crate::RuntimeError;
use crate::cgroup::procs::Freezer;
use crate::state::Status;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    pub id: String,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<(), RuntimeError> {
    let state = context.store.entry(&arguments.id)?.load()?;
    match state.status() {
        Status::Paused | Status::Created => Ok(state.cgroup.set_freezer(Freezer::Thawed)?),
        status => Err(RuntimeError::WrongStatus {
            action: "resume",
            status,
        }),
    }
}
