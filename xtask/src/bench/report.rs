//! docs/benchmarks.md: the table, the budgets, and what missed them.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use super::micro::NATIVE;
use super::runtimes::CAISSON;
use super::samples::Samples;
use super::{Bench, lifecycle, memory, programs};

/// Caisson's value may be at most `factor` times that of `than`.
struct Budget {
    row: &'static str,
    factor: f64,
    than: &'static str,
}

const fn budget(row: &'static str, factor: f64, than: &'static str) -> Budget {
    Budget { row, factor, than }
}

/// The design's budgets, but for those in bytes and for means over rows.
const BUDGETS: &[Budget] = &[
    budget(lifecycle::CLI_ROW, 1.5, "crun"),
    budget(lifecycle::CLI_ROW, 1.0 / 8.0, "runsc"),
    budget(lifecycle::CTR_ROW, 1.0, "runc"),
    budget("fork+exit", 1.2, NATIVE),
    budget("fork+exec", 1.5, NATIVE),
    budget("pread 4 KiB", 1.05, NATIVE),
    budget("write 64 B to /dev/null", 1.05, NATIVE),
    budget("touch 1 MiB", 1.05, NATIVE),
    budget("pipe ping", 1.05, NATIVE),
    budget("socket ping", 1.05, NATIVE),
    budget("futex ping", 1.05, NATIVE),
];

/// Our own processes per sleeping container.
const MEMORY_BYTES: f64 = 8.0 * 1024.0 * 1024.0;
/// Geometric mean over the real programs, times runc.
const PROGRAMS_FACTOR: f64 = 1.25;

/// The whole page.
pub(super) fn page(bench: &Bench) -> String {
    let samples = &bench.samples;
    let mut page = String::from(
        "# Benchmarks\n\nWritten by `make bench`; do not edit. Medians of rounds in which the runtimes take turns; \
         lower is better.\n\n",
    );
    let _ = writeln!(
        page,
        "- date: {}",
        output_of("date", &["-u", "+%Y-%m-%d %H:%M UTC"])
    );
    let _ = writeln!(page, "- machine: {}", machine());
    let _ = writeln!(page, "- kernel: {}", output_of("uname", &["-sr"]));
    let _ = writeln!(
        page,
        "- containerd: {}",
        output_of("containerd", &["--version"])
    );
    for runtime in &bench.runtimes {
        let _ = writeln!(page, "- {}: {}", runtime.name, runtime.version);
    }
    if bench.runtimes.iter().all(|runtime| runtime.name != "runsc") {
        page.push_str(
            "- runsc could not be had from this machine's mirror: it is not in the table\n",
        );
    }
    page.push_str(
        "\nrunsc is Debian's from backports, with `--platform=systrap --network=none`. `ctr run` uses Debian's \
         containerd with the overlayfs snapshotter; the runc column there is containerd-shim-runc-v2.\n\n",
    );
    page.push_str(&table(bench));
    page.push_str("\n## Budgets\n\n");
    let (met, missed) = verdicts(samples);
    list(&mut page, "Missed", &missed);
    list(&mut page, "Met", &met);
    list(&mut page, "Not measured", samples.failures());
    page
}

/// A heading with a list, or nothing.
fn list(page: &mut String, heading: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(page, "{heading}:\n");
    for line in lines {
        let _ = writeln!(page, "- {line}");
    }
    page.push('\n');
}

fn table(bench: &Bench) -> String {
    let samples = &bench.samples;
    let mut columns = vec![NATIVE];
    columns.extend(bench.runtimes.iter().map(|runtime| runtime.name));
    let mut text = format!(
        "| what | {} | caisson is |\n|---|{}---|\n",
        columns.join(" | "),
        "--:|".repeat(columns.len())
    );
    for row in samples.rows() {
        let cells: Vec<String> = columns
            .iter()
            .map(|column| {
                samples
                    .median(row, column)
                    .map_or_else(|| "-".to_owned(), |value| amount(row, value))
            })
            .collect();
        let _ = writeln!(
            text,
            "| {row} | {} | {} |",
            cells.join(" | "),
            ratios(samples, row)
        );
    }
    text
}

/// Caisson's ratios to native (or runc where nothing runs natively) and to runsc.
fn ratios(samples: &Samples, row: &str) -> String {
    let Some(ours) = samples.median(row, CAISSON) else {
        return "-".to_owned();
    };
    let base = if samples.median(row, NATIVE).is_some() {
        NATIVE
    } else {
        "runc"
    };
    let ratio = |than: &str| {
        samples
            .median(row, than)
            .map(|theirs| format!("{:.2} x {than}", ours / theirs))
    };
    [ratio(base), ratio("runsc")]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

/// The budgets that were met and missed, in words.
fn verdicts(samples: &Samples) -> (Vec<String>, Vec<String>) {
    let (mut met, mut missed) = (Vec::new(), Vec::new());
    let mut judge = |kept: bool, line: String| {
        if kept {
            met.push(line)
        } else {
            missed.push(line)
        }
    };
    for budget in BUDGETS {
        let (Some(ours), Some(theirs)) = (
            samples.median(budget.row, CAISSON),
            samples.median(budget.row, budget.than),
        ) else {
            continue;
        };
        let ratio = ours / theirs;
        let line = format!(
            "{}: {ratio:.3} x {}, budget {:.3}",
            budget.row, budget.than, budget.factor
        );
        judge(ratio <= budget.factor, line);
    }
    if let Some(bytes) = samples.median(memory::ROW, CAISSON) {
        let line = format!(
            "{}: {}, budget {}",
            memory::ROW,
            mebibytes(bytes),
            mebibytes(MEMORY_BYTES)
        );
        judge(bytes <= MEMORY_BYTES, line);
    }
    if let Some(mean) = geometric_mean(samples, "runc") {
        let line =
            format!("real programs, geometric mean: {mean:.2} x runc, budget {PROGRAMS_FACTOR}");
        judge(mean <= PROGRAMS_FACTOR, line);
    }
    for program in programs::PROGRAMS {
        let pair = (
            samples.median(program.name, CAISSON),
            samples.median(program.name, "runsc"),
        );
        if let (Some(ours), Some(theirs)) = pair {
            let line = format!(
                "{}: {:.2} x runsc, budget: ahead of it",
                program.name,
                ours / theirs
            );
            judge(ours < theirs, line);
        }
    }
    (met, missed)
}

/// Over the programs that both could run.
fn geometric_mean(samples: &Samples, than: &str) -> Option<f64> {
    let ratios: Vec<f64> = programs::PROGRAMS
        .iter()
        .filter_map(|program| {
            Some(samples.median(program.name, CAISSON)? / samples.median(program.name, than)?)
        })
        .collect();
    if ratios.is_empty() {
        return None;
    }
    Some((ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp())
}

/// Nanoseconds or bytes with a fitting unit.
fn amount(row: &str, value: f64) -> String {
    if row == memory::ROW {
        return mebibytes(value);
    }
    match value {
        value if value < 1e4 => format!("{:.2} us", value / 1e3),
        value if value < 1e6 => format!("{:.0} us", value / 1e3),
        value if value < 1e8 => format!("{:.1} ms", value / 1e6),
        value => format!("{:.0} ms", value / 1e6),
    }
}

fn mebibytes(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / 1024.0 / 1024.0)
}

fn machine() -> String {
    let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{cpus} CPUs, {}",
        model.map_or("unknown model", |(_, model)| model)
    )
}

fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}
