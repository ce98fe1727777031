//! `state`: what is the case with one container.

use super::{Context, print_json};
use crate::RuntimeError;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    pub id: String,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<(), RuntimeError> {
    let state = context.store.entry(&arguments.id)?.load()?;
    print_json(&state.for_users())
}
