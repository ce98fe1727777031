//! The micro-benchmarks of tests/bench/guest.c, natively and in every runtime.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::Bench;
use super::bundle::GUEST_DIRECTORY;
use super::lifecycle::force_delete;
use super::runtimes::check;

/// The column of the program without any container.
pub(super) const NATIVE: &str = "native";

/// One run of the guest program everywhere.
pub(super) fn round(bench: &mut Bench, round: usize) -> Result<()> {
    bench.check_interrupt()?;
    let native = native(&bench.scratch.path().join("guest"));
    record(bench, NATIVE, native);
    for index in bench.order(round) {
        bench.check_interrupt()?;
        let runtime = &bench.runtimes[index];
        let name = runtime.name;
        let id = format!("micro-{name}");
        let bundle = bench.bundle.with(&[&format!("{GUEST_DIRECTORY}/guest")])?;
        let outcome = runtime.run(bundle, &id);
        if outcome.is_err() {
            force_delete(runtime, &id);
        }
        record(bench, name, outcome);
    }
    Ok(())
}

/// On the host. What it opens and executes is the host's, which is of the image's own Debian release.
fn native(guest: &Path) -> Result<String> {
    let output = Command::new(guest)
        .output()
        .context("cannot run the guest program")?;
    check(&output, "the guest program")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn record(bench: &mut Bench, runtime: &str, outcome: Result<String>) {
    let text = match outcome {
        Ok(text) => text,
        Err(error) => return bench.samples.fail("micro-benchmarks", runtime, &error),
    };
    for line in text.lines() {
        if let Some((row, value)) = line.split_once('\t')
            && let Ok(value) = value.parse()
        {
            bench.samples.add(row, runtime, value);
        }
    }
}
