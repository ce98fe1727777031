//! `xtask test`: every suite of the workspace, one after the other, each with a time limit.
//!
//! Prints what the test runner prints, a table of times, and as its last line `N passed, N failed`.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::containerd::search_path;
use crate::{build, guest, packages};

/// No suite may take longer.
const SUITE_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Nor all of them together with the builds before them.
const TOTAL_LIMIT: Duration = Duration::from_secs(44 * 60);

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
    if guest::kernel_is_named() {
        guest::files()?;
    } else {
        println!(
            "no guest kernel is named by CAISSON_GUEST_KERNEL: virtual machines are not tested"
        );
    }
    for suite in ["trixie", "sid"] {
        caisson_images::unpacked("containerd", suite)?;
    }
    compile()?;
    println!("built everything in {:.0} s", start.elapsed().as_secs_f64());

    let mut suites = Vec::new();
    for package in packages_with_tests()? {
        if interrupted.load(Ordering::Relaxed) {
            break;
        }
        let limit = SUITE_LIMIT.min(TOTAL_LIMIT.saturating_sub(start.elapsed()));
        let first = suite(&package, &binaries, limit, interrupted, &[])?;
        suites.push(again(first, &binaries, limit, interrupted)?);
    }
    summarise(&suites, start.elapsed());
    ensure!(!interrupted.load(Ordering::Relaxed), "interrupted");
    ensure!(
        suites.iter().all(|suite| suite.failed == 0),
        "some tests failed"
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
        packages.push((integration, name));
    }
    packages.sort();
    Ok(packages.into_iter().map(|(_, name)| name).collect())
}

/// On a shared machine a test can miss a deadline of its own. The few that failed are run once more, alone; what
/// passes then counts as passed and is named in the summary.
fn again(
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
    let mut arguments = vec!["--", "--exact", "--test-threads=1"];
    arguments.extend(first.failing.iter().map(String::as_str));
    let second = suite(&first.name, binaries, limit, interrupted, &arguments)?;
    first.time += second.time;
    if second.failed == 0 && second.passed == first.failed {
        first.passed += first.failed;
        first.failed = 0;
        first.unsteady = std::mem::take(&mut first.failing);
    }
    Ok(first)
}

/// Runs one package's tests, passing their output on.
fn suite(
    package: &str,
    binaries: &Path,
    limit: Duration,
    interrupted: &Arc<AtomicBool>,
    arguments: &[&str],
) -> Result<Suite> {
    println!("\n=== {package}");
    let start = Instant::now();
    let mut child = build::cargo()
        .args(["test", "--locked", "--no-fail-fast", "--package", package])
        .args(arguments)
        .env("CAISSON_BIN", binaries.join("caisson"))
        .envs(guest::environment(binaries))
        .env("PATH", search_path(binaries)?)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("cannot run cargo")?;
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
        name: package.to_owned(),
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
                suite.failing.extend(failure(&line).map(str::to_owned));
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
        println!("{package}: {problem}");
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

/// The name in a `test NAME ... FAILED` line.
fn failure(line: &str) -> Option<&str> {
    let name = line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?;
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

fn summarise(suites: &[Suite], total: Duration) {
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
        assert_eq!(failure("test stat::as_root ... ok"), None);
        assert_eq!(failure("test result: FAILED. 1 passed; 1 failed"), None);
    }
}
