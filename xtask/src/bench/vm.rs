//! The micro-VM monitor beside QEMU's microvm, in the nested machine or, with a true `/dev/kvm`, here.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use caisson_nested::Job;

use super::samples::Samples;
use crate::{build, guest};

/// The columns, ours first.
const MONITORS: [&str; 2] = ["caisson", "qemu"];
/// Ways to a container's root file system, the default first.
const ROOTS: [&str; 2] = ["share", "image"];
const START_ROW: &str = "start to the container's first word, ms";
const PROGRAM: &str = "caisson-vm-bench";
const LIMIT: Duration = Duration::from_secs(600);
const MEMORY_ROW: &str = "memory beside the guest's, MiB";
const MEMORY_BUDGET_MIB: f64 = 5.0;

/// What was measured, and where.
pub(super) struct Figures {
    samples: Samples,
    roots: Samples,
    place: &'static str,
}

pub(super) fn measure(binaries: &Path, interrupted: &AtomicBool) -> Result<Figures> {
    println!("virtual machines");
    let guest = guest::files()?;
    let mut figures = Figures {
        samples: Samples::default(),
        roots: Samples::default(),
        place: "/dev/kvm of this machine",
    };
    let program = program()?;
    let variables = [
        ("CAISSON_BIN", binaries.join("caisson")),
        ("CAISSON_GUEST", guest),
    ];
    if caisson_nested::host_has_kvm() {
        let output = Command::new(&program)
            .envs(variables)
            .output()
            .with_context(|| format!("cannot run {}", program.display()))?;
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .for_each(|line| figures.take(line));
        ensure!(output.status.success(), "{}", tail(&output.stderr));
        return Ok(figures);
    }
    figures.place = "a machine that QEMU emulates in software, whose figures say nothing of real ones but the ratio";
    let mut job = Job::new([program]).memory_mib(2048).limit(LIMIT);
    for (name, value) in variables {
        job = job.env(name, value);
    }
    for name in ["CAISSON_CACHE", "HOME"] {
        if let Some(value) = std::env::var_os(name) {
            job = job.env(name, value);
        }
    }
    let mut said = String::new();
    let status = caisson_nested::run(&job, interrupted, &mut |line| {
        figures.take(line);
        let _ = writeln!(said, "{line}");
    })?;
    ensure!(status == 0, "status {status}: {}", tail(said.as_bytes()));
    Ok(figures)
}

fn tail(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
}

fn program() -> Result<std::path::PathBuf> {
    let status = build::cargo()
        .args(["build", "--locked", "--quiet", "--package"])
        .args(["caisson-vm-tests", "--bin", PROGRAM])
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "cargo build of {PROGRAM} failed");
    Ok(build::target_directory()?.join("debug").join(PROGRAM))
}

impl Figures {
    /// A line `result WHAT COLUMN VALUE` of the program's output.
    fn take(&mut self, line: &str) {
        let mut words = line.trim().rsplitn(3, ' ');
        let (value, column, what) = (words.next(), words.next(), words.next());
        let value = value.and_then(|value| value.parse::<f64>().ok());
        let what = what.and_then(|what| what.strip_prefix("result "));
        let (Some(value), Some(column), Some(what)) = (value, column, what) else {
            return;
        };
        let find = |known: [&'static str; 2]| known.into_iter().find(|known| *known == column);
        if let Some(monitor) = find(MONITORS) {
            self.samples.add(what, monitor, value);
        } else if let Some(root) = find(ROOTS) {
            self.roots.add(what, root, value);
        }
    }

    /// The section of the page.
    pub(super) fn section(&self) -> String {
        let mut text = format!(
            "## Virtual machines\n\nThe monitor of the tier `vm` and QEMU's microvm with the same kernel, ramdisk, disk and \
             tap, 256 MiB and one processor; medians of three rounds. Measured on {}.\n\n\
             | what | caisson | QEMU |\n|---|--:|--:|\n",
            self.place
        );
        for row in self.samples.rows() {
            let cell = |monitor| {
                let value = self.samples.median(row, monitor);
                value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
            };
            let _ = writeln!(text, "| {row} | {} | {} |", cell("caisson"), cell("qemu"));
        }
        if let Some(mib) = self.samples.median(MEMORY_ROW, "caisson") {
            let verdict = if mib <= MEMORY_BUDGET_MIB {
                "met"
            } else {
                "missed"
            };
            let _ = writeln!(
                text,
                "\nBudget of the monitor's memory beside the guest's: {MEMORY_BUDGET_MIB} MiB, {verdict} ({mib:.1})."
            );
        }
        self.root_section(&mut text);
        text
    }

    /// Which of two roots is faster, and whether that makes up for the time that an image takes to be made.
    fn root_section(&self, text: &mut String) {
        text.push_str(
            "\nA container's root file system as a share of the host's files, which is the default, and as an image that is \
             copied from them when the container is created (annotation `dev.caisson.vm.rootfs`).\n\n\
             | what | share | image | share / image |\n|---|--:|--:|--:|\n",
        );
        let mut spared_ms = 0.0;
        for row in self.roots.rows() {
            let [share, image] = ROOTS.map(|root| self.roots.median(row, root));
            let (Some(share), Some(image)) = (share, image) else {
                continue;
            };
            if row != START_ROW {
                spared_ms += share - image;
            }
            let ratio = share / image;
            let _ = writeln!(text, "| {row} | {share:.1} | {image:.1} | {ratio:.2} |");
        }
        let [share, image] = ROOTS.map(|root| self.roots.median(START_ROW, root));
        if let (Some(share), Some(image)) = (share, image) {
            let _ = writeln!(
                text,
                "\nThe image delays the start of a container by {:.0} ms; all the other rows together take {spared_ms:.0} ms less \
                 with it.",
                image - share
            );
        }
    }
}

/// The section when there are no figures.
pub(super) fn not_measured(error: &anyhow::Error) -> String {
    format!("## Virtual machines\n\nNot measured: {error:#}.\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_lines_of_a_form() {
        let mut figures = Figures {
            samples: Samples::default(),
            roots: Samples::default(),
            place: "nowhere",
        };
        for line in [
            "result memory beside the guest's, MiB caisson 6.5",
            "result block read, MB/s qemu 100.0",
            "result block read, MB/s other 1.0",
            "result tar of them, ms share 30.0",
            "result tar of them, ms image 20.0",
            "result start to the container's first word, ms share 100.0",
            "result start to the container's first word, ms image 150.0",
            "something else 3",
        ] {
            figures.take(line);
        }
        let section = figures.section();
        assert!(
            section.contains("| block read, MB/s | - | 100.0 |"),
            "{section}"
        );
        assert!(section.contains("5 MiB, missed (6.5)"), "{section}");
        let row = "| tar of them, ms | 30.0 | 20.0 | 1.50 |";
        assert!(section.contains(row), "{section}");
        let sum =
            "delays the start of a container by 50 ms; all the other rows together take 10 ms less";
        assert!(section.contains(sum), "{section}");
    }
}
