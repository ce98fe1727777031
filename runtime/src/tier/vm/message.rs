//! What `create` and `exec` say to the process that stands for one of the guest's.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use caisson_wire::WireError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::boot::Files;
use super::pod::Membership;
use super::shares::Share;
use super::{guest, pod, session, size, usage};
use crate::RuntimeError;
use crate::cgroup::Cgroup;
use crate::namespace::Namespaces;
use crate::spec::types::Hook;
use crate::spec::{Spec, SpecError};
use crate::state::Status;
use crate::tier::{Blueprint, ConsoleSize};

/// Chooses [`Rootfs`]: `share` (without it) or `image`.
const ROOTFS_ANNOTATION: &str = "dev.caisson.vm.rootfs";

/// How the guest gets its root file system.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Rootfs {
    /// As one of the shares: the host's files themselves.
    Shared,
    /// As a block device with a copy of `source`.
    Image { source: PathBuf, read_only: bool },
}

impl Rootfs {
    fn chosen(spec: &Spec, source: PathBuf) -> Result<Rootfs, RuntimeError> {
        let chosen = spec.annotations.get(ROOTFS_ANNOTATION);
        match chosen.map_or("share", String::as_str) {
            "share" => Ok(Rootfs::Shared),
            "image" => Ok(Rootfs::Image {
                source,
                read_only: spec.root.as_ref().is_some_and(|root| root.readonly),
            }),
            other => {
                let field = format!("annotations.{ROOTFS_ANNOTATION}");
                Err(SpecError::unsupported(field, other, "neither share nor image").into())
            }
        }
    }
}

/// A container to be made; beside it travel the control socket and the life line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Description {
    pub(super) id: String,
    /// Its folder in the state.
    pub(super) folder: PathBuf,
    pub(super) rootfs: Rootfs,
    /// What the machine gets of the host's files.
    pub(super) shares: Vec<Share>,
    /// config.json for the guest.
    pub(super) config: Value,
    /// The container's limits as files of its control group in the guest.
    pub(super) limits: Vec<(String, String)>,
    /// Hooks that run in the namespaces of the sandbox process, and what they are told, but for its pid.
    pub(super) create_container: Vec<Hook>,
    pub(super) hook_state: Value,
    pub(super) cgroup: Cgroup,
    pub(super) namespaces: Namespaces,
    /// In the machine of another container.
    pub(super) membership: Option<Membership>,
    pub(super) terminal: Option<ConsoleSize>,
    pub(super) memory_mib: u32,
    /// How much more `update` can give it.
    pub(super) growth_mib: u32,
    pub(super) vcpus: u8,
    /// The guest's kernel and initial ramdisk.
    pub(super) files: Files,
    /// How long the agent may take for its first word, in seconds.
    pub(super) boot_limit_s: u64,
}

impl Description {
    pub(super) fn new(from: &Blueprint<'_>) -> Result<Description, RuntimeError> {
        let spec = &from.state.spec;
        let size = spec.process.as_ref().and_then(|process| {
            let size = process.console_size.clone().unwrap_or_default();
            process.terminal.then_some(ConsoleSize {
                rows: size.height as u16,
                columns: size.width as u16,
            })
        });
        let limits = size::of_machine(spec)?;
        let id = &from.state.id;
        let rootfs = Rootfs::chosen(spec, from.state.rootfs())?;
        let root = match rootfs {
            Rootfs::Shared => Some(Share::root(id, &from.state.rootfs())),
            Rootfs::Image { .. } => None,
        };
        let mounts = Share::of_mounts(id, &from.state.bundle, spec)?;
        let membership = pod::membership(from)?;
        let vcpus = match &membership {
            Some(membership) => {
                let machine = usage::machine_in(&membership.folder)?;
                usage::check_processors(&machine, &spec.linux.resources)?;
                machine.vcpus
            }
            None => size::vcpus(&limits),
        };
        Ok(Description {
            id: from.state.id.clone(),
            folder: from.entry.folder().to_owned(),
            rootfs,
            config: guest::config(spec, &from.process, &from.state.id, &mounts),
            shares: root
                .into_iter()
                .chain(mounts.into_iter().map(|(_, share)| share))
                .collect(),
            limits: size::in_guest(&spec.linux.resources, vcpus),
            create_container: spec.hooks.create_container.clone(),
            hook_state: from.state.for_hooks(Status::Creating),
            cgroup: from.state.cgroup.clone(),
            namespaces: from.namespaces.clone(),
            membership,
            terminal: size,
            memory_mib: size::memory_mib(&limits),
            growth_mib: size::growth_mib(),
            vcpus,
            files: Files::of(spec)?,
            boot_limit_s: session::boot_limit_s()?,
        })
    }
}

/// A process to be started in a container that runs.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entrant {
    pub(super) id: String,
    pub(super) folder: PathBuf,
    /// `process` of config.json.
    pub(super) process: Value,
    /// Which the process that stands for it joins.
    pub(super) cgroup: Cgroup,
    pub(super) terminal: Option<ConsoleSize>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Down {
    Build(Box<Description>),
    Enter(Box<Entrant>),
    /// The hooks of the runtime's side have run.
    GoOn,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Up {
    /// The root file system is there.
    Mounted,
    /// The process stands; the master of its terminal comes beside this.
    Ready,
    Failed {
        message: String,
    },
}

/// Wait for `what`; anything else is a failure.
pub(super) fn expect(boot: &OwnedFd, what: &Up) -> Result<Option<OwnedFd>, RuntimeError> {
    match caisson_wire::receive::<Up>(boot.as_fd()) {
        Ok((up, mut fds)) if up == *what => Ok(fds.pop()),
        Ok((Up::Failed { message }, _)) => Err(RuntimeError::Sandbox { message }),
        Ok(_) | Err(WireError::Closed) => Err(RuntimeError::SandboxDied),
        Err(error) => Err(error.into()),
    }
}
