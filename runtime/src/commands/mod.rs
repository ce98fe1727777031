//! One command, one file.

pub mod check;
pub mod checkpoint;
pub mod create;
pub mod delete;
pub mod r#do;
pub mod events;
pub mod exec;
pub mod features;
pub mod foreground;
pub mod install;
pub mod kill;
pub mod list;
pub mod pause;
pub mod ps;
pub mod resume;
pub mod run;
pub mod spec;
pub mod start;
pub mod state;
pub mod update;

use crate::RuntimeError;
use crate::cgroup::Manager;
use crate::cli::{Cli, Command};
use crate::debugging::Debugging;
use crate::log::Log;
use crate::state::Store;
use crate::tier::Kind;

/// What every command has.
#[derive(Clone, Debug)]
pub struct Context {
    pub store: Store,
    /// Which tier new containers get.
    pub sandbox: Kind,
    pub log: Log,
    pub debugging: Debugging,
    /// Who makes the cgroups of new containers.
    pub cgroups: Manager,
    /// Do without cgroups where they cannot be used.
    pub rootless: bool,
}

/// Options of runc's that have no meaning here, by name and value.
fn refuse_options(options: &[(&'static str, &Option<String>)]) -> Result<(), RuntimeError> {
    for &(name, value) in options {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            let reason = "not supported by caisson";
            return Err(RuntimeError::option(name, value, reason));
        }
    }
    Ok(())
}

/// Run a command; the number is the exit status.
pub fn run(cli: Cli) -> Result<u8, RuntimeError> {
    cli.global.check()?;
    let context = Context {
        sandbox: cli.global.sandbox,
        store: Store::new(match &cli.global.root {
            Some(root) => root.clone(),
            None => crate::rootless::default_root()?,
        }),
        rootless: cli.global.rootless.applies(),
        log: cli.global.log(),
        debugging: cli.global.debugging(),
        cgroups: cli.global.cgroups(),
    };
    let done = |result: Result<(), RuntimeError>| result.map(|()| 0);
    match cli.command {
        Command::Create(arguments) => done(create::run(&context, &arguments)),
        Command::Start(arguments) => done(start::run(&context, &arguments)),
        Command::State(arguments) => done(state::run(&context, &arguments)),
        Command::Kill(arguments) => done(kill::run(&context, &arguments)),
        Command::Delete(arguments) => done(delete::run(&context, &arguments)),
        Command::Run(arguments) => run::run(&context, &arguments),
        Command::Exec(arguments) => exec::run(&context, &arguments),
        Command::Ps(arguments) => done(ps::run(&context, &arguments)),
        Command::List(arguments) => done(list::run(&context, &arguments)),
        Command::Spec(arguments) => done(spec::run(&arguments)),
        Command::Features(arguments) => done(features::run(&arguments)),
        Command::Check(arguments) => check::run(&arguments),
        Command::Pause(arguments) => done(pause::run(&context, &arguments)),
        Command::Resume(arguments) => done(resume::run(&context, &arguments)),
        Command::Update(arguments) => done(update::run(&context, &arguments)),
        Command::Events(arguments) => done(events::run(&context, &arguments)),
        Command::Do(arguments) => r#do::run(&context, &arguments),
        Command::Install(arguments) => done(install::run(&arguments)),
        Command::Checkpoint(arguments) => done(checkpoint::refuse("checkpoint", &arguments)),
        Command::Restore(arguments) => done(checkpoint::refuse("restore", &arguments)),
    }
}

/// Print to standard output; a reader that went away is an error, not a panic.
pub(crate) fn print(text: &str) -> Result<(), RuntimeError> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(RuntimeError::step("write to standard output"))
}

pub(crate) fn print_json(value: &serde_json::Value) -> Result<(), RuntimeError> {
    print(&format!("{value:#}\n"))
}
