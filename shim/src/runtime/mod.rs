//! Runs the OCI runtime binary, `caisson` by default, as containerd's runc shim runs runc.
//!
//! Key type: [`Runtime`]. Knows runc's command line and log format, and nothing of what the runtime
//! does. Must never leave a command running when the shim dies.

mod command;
mod error;
mod log;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use command::CommandStdio;
pub(crate) use error::RuntimeError;

use crate::options::Options;
use crate::reaper::Reaper;
use crate::tier::Tier;

/// The runtime binary of containers whose options name none; for trying the shim with another OCI runtime.
const OVERRIDE: &str = "CAISSON_RUNTIME";
const DEFAULT_BINARY: &str = "caisson";
/// State of containers that containerd owns, apart from those of other callers.
const DEFAULT_ROOT: &str = "/run/containerd/caisson";
/// A folder of files of cgroup v2 in a container's state.
const GUEST_CGROUP: &str = "cgroup";

pub(crate) struct Runtime {
    binary: PathBuf,
    root: PathBuf,
    systemd_cgroup: bool,
    bundle: PathBuf,
    id: String,
    reaper: Arc<Reaper>,
    /// Numbers the log files of commands that run at the same time.
    commands: AtomicU64,
}

impl Runtime {
    pub(crate) fn new(
        options: &Options,
        namespace: &str,
        bundle: &Path,
        id: &str,
        reaper: Arc<Reaper>,
    ) -> Runtime {
        let root = if options.root.is_empty() {
            DEFAULT_ROOT
        } else {
            &options.root
        };
        Runtime {
            binary: find_binary(&options.binary_name),
            root: Path::new(root).join(namespace),
            systemd_cgroup: options.systemd_cgroup,
            bundle: bundle.to_owned(),
            id: id.to_owned(),
            reaper,
            commands: AtomicU64::new(0),
        }
    }

    /// Make the container; its process waits for [`Runtime::start`]. Returns its pid.
    pub(crate) fn create(
        &self,
        pid_file: &Path,
        console: Option<&Path>,
        flags: &[&str],
        stdio: CommandStdio,
    ) -> Result<i32, RuntimeError> {
        let mut arguments: Vec<OsString> = vec![
            "create".into(),
            "--bundle".into(),
            self.bundle.clone().into(),
        ];
        arguments.extend(["--pid-file".into(), pid_file.into()]);
        if let Some(console) = console {
            arguments.extend(["--console-socket".into(), console.into()]);
        }
        arguments.extend(flags.iter().map(OsString::from));
        arguments.push(self.id.clone().into());
        self.run(&borrow(&arguments), stdio)?;
        read_pid(pid_file)
    }

    pub(crate) fn start(&self) -> Result<(), RuntimeError> {
        self.run(&["start".as_ref(), self.id.as_ref()], CommandStdio::null())
            .map(drop)
    }

    /// Run one more process in the container; `process` is a file with an OCI process. Returns its pid.
    pub(crate) fn exec(
        &self,
        process: &Path,
        pid_file: &Path,
        console: Option<&Path>,
        stdio: CommandStdio,
    ) -> Result<i32, RuntimeError> {
        let mut arguments: Vec<OsString> = vec!["exec".into(), "--detach".into()];
        arguments.extend([
            "--process".into(),
            process.into(),
            "--pid-file".into(),
            pid_file.into(),
        ]);
        if let Some(console) = console {
            arguments.extend(["--console-socket".into(), console.into()]);
        }
        arguments.push(self.id.clone().into());
        self.run(&borrow(&arguments), stdio)?;
        read_pid(pid_file)
    }

    pub(crate) fn kill(&self, signal: u32, scope: KillScope) -> Result<(), RuntimeError> {
        let signal = signal.to_string();
        let arguments: &[&OsStr] = match scope {
            KillScope::Init => &["kill".as_ref(), self.id.as_ref(), signal.as_ref()],
            KillScope::All => &[
                "kill".as_ref(),
                "--all".as_ref(),
                self.id.as_ref(),
                signal.as_ref(),
            ],
        };
        self.run(arguments, CommandStdio::null()).map(drop)
    }

    /// Remove the container; `Force` also kills it, and finds nothing wrong with one that is gone.
    pub(crate) fn delete(&self, force: Force) -> Result<(), RuntimeError> {
        let arguments: &[&OsStr] = match force {
            Force::No => &["delete".as_ref(), self.id.as_ref()],
            Force::Yes => &["delete".as_ref(), "--force".as_ref(), self.id.as_ref()],
        };
        self.run(arguments, CommandStdio::null()).map(drop)
    }

