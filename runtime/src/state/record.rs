//! The content of `state.json`.

use std::path::PathBuf;

use caisson_wire::TransportKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cgroup::Cgroup;
use crate::cgroup::procs::Freezer;
use crate::process::ProcessId;
use crate::spec::Spec;

/// How far the commands have got; liveness is another matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Creating,
    Created,
    /// `start` was asked for.
    Started,
}

/// The status of the OCI runtime specification, and runc's `paused`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub id: String,
    /// Which tier runs it.
    pub tier: String,
    pub bundle: PathBuf,
    /// RFC 3339.
    pub created: String,
    pub phase: Phase,
    /// Of the host's kernel: processes named here belong to that boot alone.
    #[serde(default)]
    pub boot_id: String,
    /// The command that creates it, while it does.
    pub creator: ProcessId,
    /// The process reported to callers; the sandbox lives and dies with it.
    pub sandbox: Option<ProcessId>,
    /// The guest's init on the host: the target of `kill`.
    pub init: Option<ProcessId>,
    pub cgroup: Cgroup,
    /// How system calls reach the app kernel.
    #[serde(default)]
    pub transport: TransportKind,
    /// The checked config.json.
    pub spec: Spec,
}

/// /proc/sys/kernel/random/boot_id; empty where it cannot be read, which is then never compared.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

impl State {
    /// Whether the host has been rebooted since: nothing of it can be left then.
    pub fn is_stale(&self) -> bool {
        let now = boot_id();
        !self.boot_id.is_empty() && !now.is_empty() && self.boot_id != now
    }

    /// Forget processes of an earlier boot, whose pids belong to others by now.
    pub(super) fn settle(mut self) -> State {
        if self.is_stale() {
            (self.sandbox, self.init) = (None, None);
            self.creator = ProcessId {
                pid: 0,
                start_ticks: 0,
            };
        }
        self
    }

    /// What is the case now.
    pub fn status(&self) -> Status {
        let alive = |process: Option<ProcessId>| process.is_some_and(ProcessId::is_alive);
        match self.phase {
            Phase::Creating if self.creator.is_alive() => Status::Creating,
            Phase::Creating => Status::Stopped,
            _ if !alive(self.sandbox) => Status::Stopped,
            Phase::Created => Status::Created,
            Phase::Started if self.cgroup.freezer_state() == Freezer::Frozen => Status::Paused,
            Phase::Started => Status::Running,
        }
    }

    /// The pid callers see: 0 once stopped, as in runc.
    pub fn pid(&self) -> i32 {
        self.sandbox
            .filter(|sandbox| sandbox.is_alive())
            .map_or(0, |sandbox| sandbox.pid)
    }

    /// Host pids of all guest processes. Without a cgroup they are found by the pid namespace of the first, which in a
    /// shared one includes others'.
    pub fn guest_pids(&self) -> Vec<i32> {
        match (self.cgroup.guests(), self.init) {
            (None, Some(init)) if init.is_alive() => crate::process::in_pid_namespace_of(init.pid),
            _ => self.cgroup.guest_pids(),
        }
    }

    /// The root file system as an absolute path.
    pub fn rootfs(&self) -> PathBuf {
        self.bundle.join(
            self.spec
                .root
                .as_ref()
                .map(|root| root.path.as_path())
                .unwrap_or(std::path::Path::new("")),
        )
    }

    /// The state object of the OCI runtime specification, as hooks get it.
    pub fn for_hooks(&self, status: Status) -> Value {
        let mut object = json!({
            "ociVersion": self.spec.oci_version,
            "id": self.id,
            "status": status,
            "bundle": self.bundle,
        });
        if status != Status::Stopped {
            object["pid"] = json!(self.sandbox.map_or(0, |sandbox| sandbox.pid));
        }
        if !self.spec.annotations.is_empty() {
            object["annotations"] = json!(self.spec.annotations);
        }
        object
    }

    /// The object `state` and `list` print, with runc's additions.
    pub fn for_users(&self) -> Value {
        let status = self.status();
        json!({
            "ociVersion": self.spec.oci_version,
            "id": self.id,
            "pid": self.pid(),
            "status": status,
            "bundle": self.bundle,
            "rootfs": self.rootfs(),
            "created": self.created,
            "annotations": self.spec.annotations,
            "owner": "",
        })
    }
}
