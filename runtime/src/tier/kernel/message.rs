//! What `create` and the sandbox process say to each other before the app kernel runs.

use std::path::PathBuf;

use caisson_wire::{BootReply, ProcessSpec, TraceScope, TransportKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::entrance::Entrance;
use crate::cgroup::Cgroup;
use crate::log::Format;
use crate::namespace::Namespaces;
use crate::spec::Spec;
use crate::state::Status;
use crate::tier::Blueprint;

/// Everything the sandbox process needs; beside it travel the control socket and the life line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Description {
    pub(super) id: String,
    pub(super) bundle: PathBuf,
    pub(super) spec: Spec,
    pub(super) process: ProcessSpec,
    pub(super) cgroup: Cgroup,
    pub(super) namespaces: Namespaces,
    /// The state that createContainer hooks get, without the pid.
    pub(super) hook_state: Value,
    pub(super) transport: TransportKind,
    /// A log of calls comes with the message, behind the descriptors that always do.
    pub(super) strace: Option<TraceScope>,
    /// Then the runtime's log.
    pub(super) log: Option<Format>,
    /// What is lent to a sandbox in a user namespace of its own comes then, and last what is preserved for the init
    /// process.
    pub(super) lent: Option<Loan>,
}

/// In this order: the cgroups' files, the root file system, sources of bind mounts.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Loan {
    pub(super) cgroups: usize,
    pub(super) root: bool,
    /// Indexes into `mounts`.
    pub(super) sources: Vec<usize>,
}

impl Description {
    pub(super) fn new(from: &Blueprint<'_>) -> Description {
        Description {
            id: from.state.id.clone(),
            bundle: from.state.bundle.clone(),
            spec: from.state.spec.clone(),
            process: from.process.clone(),
            cgroup: from.state.cgroup.clone(),
            namespaces: from.namespaces.clone(),
            hook_state: from.state.for_hooks(Status::Creating),
            transport: from.state.transport,
            strace: from.strace.as_ref().map(|(_, scope)| *scope),
            log: from.log.as_ref().map(|(_, format)| *format),
            lent: None,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Down {
    /// Enter the user namespace that comes beside this first.
    Enter(Box<Entrance>),
    Build(Box<Description>),
    /// The hooks of the runtime's side have run.
    GoOn,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Up {
    /// Namespaces and mounts stand.
    Mounted,
    #[serde(untagged)]
    Boot(BootReply),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_app_kernels_reply_and_our_own_share_a_socket() {
        let text = serde_json::to_string(&BootReply::Created { init_pid: 7 }).expect("json");
        assert!(matches!(
            serde_json::from_str(&text),
            Ok(Up::Boot(BootReply::Created { init_pid: 7 }))
        ));
        let text = serde_json::to_string(&Up::Mounted).expect("json");
        assert!(matches!(serde_json::from_str(&text), Ok(Up::Mounted)));
    }
}
