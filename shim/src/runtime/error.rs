//! What the runtime binary can answer, told apart.

use std::io;
use std::path::PathBuf;

use containerd_shim_protos::ttrpc::Code;
use thiserror::Error;

#[derive(Debug, Error)]
pub(crate) enum RuntimeError {
    /// the binary cannot be run
    #[error("{}: {source}", binary.display())]
    Spawn { binary: PathBuf, source: io::Error },
    /// the runtime does not know the container
    #[error("{0}")]
    NoSuchContainer(String),
    /// the runtime knows such a container already
    #[error("{0}")]
    ContainerExists(String),
    /// the container's process has ended
    #[error("{0}")]
    NotRunning(String),
    /// any other failure, in the runtime's words
    #[error("{message}")]
    Failed { message: String },
    /// the command was killed
    #[error("killed by signal {0}")]
    Killed(u32),
    /// the runtime succeeded, but wrote no pid file
    #[error("pid file {}: {source}", path.display())]
    PidFile { path: PathBuf, source: io::Error },
    /// the pid file holds no pid
    #[error("pid file {}: {value:?} is not a pid", path.display())]
    PidValue { path: PathBuf, value: String },
    /// the output is not what it should be
    #[error("output of {command}: {source}")]
    Output {
        command: &'static str,
        source: serde_json::Error,
    },
    /// the console never came
    #[error("console: {0}")]
    Console(#[source] io::Error),
}

/// runc's command line has no other way than words to say which error it is; these are its words
/// and, where they differ, crun's. This is the only place that looks at a message.
const NO_SUCH_CONTAINER: &[&str] = &["does not exist", "container not found"];
const EXISTS: &[&str] = &[
    "already exists",
    "container with id exists",
    "already in use",
];
const NOT_RUNNING: &[&str] = &[
    "process already finished",
    "container not running",
    "no such process",
    "is not running",
    "not running",
];

impl RuntimeError {
    /// The error of a command that ended with `status` and this last message.
    pub(crate) fn failed(status: u32, message: Option<String>) -> RuntimeError {
        let Some(message) = message else {
            return match status
                .checked_sub(128)
                .filter(|signal| (1..=64).contains(signal))
            {
                Some(signal) => RuntimeError::Killed(signal),
                None => RuntimeError::Failed {
                    message: format!("exit status {status}, without a message"),
                },
            };
        };
        let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
        if says(NOT_RUNNING) {
            RuntimeError::NotRunning(message)
        } else if says(EXISTS) {
            RuntimeError::ContainerExists(message)
        } else if message.contains("container") && says(NO_SUCH_CONTAINER) {
            RuntimeError::NoSuchContainer(message)
        } else {
            RuntimeError::Failed { message }
        }
    }

    pub(crate) fn code(&self) -> Code {
        match self {
            RuntimeError::NoSuchContainer(_) => Code::NOT_FOUND,
            RuntimeError::ContainerExists(_) => Code::ALREADY_EXISTS,
            RuntimeError::NotRunning(_) => Code::FAILED_PRECONDITION,
            RuntimeError::Spawn { .. }
            | RuntimeError::Failed { .. }
            | RuntimeError::Killed(_)
            | RuntimeError::PidFile { .. }
            | RuntimeError::PidValue { .. }
            | RuntimeError::Output { .. }
            | RuntimeError::Console(_) => Code::UNKNOWN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_runc_messages_apart() {
        let code = |message: &str| RuntimeError::failed(1, Some(message.to_owned())).code();
        assert_eq!(code("container does not exist"), Code::NOT_FOUND);
        assert_eq!(
            code("container with given ID already exists"),
            Code::ALREADY_EXISTS
        );
        assert_eq!(code("container not running"), Code::FAILED_PRECONDITION);
        assert_eq!(
            code("unable to signal init: os: process already finished"),
            Code::FAILED_PRECONDITION
        );
        assert_eq!(code("exec: \"nope\": file does not exist"), Code::UNKNOWN);
    }

    #[test]
    fn a_killed_command_is_told_as_such() {
        assert!(matches!(
            RuntimeError::failed(137, None),
            RuntimeError::Killed(9)
        ));
        assert!(matches!(
            RuntimeError::failed(1, None),
            RuntimeError::Failed { .. }
        ));
    }
}
