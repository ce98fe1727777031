//! `ps`: the guest's processes as the host numbers them.

use std::process::Command;

use serde_json::json;

use super::list::Format;
use super::{Context, print};
use crate::RuntimeError;
use crate::state::Status;
use crate::tier;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(long, short = 'f', value_enum, default_value_t = Format::Table)]
    pub format: Format,
    pub id: String,
    /// Options for ps(1)
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "PS_OPTION"
    )]
    pub options: Vec<String>,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<(), RuntimeError> {
    let state = context.store.entry(&arguments.id)?.load()?;
    if state.status() == Status::Stopped {
        return Err(RuntimeError::NotRunning);
    }
    let pids = tier::of(&state)?.pids(&state);
    if arguments.format == Format::Json {
        return print(&format!("{}\n", json!(pids)));
    }
    let default = ["-ef".to_owned()];
    let options = if arguments.options.is_empty() {
        &default[..]
    } else {
        &arguments.options[..]
    };
    // Named as well: to select the caller's own processes, which is ps' habit, would be to select none.
    let named: Vec<String> = pids.iter().map(ToString::to_string).collect();
    let output = Command::new("ps")
        .args(options)
        .args(["-p", &named.join(",")])
        .output()
        .map_err(RuntimeError::step("execute ps"))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(RuntimeError::option("ps", options.join(" "), reason));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let shown = filter(&text, &pids)
        .ok_or_else(|| RuntimeError::option("ps", options.join(" "), "prints no PID column"))?;
    print(&shown)
}

/// The heading and the lines of these processes.
fn filter(text: &str, pids: &[i32]) -> Option<String> {
    let heading = text.lines().next()?;
    let column = heading.split_whitespace().position(|name| name == "PID")?;
    let ours = |line: &&str| {
        let pid = line
            .split_whitespace()
            .nth(column)
            .and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    let lines = std::iter::once(heading).chain(text.lines().skip(1).filter(ours));
    Some(lines.map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn only_the_containers_processes_are_shown() {
        let text = "UID PID CMD\nroot 1 init\nroot 42 sh\n";
        assert_eq!(
            filter(text, &[42]).expect("has a PID column"),
            "UID PID CMD\nroot 42 sh\n"
        );
        assert_eq!(filter("CMD\nsh\n", &[42]), None);
    }
}
