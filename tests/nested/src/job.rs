//! What the machine is to do.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

/// A command to run in the machine as root.
#[derive(Debug, Clone)]
pub struct Job {
    command: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: PathBuf,
    pub(crate) results: Option<PathBuf>,
    pub(crate) memory_mib: u32,
    pub(crate) limit: Duration,
    pub(crate) systemd: Option<Hierarchy>,
}

/// How systemd mounts the cgroup file systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hierarchy {
    /// cgroup v2 alone.
    Unified,
    /// cgroup v1 alone.
    Legacy,
}

impl Job {
    /// Program and arguments. It is found by this process's `PATH`, and starts in its working directory.
    pub fn new<I: IntoIterator<Item = S>, S: Into<OsString>>(command: I) -> Job {
        Job {
            command: command.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
            directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            results: None,
            memory_mib: 2048,
            limit: Duration::from_secs(600),
            systemd: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Job {
        self.command.push(argument.into());
        self
    }

    /// Adds to the command's environment, which is otherwise `PATH` and `HOME=/root`.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Job {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The command's working directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Job {
        self.directory = directory.into();
        self
    }

    /// A directory of the host, absolute, that the machine has at the same path for reading and writing.
    #[must_use]
    pub fn results(mut self, directory: impl Into<PathBuf>) -> Job {
        self.results = Some(directory.into());
        self
    }

    /// The machine's memory; 2048 otherwise.
    #[must_use]
    pub fn memory_mib(mut self, memory_mib: u32) -> Job {
        self.memory_mib = memory_mib;
        self
    }

    /// Makes the host's systemd the machine's init, which runs the command as a service.
    #[must_use]
    pub fn under_systemd(mut self, hierarchy: Hierarchy) -> Job {
        self.systemd = Some(hierarchy);
        self
    }

    /// How long the command may take before it is killed (status 137); 10 minutes otherwise.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Job {
        self.limit = limit;
        self
    }

    /// The shell script that the machine runs.
    pub(crate) fn script(&self) -> Vec<u8> {
        let mut script = b"#!/bin/sh\n".to_vec();
        if let Some(results) = &self.results {
            script.extend_from_slice(b"# results: ");
            script.extend_from_slice(results.as_os_str().as_bytes());
            script.push(b'\n');
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let defaults = [("PATH", path.as_os_str()), ("HOME", OsStr::new("/root"))];
        let environment = self
            .environment
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()));
        for (name, value) in defaults
            .into_iter()
            .map(|(name, value)| (OsStr::new(name), value))
            .chain(environment)
        {
            script.extend_from_slice(b"export ");
            script.extend_from_slice(name.as_bytes());
            script.push(b'=');
            quote(value, &mut script);
            script.push(b'\n');
        }
        script.extend_from_slice(b"cd ");
        quote(self.directory.as_os_str(), &mut script);
        script.extend_from_slice(b" || exit 125\nexec");
        for word in &self.command {
            script.push(b' ');
            quote(word, &mut script);
        }
        script.push(b'\n');
        script
    }
}

/// Appends `word` as one word of the shell's.
fn quote(word: &OsStr, script: &mut Vec<u8>) {
    script.push(b'\'');
    for byte in word.as_bytes() {
        match byte {
            b'\'' => script.extend_from_slice(b"'\\''"),
            other => script.push(*other),
        }
    }
    script.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::Job;

    #[test]
    fn words_survive_the_shell() {
        let job = Job::new(["printf", "%s", "it's $HOME\n"])
            .directory("/")
            .env("A", "b c");
        let script = job.script();
        let output = std::process::Command::new("sh")
            .arg("-c")
            .arg(String::from_utf8(script).expect("text"))
            .output()
            .expect("sh runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "it's $HOME\n");
    }
}
