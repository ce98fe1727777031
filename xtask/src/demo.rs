//! `xtask demo`: the quickest look at Caisson under containerd.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::containerd::Containerd;
use crate::{build, packages};

/// The runtime handler that `ctr` asks for; containerd turns it into the shim's name.
pub(crate) const HANDLER: &str = "io.containerd.caisson.v2";

/// What is run in the sandbox.
const SCRIPTS: &[&str] = &[
    "uname -a",
    "id",
    "ps",
    "head -n 5 /proc/meminfo",
    "echo hello > /tmp/file && cat /tmp/file | tr a-z A-Z && ls -l /tmp",
    "for n in 1 2 3; do (echo subshell $n; exit $n) & done; wait; echo all done",
    "exit 7",
];

/// Builds what is missing, runs the scripts in containers, and cleans up.
pub(crate) fn run() -> Result<()> {
    packages::install()?;
    println!("building caisson and its shim");
    let binaries = build::release()?;
    println!("building an image from this machine's busybox-static");
    let image = caisson_images::busybox()?;
    println!("starting a containerd of our own");
    let containerd = Containerd::start(&binaries)?;
    containerd.import(&image)?;
    println!("imported {}", image.reference);

    let mut failures = Vec::new();
    for (number, script) in SCRIPTS.iter().enumerate() {
        let id = format!("demo-{number}");
        println!(
            "\n$ ctr run --rm --runtime {HANDLER} {} {id} sh -c '{script}'",
            image.reference
        );
        let status = containerd
            .ctr(&[
                "run",
                "--rm",
                "--runtime",
                HANDLER,
                &image.reference,
                &id,
                "sh",
                "-c",
                script,
            ])
            .stdin(Stdio::null())
            .status()
            .context("cannot run ctr")?;
        let expected = script.strip_prefix("exit ").map_or(Ok(0), str::parse)?;
        println!(
            "[exit status {}]",
            status
                .code()
                .map_or_else(|| status.to_string(), |code| code.to_string())
        );
        if status.code() != Some(expected) {
            failures.push(format!("{script:?} ended with {status}, not {expected}"));
        }
    }
    let log = containerd.log();
    drop(containerd);
    ensure!(
        failures.is_empty(),
        "{}\ncontainerd's log:\n{log}",
        failures.join("\n")
    );
    println!("\nThe containers, their image and this containerd are gone again.");
    Ok(())
}
