//! `checkpoint` and `restore`: refused by name, whatever their options.

use crate::RuntimeError;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The container's id, and runc's options
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENT"
    )]
    pub rest: Vec<String>,
}

pub fn refuse(command: &'static str, arguments: &Arguments) -> Result<(), RuntimeError> {
    let reason = "not supported by caisson: the state of an application kernel cannot be saved";
    Err(RuntimeError::option(
        command,
        arguments.rest.join(" "),
        reason,
    ))
}
