//! `xtask bench`: Caisson beside runc, crun and gVisor's runsc, in one run, into docs/benchmarks.md.
//!
//! Runtimes take turns within every round, so that a change of the machine's mood hits all of them.
//! A runtime that cannot be had or that fails is named in the page, never left out silently.

mod bundle;
mod lifecycle;
mod memory;
mod micro;
mod programs;
mod report;
mod runtimes;
mod samples;
mod vm;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};

use crate::containerd::Containerd;
use crate::{build, packages};
use bundle::Bundle;
use runtimes::Runtime;
use samples::Samples;

/// What every part of the benchmark works with.
pub(crate) struct Bench {
    runtimes: Vec<Runtime>,
    /// A read-only tree and the guest program.
    bundle: Bundle,
    containerd: Containerd,
    busybox: caisson_images::Image,
    debian: caisson_images::Image,
    scratch: tempfile::TempDir,
    interrupted: Arc<AtomicBool>,
    samples: Samples,
}

impl Bench {
    /// The runtimes in this round's order: each is first in turn, and finds the caches cold.
    fn order(&self, round: usize) -> Vec<usize> {
        let count = self.runtimes.len();
        (0..count).map(|index| (index + round) % count).collect()
    }

    /// An error once somebody has pressed Ctrl-C.
    fn check_interrupt(&self) -> Result<()> {
        ensure!(!self.interrupted.load(Ordering::Relaxed), "interrupted");
        Ok(())
    }
}

/// How thorough to be.
pub(crate) struct Effort {
    rounds: usize,
    /// In how many of the rounds the real programs run.
    program_rounds: usize,
    /// Whether docs/benchmarks.md is written.
    publish: bool,
}

impl Effort {
    /// All of it, or a single round whose numbers are noise, for working on what is measured.
    pub(crate) fn from_words(words: &[&str]) -> Result<Effort> {
        match words {
            [] => Ok(Effort {
                rounds: 5,
                program_rounds: programs::ROUNDS,
                publish: true,
            }),
            ["quick"] => Ok(Effort {
                rounds: 1,
                program_rounds: 0,
                publish: false,
            }),
            ["programs"] => Ok(Effort {
                rounds: 1,
                program_rounds: 1,
                publish: false,
            }),
            other => {
                anyhow::bail!("unknown arguments {other:?}: there are \"quick\" and \"programs\"")
            }
        }
    }
}

/// Measures everything and writes docs/benchmarks.md.
pub(crate) fn run(effort: &Effort, interrupted: Arc<AtomicBool>) -> Result<()> {
    packages::install()?;
    hide_hybrid_cgroups()?;
    let binaries = build::release()?;
    let (busybox, debian) = (caisson_images::busybox()?, caisson_images::debian()?);
    let scratch = tempfile::Builder::new()
        .prefix("caisson-bench-")
        .tempdir()
        .context("no temporary directory")?;
    let guest = scratch.path().join("guest");
    compile_guest(&guest)?;
    let runtimes = runtimes::all(&binaries, scratch.path())?;
    let bundle = Bundle::read_only(&debian.rootfs, &guest, scratch.path())?;
    let containerd = Containerd::start(&binaries)?;
    containerd.import(&busybox)?;
    let samples = Samples::default();
    let mut bench = Bench {
        runtimes,
        bundle,
        containerd,
        busybox,
        debian,
        scratch,
        interrupted,
        samples,
    };
    for round in 0..effort.rounds {
        println!("round {} of {}", round + 1, effort.rounds);
        lifecycle::round(&mut bench, round)?;
        micro::round(&mut bench, round)?;
        if round < effort.program_rounds {
            programs::round(&mut bench, round)?;
        }
    }
    memory::measure(&mut bench)?;
    bench.check_interrupt()?;
    let mut page = report::page(&bench);
    page.push_str(&vm_section(&binaries, &bench.interrupted));
    println!("\n{page}");
    let path = build::source_root().join("docs/benchmarks.md");
    if effort.publish {
        fs::create_dir_all(build::source_root().join("docs")).context("cannot create docs")?;
        fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
        println!("written to {}", path.display());
    }
    Ok(())
}

/// The part of the page on the micro-VM tier.
fn vm_section(binaries: &Path, interrupted: &AtomicBool) -> String {
    match vm::measure(binaries, interrupted) {
        Ok(figures) => figures.section(),
        Err(error) => vm::not_measured(&error),
    }
}

/// Measures the micro-VM tier alone and prints it.
pub(crate) fn run_vm(interrupted: &AtomicBool) -> Result<()> {
    packages::install()?;
    let binaries = build::release()?;
    println!("\n{}", vm_section(&binaries, interrupted));
    Ok(())
}

/// The C program of tests/bench, static, so that it runs in any tree.
fn compile_guest(target: &Path) -> Result<()> {
    let source = build::source_root().join("tests/bench/guest.c");
    let status = Command::new("gcc")
        .args(["-O2", "-static", "-pthread", "-Wall", "-o"])
        .arg(target)
        .arg(&source)
        .status()
        .context("cannot run gcc")?;
    ensure!(
        status.success(),
        "cannot compile {} ({status})",
        source.display()
    );
    Ok(())
}

/// crun refuses a host whose cgroup v1 tree has a v2 mount beside it. There the whole benchmark runs in a
/// mount namespace without that mount: this program is executed again and does not return.
fn hide_hybrid_cgroups() -> Result<()> {
    const UNIFIED: &str = "/sys/fs/cgroup/unified";
    let mounts =
        fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
    if !mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == Some(UNIFIED))
    {
        return Ok(());
    }
    let program = std::env::current_exe().context("who am I?")?;
    let error = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            &format!("umount {UNIFIED} && exec \"$0\" \"$@\""),
        ])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .exec();
    Err(error).context("cannot run unshare")
}
