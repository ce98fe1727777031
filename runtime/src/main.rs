//! `caisson`, or a process of a sandbox when it was executed under that one's name.

use std::process::ExitCode;

use caisson_runtime::log::Level;
use caisson_runtime::{cli, commands, tier};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    if let Some(role) = arguments.next().and_then(|name| tier::Role::named(&name)) {
        return role.main(arguments);
    }
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let log = cli.global.log();
    // As in runc: 1 could be the status of the process itself.
    let failure = if matches!(cli.command, cli::Command::Exec(_)) {
        ExitCode::from(255)
    } else {
        ExitCode::FAILURE
    };
    match commands::run(cli) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            log.write(Level::Error, &error.to_string());
            failure
        }
    }
}
