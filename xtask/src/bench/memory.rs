//! Memory (PSS) of the runtime's own processes per sleeping container, shim included.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::lifecycle::force_delete;
use super::runtimes::{CAISSON, check};
use crate::demo::HANDLER;

/// The row.
pub(super) const ROW: &str = "memory of its own processes per sleeping container";
/// Sleeping containers at a time.
const CONTAINERS: usize = 5;

/// Starts sleepers with each runtime in turn.
pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    for (name, handler) in [("runc", "io.containerd.runc.v2"), (CAISSON, HANDLER)] {
        bench.check_interrupt()?;
        match through_containerd(bench, handler) {
            Ok(bytes) => bench.samples.add(ROW, name, bytes),
            Err(error) => bench.samples.fail(ROW, name, &error),
        }
    }
    let Some(index) = bench
        .runtimes
        .iter()
        .position(|runtime| runtime.name == "runsc")
    else {
        return Ok(());
    };
    match through_runsc(bench, index) {
        Ok(bytes) => bench.samples.add(ROW, "runsc", bytes),
        Err(error) => bench.samples.fail(ROW, "runsc", &error),
    }
    Ok(())
}

/// The shims and what they started, but for the workload, which lives in a pid namespace of its own.
fn through_containerd(bench: &Bench, handler: &str) -> Result<f64> {
    let ids: Vec<String> = (0..CONTAINERS)
        .map(|number| format!("sleep-{number}"))
        .collect();
    let outcome = (|| {
        for id in &ids {
            let output = bench
                .containerd
                .ctr(&[
                    "run",
                    "-d",
                    "--runtime",
                    handler,
                    &bench.busybox.reference,
                    id,
                    "sleep",
                    "3600",
                ])
                .stdin(Stdio::null())
                .output();
            check(&output.context("cannot run ctr")?, "ctr run -d")?;
        }
        std::thread::sleep(Duration::from_secs(2));
        let processes = Processes::read()?;
        let address = bench.containerd.address().display().to_string();
        let shims = processes.with_argument(&address);
        ensure!(
            shims.len() >= CONTAINERS,
            "found {} shims of {CONTAINERS}",
            shims.len()
        );
        let ours = fs::read_link("/proc/self/ns/pid").context("no pid namespace")?;
        let total: u64 = processes
            .below(&shims)
            .into_iter()
            .filter(|pid| {
                fs::read_link(format!("/proc/{pid}/ns/pid"))
                    .is_ok_and(|namespace| namespace == ours)
            })
            .map(pss)
            .sum();
        ensure!(total > 0, "no memory found");
        Ok(total as f64 / CONTAINERS as f64)
    })();
    for id in &ids {
        for arguments in [
            ["tasks", "delete", "--force", id].as_slice(),
            &["containers", "delete", id],
        ] {
            let _ = bench.containerd.ctr(arguments).output();
        }
    }
    outcome
}

/// runsc's sandbox and gofer. Without a shim, and with the little that the workload itself uses.
fn through_runsc(bench: &Bench, index: usize) -> Result<f64> {
    let runtime = &bench.runtimes[index];
    let ids: Vec<String> = (0..CONTAINERS)
        .map(|number| format!("sleep-{number}"))
        .collect();
    let outcome = (|| {
        for id in &ids {
            let mut create = runtime.command(&["create", "--bundle"]);
            create
                .arg(bench.bundle.with(&["/bin/sleep", "3600"])?)
                .arg(id);
            let status = create
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .context("cannot create")?;
            ensure!(status.success(), "runsc create ended with {status}");
            check(
                &runtime
                    .command(&["start", id])
                    .output()
                    .context("cannot start")?,
                "start",
            )?;
        }
        std::thread::sleep(Duration::from_secs(2));
        let processes = Processes::read()?;
        let state = bench
            .scratch
            .path()
            .join("state/runsc")
            .display()
            .to_string();
        let total: u64 = processes
            .below(&processes.with_argument(&state))
            .into_iter()
            .map(pss)
            .sum();
        ensure!(total > 0, "no process of runsc found");
        Ok(total as f64 / CONTAINERS as f64)
    })();
    for id in &ids {
        force_delete(runtime, id);
    }
    outcome
}

/// A look at all processes.
struct Processes {
    /// pid -> (parent, command line)
    all: BTreeMap<i32, (i32, String)>,
}

impl Processes {
    fn read() -> Result<Processes> {
        let mut all = BTreeMap::new();
        for entry in fs::read_dir("/proc")
            .context("cannot list /proc")?
            .flatten()
        {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<i32>().ok())
            else {
                continue;
            };
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
                continue;
            };
            let parent = stat
                .rsplit_once(')')
                .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            all.insert(pid, (parent.unwrap_or(0), command));
        }
        Ok(Processes { all })
    }

    /// Processes, other than containerd itself, with `text` somewhere in their command line.
    fn with_argument(&self, text: &str) -> Vec<i32> {
        let named = self
            .all
            .iter()
            .filter(|(_, (_, command))| command.contains(text));
        named
            .filter(|(_, (_, command))| !command.starts_with("containerd "))
            .map(|(pid, _)| *pid)
            .collect()
    }

    /// `roots` and everything that descends from them.
    fn below(&self, roots: &[i32]) -> Vec<i32> {
        let descends = |mut pid: i32| {
            while let Some((parent, _)) = self.all.get(&pid) {
                if roots.contains(&pid) {
                    return true;
                }
                pid = *parent;
            }
            false
        };
        self.all
            .keys()
            .copied()
            .filter(|pid| descends(*pid))
            .collect()
    }
}

/// Bytes; 0 for a process that is gone.
fn pss(pid: i32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
