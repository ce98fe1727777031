//! `xtask nested`: runs a command in a nested machine.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use caisson_nested::{Hierarchy, Job};

use crate::packages;

/// Options, `--` and a command; the status is the command's.
pub(crate) fn run(words: &[&str], interrupted: &AtomicBool) -> Result<ExitCode> {
    let job = parse(words)?;
    packages::install()?;
    let status = caisson_nested::run(&job, interrupted, &mut |line| println!("{line}"))?;
    Ok(ExitCode::from(u8::try_from(status).unwrap_or(1)))
}

fn parse(words: &[&str]) -> Result<Job> {
    let end = words.iter().position(|word| *word == "--");
    let (options, command) = end
        .and_then(|end| words.split_at_checked(end))
        .context("nested needs `--` and a command after it")?;
    let command = &command[1..];
    ensure!(!command.is_empty(), "nested needs a command after `--`");
    let mut job = Job::new(command.iter().copied());
    for pair in options.chunks(2) {
        let [name, value] = pair else {
            bail!("nested: {} needs a value", pair[0]);
        };
        let number = || {
            value
                .parse::<u32>()
                .with_context(|| format!("nested: {name} {value} is not a number"))
        };
        job = match *name {
            "--memory" => job.memory_mib(number()?),
            "--init" => job.under_systemd(hierarchy(value)?),
            "--limit" => job.limit(Duration::from_secs(number()?.into())),
            "--results" => {
                let path = PathBuf::from(value);
                job.results(std::path::absolute(path).context("--results")?)
            }
            other => bail!("nested: unknown option {other}"),
        };
    }
    Ok(job)
}

/// Which init the machine has, other than a shell script: systemd, with cgroup v2 or v1.
fn hierarchy(name: &str) -> Result<Hierarchy> {
    match name {
        "systemd" => Ok(Hierarchy::Unified),
        "systemd-v1" => Ok(Hierarchy::Legacy),
        other => bail!("nested: --init {other} must be systemd or systemd-v1"),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn options_come_before_the_dashes() {
        assert!(parse(&["--limit", "5", "--", "true", "--limit"]).is_ok());
        assert!(parse(&["--limit", "--", "true"]).is_err());
        assert!(parse(&["--limit", "x", "--", "true"]).is_err());
        assert!(parse(&["--init", "systemd-v1", "--", "true"]).is_ok());
        assert!(parse(&["--init", "upstart", "--", "true"]).is_err());
        assert!(parse(&["--what", "1", "--", "true"]).is_err());
        assert!(parse(&["true"]).is_err());
        assert!(parse(&["--"]).is_err());
    }
}
