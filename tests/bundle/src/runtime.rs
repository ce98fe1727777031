//! Which runtimes are compared.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Tier;

/// A program with runc's command line.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// `runc`, `caisson`, or `caisson-ptrace` for its other transport.
    pub name: String,
    pub program: PathBuf,
    /// Global options.
    pub options: Vec<String>,
}

impl Runtime {
    /// The program with `--root`, so that containers of tests meet no others.
    #[must_use]
    pub fn command(&self, root: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.options).arg("--root").arg(root);
        command
    }

    /// caisson may refuse what the host kernel allows; runc may not.
    #[must_use]
    pub fn is_sandbox(&self) -> bool {
        self.name.starts_with("caisson")
    }
}

/// The runtimes to compare, the reference first: `CAISSON_TEST_RUNTIMES`, by default `runc,caisson`.
///
/// # Panics
/// If one of them is not there.
#[must_use]
pub fn runtimes() -> Vec<Runtime> {
    let names =
        std::env::var("CAISSON_TEST_RUNTIMES").unwrap_or_else(|_| "runc,caisson".to_owned());
    names.split(',').map(runtime).collect()
}

/// As [`runtimes`], by default with the sandbox under each of its transports.
///
/// # Panics
/// If one of them is not there.
#[must_use]
pub fn runtimes_and_transports() -> Vec<Runtime> {
    if std::env::var_os("CAISSON_TEST_RUNTIMES").is_some() {
        return runtimes();
    }
    ["runc", "caisson", "caisson-ptrace"].map(runtime).into()
}

/// The reference alone: the host kernel, through runc.
///
/// # Panics
/// If it is not installed.
#[must_use]
pub fn reference() -> Runtime {
    runtime("runc")
}

/// The sandbox alone.
///
/// # Panics
/// If it was not built.
#[must_use]
pub fn caisson() -> Runtime {
    runtime("caisson")
}

fn runtime(name: &str) -> Runtime {
    let transport = name.strip_prefix("caisson-");
    let program = if name == "caisson" || transport.is_some() {
        sandbox()
    } else {
        in_path(name)
    };
    let mut options: Vec<String> = transport
        .map(|kind| format!("--transport={kind}"))
        .into_iter()
        .collect();
    if name == "caisson" {
        options.extend(
            Tier::current()
                .options()
                .iter()
                .map(|&word| word.to_owned()),
        );
    }
    Runtime {
        name: name.to_owned(),
        program,
        options,
    }
}

fn in_path(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("runtime {name} is not installed: apt-get install {name}"))
}

/// `CAISSON_BIN`, or the binary beside this test's in the target directory.
fn sandbox() -> PathBuf {
    let program = std::env::var_os("CAISSON_BIN").map_or_else(
        || {
            let test = std::env::current_exe().expect("path of the running test");
            let profile = test
                .parent()
                .and_then(Path::parent)
                .expect("target/PROFILE/deps/TEST");
            profile.join("caisson")
        },
        PathBuf::from,
    );
    assert!(
        program.is_file(),
        "{} is not there: build it with `cargo build -p caisson-runtime`, or set CAISSON_BIN",
        program.display()
    );
    program
}
