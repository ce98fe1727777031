//! Everything that can go wrong in a call of the task API, and the ttrpc code it answers with.

use std::io;
use std::path::PathBuf;

use containerd_shim_protos::ttrpc::Code;
use thiserror::Error;

use crate::runtime::RuntimeError;

#[derive(Debug, Error)]
pub(crate) enum ShimError {
    /// no container of that id is served by this shim
    #[error("container {0:?}: not found")]
    NoSuchContainer(String),
    /// no sandbox of that id is served by this shim
    #[error("sandbox {0:?}: not found")]
    NoSuchSandbox(String),
    /// the process that holds a sandbox's namespaces cannot be run
    #[error("sandbox {id:?}: {reason}")]
    Sandbox { id: String, reason: String },
    /// the container has no such exec process
    #[error("process {exec_id:?} of container {id:?}: not found")]
    NoSuchProcess { id: String, exec_id: String },
    /// the process has ended; containerd knows these words
    #[error("process already finished")]
    ProcessFinished,
    /// a container or exec process of that id is there already
    #[error("{what} {id:?}: already exists")]
    AlreadyExists { what: &'static str, id: String },
    /// the process or container is in the wrong state for the call
    #[error("cannot {action} a process that is {state}")]
    WrongState {
        action: &'static str,
        state: &'static str,
    },
    /// a field of the request cannot be used
    #[error("{field}: {value:?}: {reason}")]
    InvalidField {
        field: &'static str,
        value: String,
        reason: String,
    },
    /// the request asks for something that this shim does not do
    #[error("{field}: {value:?} is not supported")]
    Unsupported { field: &'static str, value: String },
    /// no such method
    #[error("{0} is not supported")]
    NoSuchMethod(String),
    /// the request cannot be decoded
    #[error("request cannot be decoded: {0}")]
    Decode(#[from] containerd_shim_protos::protobuf::Error),
    /// the runtime binary said no
    #[error("OCI runtime {command} failed: {source}")]
    Runtime {
        command: &'static str,
        source: RuntimeError,
    },
    /// a system call on a file failed
    #[error("{action} {}: {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// a JSON file or field cannot be read or written
    #[error("{what}: {source}")]
    Json {
        what: &'static str,
        source: serde_json::Error,
    },
    /// a configuration in TOML cannot be used
    #[error("{source_name}: {source}")]
    Toml {
        source_name: String,
        source: Box<toml::de::Error>,
    },
    /// a thread for the call cannot be made
    #[error("thread for {method}: {source}")]
    Thread { method: String, source: io::Error },
    /// the handler ended without an answer
    #[error("the call ended without an answer")]
    Unanswered,
}

impl ShimError {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> ShimError {
        let path = path.into();
        move |source| ShimError::Io {
            action,
            path,
            source,
        }
    }

    pub(crate) fn runtime(command: &'static str) -> impl FnOnce(RuntimeError) -> ShimError {
        move |source| ShimError::Runtime { command, source }
    }

    /// The one mapping to ttrpc codes. Without `_`, so that a new error must choose its code.
    pub(crate) fn code(&self) -> Code {
        match self {
            ShimError::NoSuchContainer(_)
            | ShimError::NoSuchSandbox(_)
            | ShimError::NoSuchProcess { .. }
            | ShimError::ProcessFinished => Code::NOT_FOUND,
            ShimError::AlreadyExists { .. } => Code::ALREADY_EXISTS,
            ShimError::WrongState { .. } => Code::FAILED_PRECONDITION,
            ShimError::InvalidField { .. } | ShimError::Decode(_) | ShimError::Toml { .. } => {
                Code::INVALID_ARGUMENT
            }
            ShimError::Unsupported { .. } | ShimError::NoSuchMethod(_) => Code::UNIMPLEMENTED,
            ShimError::Runtime { source, .. } => source.code(),
            ShimError::Io { .. } | ShimError::Json { .. } | ShimError::Sandbox { .. } => {
                Code::UNKNOWN
            }
            ShimError::Thread { .. } => Code::RESOURCE_EXHAUSTED,
            ShimError::Unanswered => Code::INTERNAL,
        }
    }
}
