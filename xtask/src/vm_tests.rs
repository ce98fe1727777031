//! `xtask vm-tests`: the suites in which every container has a virtual machine.
//!
//! The tests are those of the other tier, which `CAISSON_TEST_TIER` tells them. They run here where `/dev/kvm` runs
//! ordinary kernels, and otherwise all in one nested machine, with one processor and so one after the other.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use caisson_nested::Job;

use crate::containerd::search_path;
use crate::{build, guest, packages};

/// All of them together; some 20 minutes on two processors that have little else to do.
pub(crate) const LIMIT: Duration = Duration::from_secs(40 * 60);

/// For two guests beside the programs of the tests.
const MEMORY_MIB: u32 = 3072;

/// Tells the tests that this is the place where they can run; see tests/vm and tests/oci.
const INSIDE: [&str; 2] = ["CAISSON_VM_TESTS_INSIDE", "CAISSON_OCI_TESTS_INSIDE"];

/// Why a test is left out: nothing in it depends on what runs the container.
const OF_THE_SHIM: &str = "the shim's alone, and tested with the other tier";

/// This program's harness takes one name, or none for all.
const OWN_HARNESS: &str = "machine";

/// A test program, and which of its tests are run.
struct Part {
    package: &'static str,
    target: &'static str,
    /// Names or beginnings of names; none for all.
    tests: &'static [&'static str],
    /// Those of them that are not, each with its reason.
    but: &'static [(&'static str, &'static str)],
}

const PARTS: &[Part] = &[
    Part {
        package: "caisson-vm-tests",
        target: OWN_HARNESS,
        tests: &[],
        but: &[],
    },
    Part {
        package: "caisson-oci-tests",
        target: "oci",
        tests: &[
            "lifecycle::",
            "fields::process_fields",
            "fields::a_seccomp_profile_is_enforced",
            "fields::sysctls_and_oom_score",
            "fields::paths_masked_and_read_only",
            "fields::devices_with_their_owner_and_mode",
        ],
        but: &[
            (
                "a_killed_sandbox_takes_its_guests_along",
                "the guest's processes have no number on the host",
            ),
            (
                "start_and_exec_answer_when_the_program_is_in_place",
                "the guest's processes have no number on the host",
            ),
        ],
    },
    Part {
        package: "caisson-oci-tests",
        target: "podman",
        tests: &[],
        but: &[],
    },
    Part {
        package: "caisson-shim-tests",
        target: "run",
        tests: &[],
        but: &[("writes_output_to_a_file", OF_THE_SHIM)],
    },
    Part {
        package: "caisson-shim-tests",
        target: "exec",
        tests: &["reports_status_and_output_of_each", "is_killed_alone"],
        but: &[],
    },
    Part {
        package: "caisson-shim-tests",
        target: "task",
        tests: &[],
        but: &[("refuses_", OF_THE_SHIM)],
    },
    Part {
        package: "caisson-shim-tests",
        target: "events",
        tests: &[],
        but: &[],
    },
    Part {
        package: "caisson-shim-tests",
        target: "stdio",
        tests: &["a_full_disk_makes_the_container_wait"],
        but: &[],
    },
    Part {
        package: "caisson-shim-tests",
        target: "crash",
        tests: &[
            "of_the_shim_takes_the_container_along",
            "of_the_container_is_an_exit_of_137",
        ],
        but: &[],
    },
    Part {
        package: "caisson-shim-tests",
        target: "restart",
        tests: &[],
        but: &[("an_upgrade_of_containerd", OF_THE_SHIM)],
    },
    Part {
        package: "caisson-shim-tests",
        target: "api",
        tests: &[],
        but: &[
            ("shutdown_spares", OF_THE_SHIM),
            ("a_kill_is_answered", OF_THE_SHIM),
        ],
    },
    Part {
        package: "caisson-shim-tests",
        target: "cri",
        tests: &[],
        but: &[],
    },
    // Real programs, with their files on the share; each takes half a minute to one and a half where processors are emulated.
    Part {
        package: "caisson-program-tests",
        target: "programs",
        tests: &[
            "bash_as_a_user",
            "perl",
            "nginx",
            "node",
            "interpreters_as_a_user",
        ],
        but: &[(
            "nginx_serves_the_host",
            "its client gives up before an emulated machine has booted",
        )],
    },
];

/// What is tested here, for those who have to be told that it was not.
pub(crate) fn scope() -> String {
    let mut packages: Vec<&str> = PARTS.iter().map(|part| part.package).collect();
    packages.dedup();
    packages.join(", ")
}

