//! `xtask test`: every suite of the workspace, one after the other, each with a time limit.
//!
//! Prints what the test runner prints, a table of times, and as its last line `N passed, N failed`.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::containerd::search_path;
use crate::{build, guest, packages, vm_tests};

/// No suite may take longer.
const SUITE_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Nor all of them together with the builds before them. Two idle processors need some 40 minutes.
const TOTAL_LIMIT: Duration = Duration::from_secs(80 * 60);

/// What the guest's kernel may take beyond all suites that need none.
const KERNEL_LIMIT: Duration = Duration::from_secs(20 * 60);

/// The outcome of one suite.
#[derive(Default)]
struct Suite {
    name: String,
    passed: usize,
    failed: usize,
    /// The failed tests, as the runner names them.
    failing: Vec<String>,
    /// Tests that failed at first and passed alone.
    unsteady: Vec<String>,
    time: Duration,
}

/// Installs, builds and runs everything.
pub(crate) fn run(interrupted: &Arc<AtomicBool>) -> Result<()> {
    let start = Instant::now();
    packages::install()?;
    let binaries = build::release()?;
    println!("building the images (kept in the cache between runs)");
    caisson_images::busybox()?;
    caisson_images::pause()?;
    caisson_images::debian()?;
    for suite in ["trixie", "sid"] {
        caisson_images::unpacked("containerd", suite)?;
    }
    compile()?;
    println!("built everything in {:.0} s", start.elapsed().as_secs_f64());
    // Beside the tests, which do not use all of the processors all of the time.
    let guest = std::thread::spawn(guest::files);

    let mut suites = Vec::new();
    let left = |limit: Duration| limit.min(TOTAL_LIMIT.saturating_sub(start.elapsed()));
    for package in packages_with_tests()? {
        if interrupted.load(Ordering::Relaxed) {
            break;
        }
        let runner = Runner::Package(&package);
        let first = suite(&runner, &binaries, left(SUITE_LIMIT), interrupted, &[])?;
        suites.push(again(
            &runner,
            first,
            &binaries,
            left(SUITE_LIMIT),
            interrupted,
        )?);
    }
    let mut untested = None;
    if !interrupted.load(Ordering::Relaxed) {
        match finished(guest, left(KERNEL_LIMIT), interrupted) {
            Ok(()) => {
                let runner = Runner::Machines;
                let first = suite(&runner, &binaries, left(vm_tests::LIMIT), interrupted, &[])?;
                let limit = left(vm_tests::LIMIT);
                suites.push(again(&runner, first, &binaries, limit, interrupted)?);
            }
            Err(reason) => untested = Some(reason),
        }
    }
    summarise(&suites, start.elapsed(), untested);
    ensure!(!interrupted.load(Ordering::Relaxed), "interrupted");
    ensure!(
        suites.iter().all(|suite| suite.failed == 0),
        "some tests failed"
    );
    Ok(())
}