    /// `pause` or `resume`.
    pub(crate) fn freeze(&self, command: &'static str) -> Result<(), RuntimeError> {
        self.run(&[command.as_ref(), self.id.as_ref()], CommandStdio::null())
            .map(drop)
    }

    /// Pids of all processes of the container, as the host counts.
    pub(crate) fn ps(&self) -> Result<Vec<u32>, RuntimeError> {
        let arguments: &[&OsStr] = &[
            "ps".as_ref(),
            "--format".as_ref(),
            "json".as_ref(),
            self.id.as_ref(),
        ];
        let output = self.run(arguments, CommandStdio::null())?;
        // Go writes an empty list as null.
        let pids: Option<Vec<u32>> =
            serde_json::from_slice(&output).map_err(|source| RuntimeError::Output {
                command: "ps",
                source,
            })?;
        Ok(pids.unwrap_or_default())
    }

    /// Where the runtime keeps the files of the container's control group in its guest; only with a virtual machine
    /// is that another than the host's.
    pub(crate) fn guest_cgroup(&self) -> Option<PathBuf> {
        let folder = || self.root.join(&self.id).join(GUEST_CGROUP);
        (Tier::current() == Tier::Vm).then(folder)
    }

    /// Bring those files up to date.
    pub(crate) fn measure(&self) -> Result<(), RuntimeError> {
        let arguments: &[&OsStr] = &["events".as_ref(), "--stats".as_ref(), self.id.as_ref()];
        self.run(arguments, CommandStdio::null()).map(drop)
    }

    /// Change limits; `resources` is a file with OCI linux resources.
    pub(crate) fn update(&self, resources: &Path) -> Result<(), RuntimeError> {
        let arguments: &[&OsStr] = &[
            "update".as_ref(),
            "--resources".as_ref(),
            resources.as_ref(),
            self.id.as_ref(),
        ];
        self.run(arguments, CommandStdio::null()).map(drop)
    }

    pub(crate) fn checkpoint(&self, flags: &[OsString]) -> Result<(), RuntimeError> {
        let mut arguments: Vec<OsString> = vec!["checkpoint".into()];
        arguments.extend_from_slice(flags);
        arguments.push(self.id.clone().into());
        self.run(&borrow(&arguments), CommandStdio::null())
            .map(drop)
    }

    /// Run one command to its end and return what it printed.
    fn run(&self, arguments: &[&OsStr], stdio: CommandStdio) -> Result<Vec<u8>, RuntimeError> {
        let number = self.commands.fetch_add(1, Ordering::Relaxed);
        let log = self.bundle.join(if number == 0 {
            "log.json".to_owned()
        } else {
            format!("log-{number}.json")
        });
        let mut command = std::process::Command::new(&self.binary);
        command
            .arg("--root")
            .arg(&self.root)
            .arg("--log")
            .arg(&log)
            .args(["--log-format", "json"])
            .args(Tier::current().options());
        if self.systemd_cgroup {
            command.arg("--systemd-cgroup");
        }
        command
            .args(arguments)
            .current_dir(&self.bundle)
            .env_remove("MALLOC_ARENA_MAX");
        let result = command::run(&self.reaper, command, stdio, &log);
        if number != 0 {
            let _not_made_without_messages = fs::remove_file(&log);
        }
        result
    }
}

fn borrow(arguments: &[OsString]) -> Vec<&OsStr> {
    arguments.iter().map(OsString::as_os_str).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KillScope {
    Init,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Force {
    No,
    Yes,
}

/// The binary that the options name, else `caisson` beside the shim, else on PATH. Always a path with
/// a slash where one can be found.
pub(crate) fn find_binary(name: &str) -> PathBuf {
    let given = std::env::var_os(OVERRIDE).filter(|binary| !binary.is_empty());
    if let Some(binary) = given.filter(|_| name.is_empty()) {
        return binary.into();
    }
    if name.contains('/') {
        return name.into();
    }
    if name.is_empty() {
        let beside = std::env::current_exe()
            .ok()
            .map(|shim| shim.with_file_name(DEFAULT_BINARY));
        if let Some(beside) = beside.filter(|path| path.is_file()) {
            return beside;
        }
    }
    let name = if name.is_empty() {
        DEFAULT_BINARY
    } else {
        name
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| name.into())
}

fn read_pid(pid_file: &Path) -> Result<i32, RuntimeError> {
    let text = fs::read_to_string(pid_file).map_err(|source| RuntimeError::PidFile {
        path: pid_file.to_owned(),
        source,
    })?;
    match text.trim().parse() {
        Ok(pid) if pid > 0 => Ok(pid),
        _ => Err(RuntimeError::PidValue {
            path: pid_file.to_owned(),
            value: text,
        }),
    }
}