/// Build what is missing and run the tests; the status is theirs. With `words`, only tests with one of them in
/// their names.
pub(crate) fn run(words: &[&str], interrupted: &AtomicBool) -> Result<ExitCode> {
    packages::install()?;
    caisson_images::busybox()?;
    let guest = guest::files()?;
    let debian = guest::debian()?;
    let binary = match std::env::var_os("CAISSON_BIN") {
        Some(binary) => PathBuf::from(binary),
        None => build::release()?.join("caisson"),
    };
    let script = script(&guest, words)?;
    ensure!(!script.is_empty(), "no test has such a name: {words:?}");
    let mut variables: Vec<(OsString, OsString)> = INSIDE
        .iter()
        .map(|name| ((*name).into(), "1".into()))
        .collect();
    variables.push(("CAISSON_TEST_TIER".into(), "vm".into()));
    variables.push(("CAISSON_TEST_CONTAINERD".into(), "installed".into()));
    variables.push(("CAISSON_GUEST".into(), guest.into()));
    variables.push(("CAISSON_GUEST_DEBIAN".into(), debian.into()));
    if let Some(directory) = binary.parent() {
        variables.push(("PATH".into(), search_path(directory)?));
    }
    variables.push(("CAISSON_BIN".into(), binary.into()));
    for name in ["CAISSON_CACHE", "HOME"] {
        if let Some(value) = std::env::var_os(name) {
            variables.push((name.into(), value));
        }
    }
    let shell = ["sh", "-c", &script];
    if caisson_nested::host_has_kvm() {
        let status = Command::new(shell[0])
            .args(&shell[1..])
            .envs(variables)
            .status()
            .context("cannot run sh")?;
        return Ok(ExitCode::from(status.code().map_or(1, |code| code as u8)));
    }
    let mut job = Job::new(shell)
        .directory(build::source_root())
        .memory_mib(MEMORY_MIB)
        .limit(LIMIT);
    for (name, value) in variables {
        job = job.env(name, value);
    }
    let status = caisson_nested::run(&job, interrupted, &mut |line| println!("{line}"))?;
    Ok(ExitCode::from(u8::try_from(status).unwrap_or(1)))
}

/// A shell script that runs every part, whatever became of those before it.
fn script(guest: &Path, words: &[&str]) -> Result<String> {
    let mut script = String::new();
    for (part, program) in PARTS.iter().zip(programs()?) {
        let program = program.with_context(|| format!("{} was not built", part.target))?;
        let tests = part.chosen(&program, guest, words)?;
        if tests.is_empty() {
            continue;
        }
        let name = format!("{} {}", part.package, part.target);
        script.push_str(&format!("echo; echo '--- {name}'; date +%s >/run/began\n"));
        for arguments in part.arguments(&tests, words) {
            script.push_str(&format!(
                "'{}' {arguments} || status=1\n",
                program.display()
            ));
        }
        script.push_str(&format!(
            "echo \"--- {name}: $(($(date +%s) - $(cat /run/began))) s\"\n"
        ));
    }
    if script.is_empty() {
        return Ok(script);
    }
    Ok(format!(
        "status=0\n{script}rm -f /run/began\nexit $status\n"
    ))
}

impl Part {
    /// The names of the tests that are to run, as the program lists them.
    fn chosen(&self, program: &Path, guest: &Path, words: &[&str]) -> Result<Vec<String>> {
        let output = Command::new(program)
            .arg("--list")
            .env("CAISSON_GUEST", guest)
            .output()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
        Ok(names
            .filter(|name| self.wants(name))
            .filter(|name| words.is_empty() || words.iter().any(|word| name.contains(word)))
            .map(str::to_owned)
            .collect())
    }

    /// The command lines that run these tests.
    fn arguments(&self, tests: &[String], words: &[&str]) -> Vec<String> {
        let libtest = self.target != OWN_HARNESS;
        if !libtest && words.is_empty() {
            return vec!["--color=never".to_owned()];
        }
        if !libtest {
            let one = |test| format!("--exact --color=never {test}");
            return tests.iter().map(one).collect();
        }
        let all = tests.join(" ");
        vec![format!("--exact --test-threads=1 --color=never {all}")]
    }

    fn wants(&self, name: &str) -> bool {
        let named = self.tests.is_empty() || self.tests.iter().any(|test| name.starts_with(test));
        let last = name.rsplit("::").next().unwrap_or(name);
        named && !self.but.iter().any(|(test, _)| last.starts_with(test))
    }
}

/// The program of each part, built if it was not.
fn programs() -> Result<Vec<Option<PathBuf>>> {
    let mut command = build::cargo();
    command.args(["test", "--locked", "--quiet", "--no-run"]);
    command.args(["--message-format", "json"]);
    for part in PARTS {
        command.args(["--package", part.package]);
    }
    let output = command.output().context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "cargo test --no-run failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let messages: Vec<serde_json::Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    Ok(PARTS
        .iter()
        .map(|part| {
            let built = messages.iter().find(|message| {
                message["target"]["name"] == part.target
                    && message["target"]["kind"][0] == "test"
                    && message["executable"].is_string()
            })?;
            built["executable"].as_str().map(PathBuf::from)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::PARTS;

    #[test]
    fn exceptions_are_exceptions() {
        let part = &PARTS[1];
        assert!(part.wants("lifecycle::exec::home_is_that_of_the_images_user"));
        assert!(!part.wants("host::process_fields"));
        for (test, _) in part.but {
            assert!(!part.wants(&format!("lifecycle::{test}")));
        }
    }
}
