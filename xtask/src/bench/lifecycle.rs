//! How long a container of `true` takes: through the OCI command line, and through containerd.

use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, WaitOptions, getpid, pidfd_open, set_child_subreaper, waitpid,
};

use super::Bench;
use super::runtimes::{CAISSON, Runtime, check};
use crate::demo::HANDLER;

/// create + start + wait + delete.
pub(super) const CLI_ROW: &str = "create+start+wait+delete of `true`";
/// The same through `ctr run --rm`.
pub(super) const CTR_ROW: &str = "`ctr run --rm … true`";
/// How often per round.
const REPEAT: usize = 6;
/// A container of `true` that has not ended by then never will.
const PATIENCE: Timespec = Timespec {
    tv_sec: 20,
    tv_nsec: 0,
};

/// One round over all runtimes.
pub(super) fn round(bench: &mut Bench, round: usize) -> Result<()> {
    for repeat in 0..REPEAT {
        for index in bench.order(round) {
            bench.check_interrupt()?;
            let (name, outcome) = (bench.runtimes[index].name, life(bench, index));
            record(bench, CLI_ROW, name, repeat, outcome);
        }
        for (name, handler) in [("runc", "io.containerd.runc.v2"), (CAISSON, HANDLER)] {
            bench.check_interrupt()?;
            let outcome = ctr_run(bench, handler);
            record(bench, CTR_ROW, name, repeat, outcome);
        }
    }
    Ok(())
}

fn record(bench: &mut Bench, row: &str, name: &str, repeat: usize, outcome: Result<f64>) {
    match outcome {
        // The first of a round warms the caches that the runtimes before it have cooled.
        Ok(_) if repeat == 0 => {}
        Ok(value) => bench.samples.add(row, name, value),
        Err(error) => bench.samples.fail(row, name, &error),
    }
}

/// One container; nanoseconds.
fn life(bench: &Bench, index: usize) -> Result<f64> {
    let runtime = &bench.runtimes[index];
    let id = format!("bench-{}", runtime.name);
    let pid_file = bench.scratch.path().join(format!("{id}.pid"));
    let bundle = bench.bundle.with(&["/bin/true"])?;
    // As a shim does: the container becomes our child when `create` ends.
    set_child_subreaper(Some(getpid())).context("cannot become a subreaper")?;
    let start = Instant::now();
    let outcome = (|| {
        let mut create = runtime.command(&["create", "--bundle"]);
        create.arg(bundle).arg("--pid-file").arg(&pid_file).arg(&id);
        // A pipe would be held open by the container: output goes to a file.
        let log = bench.scratch.path().join("create.log");
        let file = std::fs::File::create(&log)?;
        let status = create
            .stdout(file.try_clone()?)
            .stderr(file)
            .status()
            .context("cannot create")?;
        anyhow::ensure!(
            status.success(),
            "create: {}",
            std::fs::read_to_string(&log).unwrap_or_default()
        );
        let pid = std::fs::read_to_string(&pid_file).context("no pid file")?;
        let pid = pid
            .trim()
            .parse()
            .ok()
            .and_then(Pid::from_raw)
            .context("no pid in the pid file")?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).context("the container is gone")?;
        check(
            &runtime
                .command(&["start", &id])
                .output()
                .context("cannot start")?,
            "start",
        )?;
        await_end(&pidfd)?;
        reap_orphans(bench.containerd.pid())?;
        check(
            &runtime
                .command(&["delete", &id])
                .output()
                .context("cannot delete")?,
            "delete",
        )
    })();
    let taken = start.elapsed().as_secs_f64() * 1e9;
    if outcome.is_err() {
        force_delete(runtime, &id);
    }
    set_child_subreaper(None).context("cannot stop being a subreaper")?;
    outcome.map(|()| taken)
}

fn await_end(pidfd: &OwnedFd) -> Result<()> {
    let mut waiting = [PollFd::new(pidfd, PollFlags::IN)];
    let ready = poll(&mut waiting, Some(&PATIENCE)).context("poll")?;
    anyhow::ensure!(ready == 1, "the container does not end");
    Ok(())
}

/// Takes the exit status of every child but `spared`: of the container, and of helpers that end with it
/// (runsc's delete waits for its gofer to be reaped).
fn reap_orphans(spared: u32) -> Result<()> {
    for task in std::fs::read_dir("/proc/self/task")?.flatten() {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let children = children
            .split_whitespace()
            .filter_map(|pid| pid.parse::<i32>().ok());
        for pid in children.filter_map(Pid::from_raw) {
            if u32::try_from(pid.as_raw_nonzero().get()) != Ok(spared) {
                await_end(&pidfd_open(pid, PidfdFlags::empty())?)?;
                waitpid(Some(pid), WaitOptions::empty())?;
            }
        }
    }
    Ok(())
}

/// Best effort after a failure, so that the next container of this name has a chance.
pub(super) fn force_delete(runtime: &Runtime, id: &str) {
    let delete = runtime
        .command(&["delete", "--force", id])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if let Err(error) = delete {
        eprintln!("cannot delete {id}: {error}");
    }
}

/// One container through containerd; nanoseconds.
fn ctr_run(bench: &Bench, handler: &str) -> Result<f64> {
    let start = Instant::now();
    let output = bench
        .containerd
        .ctr(&[
            "run",
            "--rm",
            "--runtime",
            handler,
            &bench.busybox.reference,
            "bench",
            "true",
        ])
        .stdin(Stdio::null())
        .output()
        .context("cannot run ctr")?;
    let taken = start.elapsed().as_secs_f64() * 1e9;
    if let Err(error) = check(&output, "ctr run") {
        for arguments in [
            ["tasks", "delete", "--force", "bench"].as_slice(),
            &["containers", "delete", "bench"],
        ] {
            let _ = bench.containerd.ctr(arguments).output();
        }
        return Err(error);
    }
    Ok(taken)
}