/// Waits for the guest's kernel and agent.
fn finished(
    guest: JoinHandle<Result<PathBuf>>,
    limit: Duration,
    interrupted: &AtomicBool,
) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !guest.is_finished() {
        ensure!(!interrupted.load(Ordering::Relaxed), "interrupted");
        ensure!(
            Instant::now() < deadline,
            "the guest kernel was not built in time"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    let built = guest.join();
    built.map_err(|_| anyhow!("the build of the guest kernel panicked"))??;
    ensure!(
        caisson_nested::host_has_kvm() || packages::in_path("qemu-system-x86_64"),
        "this machine has neither a /dev/kvm that runs ordinary kernels nor qemu-system-x86_64"
    );
    Ok(())
}

/// Compiles all tests first, so that the suites' times are those of the tests, and the binaries that
/// tests of other packages look for beside themselves.
fn compile() -> Result<()> {
    for arguments in [
        ["build", "--workspace"].as_slice(),
        &["test", "--workspace", "--no-run"],
    ] {
        let mut command = build::cargo();
        let status = command
            .args(arguments)
            .args(["--locked", "--quiet"])
            .status()
            .context("cannot run cargo")?;
        ensure!(
            status.success(),
            "cargo {} failed ({status})",
            arguments.join(" ")
        );
    }
    Ok(())
}

/// The workspace's packages: the libraries and binaries first, then those under tests/.
fn packages_with_tests() -> Result<Vec<String>> {
    let output = build::cargo()
        .args(["metadata", "--locked", "--no-deps", "--format-version", "1"])
        .output()
        .context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "cargo metadata failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let mut packages: Vec<(bool, String)> = Vec::new();
    for package in metadata["packages"]
        .as_array()
        .context("cargo metadata names no packages")?
    {
        let name = package["name"].as_str().unwrap_or_default().to_owned();
        let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        let integration = manifest.starts_with(build::source_root().join("tests"));
        // Its tests are run in machines, after all others.
        if name != "caisson-vm-tests" {
            packages.push((integration, name));
        }
    }
    packages.sort();
    Ok(packages.into_iter().map(|(_, name)| name).collect())
}

/// On a shared machine a test can miss a deadline of its own. The few that failed are run once more, alone; what
/// passes then counts as passed and is named in the summary.
fn again(
    runner: &Runner<'_>,
    mut first: Suite,
    binaries: &Path,
    limit: Duration,
    interrupted: &Arc<AtomicBool>,
) -> Result<Suite> {
    const FEW: usize = 3;
    let all_known = first.failing.len() == first.failed;
    if first.failed == 0 || first.failed > FEW || !all_known {
        return Ok(first);
    }
    println!("\nonce more: {}", first.failing.join(" "));
    let failing: Vec<&str> = first.failing.iter().map(String::as_str).collect();
    let second = suite(runner, binaries, limit, interrupted, &failing)?;
    first.time += second.time;
    if second.failed == 0 && second.passed == first.failed {
        first.passed += first.failed;
        first.failed = 0;
        first.unsteady = std::mem::take(&mut first.failing);
    }
    Ok(first)
}

/// What runs a suite.
enum Runner<'a> {
    /// The tests of a package.
    Package(&'a str),
    /// What `xtask vm-tests` runs.
    Machines,
}

impl Runner<'_> {
    fn name(&self) -> &str {
        match self {
            Runner::Package(package) => package,
            Runner::Machines => "virtual machines",
        }
    }

    /// For all tests, or for some alone.
    fn command(&self, tests: &[&str]) -> Result<Command> {
        match self {
            Runner::Package(package) => {
                let mut command = build::cargo();
                command.args(["test", "--locked", "--no-fail-fast", "--package", package]);
                if !tests.is_empty() {
                    command.args(["--", "--exact", "--test-threads=1"]);
                }
                command.args(tests);
                Ok(command)
            }
            Runner::Machines => {
                // Not this program's own file: building the workspace may have put another one in its place.
                let mut command = build::cargo();
                command.args(["xtask", "vm-tests"]).args(tests);
                Ok(command)
            }
        }
    }
}

