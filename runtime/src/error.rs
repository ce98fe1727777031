//! Everything a command can fail with. The messages are what users and engines read; where runc has a
//! wording that engines look for, it is runc's.

use crate::cgroup::CgroupError;
use crate::hooks::HookError;
use crate::rootfs::RootfsError;
use crate::spec::SpecError;
use crate::state::{StateError, Status};

#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    #[error(transparent)]
    Hook(#[from] HookError),
    #[error("{0}")]
    Wire(#[from] caisson_wire::WireError),
    /// The app kernel's own words.
    #[error("sandbox: {message}")]
    Sandbox { message: String },
    #[error("the sandbox process ended while the container was being created")]
    SandboxDied,
    #[error("container not running")]
    NotRunning,
    #[error("cannot start an already running container")]
    StartRunning,
    #[error("cannot start a container that has stopped")]
    StartStopped,
    #[error("cannot delete container {id} that is not stopped: {status}")]
    DeleteRunning { id: String, status: Status },
    #[error("cannot exec in a {status} container")]
    ExecIn { status: Status },
    #[error("cannot {action} a {status} container")]
    WrongStatus {
        action: &'static str,
        status: Status,
    },
    #[error("{option}: \"{value}\": {reason}")]
    Option {
        option: &'static str,
        value: String,
        reason: String,
    },
    #[error("{path}: {step}: {source}")]
    File {
        path: String,
        step: &'static str,
        source: std::io::Error,
    },
    #[error("{step}: {source}")]
    Step {
        step: &'static str,
        source: std::io::Error,
    },
}

impl RuntimeError {
    pub fn option(
        option: &'static str,
        value: impl std::fmt::Display,
        reason: impl Into<String>,
    ) -> RuntimeError {
        RuntimeError::Option {
            option,
            value: value.to_string().escape_debug().to_string(),
            reason: reason.into(),
        }
    }

    pub(crate) fn step<E: Into<std::io::Error>>(
        step: &'static str,
    ) -> impl FnOnce(E) -> RuntimeError + use<E> {
        move |error| RuntimeError::Step {
            step,
            source: error.into(),
        }
    }

    pub(crate) fn file<E: Into<std::io::Error>>(
        path: &std::path::Path,
        step: &'static str,
    ) -> impl FnOnce(E) -> RuntimeError + use<E> {
        let path = path.display().to_string();
        move |error| RuntimeError::File {
            path,
            step,
            source: error.into(),
        }
    }
}
