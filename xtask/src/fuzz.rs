//! `xtask fuzz`: every fuzz target of fuzz/ for a while.
//!
//! libFuzzer needs its instrumentation only, no sanitizer: a stable compiler builds the targets. What they have found
//! worth keeping stays in `target/fuzz/corpus`, what broke them in `target/fuzz/artifacts`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::build;

/// Of each target, unless it is said.
const SECONDS: u32 = 60;

const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Counters, a table of what they count, and comparisons: what libFuzzer learns from.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];

/// `[SECONDS] [WORD...]`: how long each target runs, and words of the names of those that do.
pub(crate) fn run(words: &[&str], interrupted: &AtomicBool) -> Result<()> {
    let (seconds, words) = match words.split_first() {
        Some((first, rest)) if first.parse::<u32>().is_ok() => (first.parse()?, rest),
        _ => (SECONDS, words),
    };
    let home = build::target_directory()?.join("fuzz");
    let programs = programs(&home)?;
    seed(&home.join("corpus"))?;
    let mut failed = Vec::new();
    let mut count = 0;
    for (name, program) in &programs {
        if !words.is_empty() && !words.iter().any(|word| name.contains(word)) {
            continue;
        }
        if interrupted.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        count += 1;
        if !fuzz(name, program, &home, seconds)? {
            failed.push(name.as_str());
        }
    }
    ensure!(count > 0, "no target has such a name: {words:?}");
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// Name and program of each target.
fn programs(home: &Path) -> Result<Vec<(String, PathBuf)>> {
    let status = build::cargo()
        .args([
            "build",
            "--locked",
            "--release",
            "--manifest-path",
            "fuzz/Cargo.toml",
        ])
        .args(["--target", TRIPLE, "--target-dir"])
        .arg(home)
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
        .status()
        .context("cannot run cargo")?;
    ensure!(
        status.success(),
        "cargo build of the fuzz targets failed ({status})"
    );
    let folder = build::source_root().join("fuzz/targets");
    let mut programs = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        if let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) {
            let program = home.join(TRIPLE).join("release").join(name);
            programs.push((name.to_owned(), program));
        }
    }
    programs.sort();
    Ok(programs)
}

/// Sound inputs, from the program of tests/fuzz.
fn seed(corpus: &Path) -> Result<()> {
    let status = build::cargo()
        .args([
            "run",
            "--locked",
            "--quiet",
            "--package",
            "caisson-fuzz-tests",
        ])
        .args(["--bin", "caisson-fuzz-seeds", "--"])
        .arg(corpus)
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "caisson-fuzz-seeds failed ({status})");
    Ok(())
}

/// Whether nothing was found.
fn fuzz(name: &str, program: &Path, home: &Path, seconds: u32) -> Result<bool> {
    /// One case takes milliseconds; on a busy host, perhaps a second.
    const CASE_LIMIT: Duration = Duration::from_secs(20);
    let corpus = home.join("corpus").join(name);
    let artifacts = home.join("artifacts").join(name);
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let output = Command::new("nice")
        .args(["-n", "10"])
        .arg(program)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={}", CASE_LIMIT.as_secs()))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args([
            "-rss_limit_mb=2048",
            "-max_len=4096",
            "-handle_xfsz=0",
            "-verbosity=1",
        ])
        .arg(&corpus)
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said
        .lines()
        .rfind(|line| line.starts_with('#'))
        .unwrap_or("");
    println!("{name}: {}, {last}", output.status);
    if !output.status.success() {
        let from = said.len().saturating_sub(4000);
        println!("{}", said.get(from..).unwrap_or(&said));
    }
    Ok(output.status.success())
}