/// Runs all tests of a suite or some of them, passing their output on.
fn suite(
    runner: &Runner<'_>,
    binaries: &Path,
    limit: Duration,
    interrupted: &Arc<AtomicBool>,
    tests: &[&str],
) -> Result<Suite> {
    let name = runner.name();
    println!("\n=== {name}");
    let start = Instant::now();
    let mut child = runner
        .command(tests)?
        .env("CAISSON_BIN", binaries.join("caisson"))
        .env("PATH", search_path(binaries)?)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("cannot run the tests")?;
    let (sender, lines) = mpsc::channel();
    let output = child.stdout.take().context("no pipe")?;
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                break;
            }
        }
    });
    let mut suite = Suite {
        name: name.to_owned(),
        ..Suite::default()
    };
    let mut problem = None;
    loop {
        match lines.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => {
                println!("{line}");
                if let Some((passed, failed)) = counts(&line) {
                    suite.passed += passed;
                    suite.failed += failed;
                }
                if let Some(name) = failure(&line)
                    && !suite.failing.iter().any(|known| known == name)
                {
                    suite.failing.push(name.to_owned());
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            // A process that a test left running may hold the pipe: the runner's end counts.
            Err(RecvTimeoutError::Timeout) if child.try_wait()?.is_some() => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if interrupted.load(Ordering::Relaxed) {
            problem = Some("interrupted".to_owned());
        } else if start.elapsed() > limit {
            problem = Some(format!("not done after {} s", limit.as_secs()));
        }
        if problem.is_some() {
            end_group(&mut child);
            break;
        }
    }
    let status = child.wait()?;
    if problem.is_none() && !status.success() && suite.failed == 0 {
        problem = Some(format!("the test runner ended with {status}"));
    }
    if let Some(problem) = problem {
        println!("{name}: {problem}");
        suite.failed += 1;
    }
    suite.time = start.elapsed();
    Ok(suite)
}

/// Kills the test runner with everything in its process group.
fn end_group(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group
        && let Err(errno) = kill_process_group(group, Signal::KILL)
    {
        eprintln!("cannot end the test runner: {errno}");
    }
}

/// The name in a `test NAME ... FAILED` line, or in `---- NAME ----`, with which the harness of tests that print as they
/// go heads what a failed one said; Rust's own writes ` stdout` behind the name.
fn failure(line: &str) -> Option<&str> {
    let between = |before, after| line.strip_prefix(before)?.strip_suffix(after);
    let name = between("test ", " ... FAILED").or_else(|| between("---- ", " ----"))?;
    (!name.contains(' ')).then_some(name)
}

/// The numbers of a `test result: ok. 3 passed; 0 failed; ...` line.
fn counts(line: &str) -> Option<(usize, usize)> {
    let (_, rest) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |label: &str| {
        let field = rest
            .split(';')
            .find_map(|field| field.trim().strip_suffix(label))?;
        field.trim().parse::<usize>().ok()
    };
    Some((number("passed")?, number("failed")?))
}

fn summarise(suites: &[Suite], total: Duration, untested: Option<anyhow::Error>) {
    println!(
        "\n{:<24} {:>7} {:>7} {:>9}",
        "suite", "passed", "failed", "seconds"
    );
    for suite in suites {
        let seconds = suite.time.as_secs_f64();
        println!(
            "{:<24} {:>7} {:>7} {seconds:>9.1}",
            suite.name, suite.passed, suite.failed
        );
    }
    for suite in suites {
        for test in &suite.unsteady {
            println!("{}: {test} passed only the second time", suite.name);
        }
    }
    if let Some(reason) = untested {
        println!(
            "NOT RUN, virtual machines ({}): {reason:#}",
            vm_tests::scope()
        );
    }
    println!("all of it took {:.0} s\n", total.as_secs_f64());
    let passed: usize = suites.iter().map(|suite| suite.passed).sum();
    let failed: usize = suites.iter().map(|suite| suite.failed).sum();
    println!("{passed} passed, {failed} failed");
}

#[cfg(test)]
mod tests {
    use super::{counts, failure};

    #[test]
    fn reads_the_runners_summary() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(counts(line), Some((12, 3)));
        assert_eq!(counts("test result line of something else"), None);
    }

    #[test]
    fn reads_the_names_of_failed_tests() {
        assert_eq!(
            failure("test stat::as_root ... FAILED"),
            Some("stat::as_root")
        );
        assert_eq!(failure("---- share::links ----"), Some("share::links"));
        assert_eq!(failure("---- stat::as_root stdout ----"), None);
        assert_eq!(failure("test stat::as_root ... ok"), None);
        assert_eq!(failure("test result: FAILED. 1 passed; 1 failed"), None);
    }
}
