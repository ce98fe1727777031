//! Tier vm: a virtual machine with a kernel of its own, in which an agent runs the container.
//!
//! ```text
//! caisson-vm          the sandbox process: the container's pid. Carries its files, passes on signals, ends as it ends
//!   ├─ caisson-vmm    the monitor, in the guests' cgroup
//!   └─ caisson-share  serves the guest files of the host, likewise
//! caisson-vm-exec     the same for a process of `caisson exec`
//! ```
//!
//! Whoever holds a session with the agent ([`session`]) stands for a process of the guest; when it dies, so does
//! the process. The commands know none of this: what they signal, freeze and count are these host processes.

pub mod birth;
pub(crate) mod boot;
mod carry;
pub mod exec;
mod files;
mod guest;
mod life;
mod member;
mod message;
pub mod monitor;
mod namespaces;
mod network;
mod pod;
mod resize;
mod session;
pub mod shares;
mod size;
mod usage;

use std::os::fd::AsFd;

use caisson_wire::{Request, Shortfall};
use serde_json::Value;

use super::door::{self, ask, listen, silence, spawn};
use super::life::LifeLine;
use super::{Blueprint, Exec, Newborn, OnMounted, Running, Tier};
use crate::RuntimeError;
use crate::cgroup::procs::Freezer;
use crate::cgroup::stats;
use crate::process::ProcessId;
use crate::rootfs::mounts;
use crate::spec::types::Resources;
use crate::spec::{Spec, SpecError};
use crate::state::{Entry, State};
use message::{Description, Down, Up};
use shares::Share;

pub const PROCESS_NAME: &str = "caisson-vm";
pub const EXEC_NAME: &str = "caisson-vm-exec";
pub const MONITOR_NAME: &str = "caisson-vmm";
pub const SHARE_NAME: &str = "caisson-share";

#[derive(Clone, Copy, Debug)]
pub struct VmTier;

impl Tier for VmTier {
    fn name(&self) -> &'static str {
        "vm"
    }

    fn create(
        &self,
        blueprint: &Blueprint<'_>,
        on_mounted: OnMounted<'_>,
    ) -> Result<Newborn, RuntimeError> {
        if blueprint.strace.is_some() {
            let reason = "the calls of a guest in a virtual machine are not seen";
            return Err(RuntimeError::option("--strace", "true", reason));
        }
        refuse_preserved(blueprint.preserved.len())?;
        let state = blueprint.state;
        mounts::refuse_links(&state.rootfs(), &state.spec.mounts)?;
        let description = Description::new(blueprint)?;
        let control = listen(blueprint.entry)?;
        let (boot, theirs) = door::pair()?;
        let null = silence(&blueprint.process)?;
        let stdio = null.as_ref().map(|null| [null.as_fd(); 3]);
        let shown = &blueprint.process.args;
        let child = spawn(PROCESS_NAME, blueprint.entry.id(), &theirs, stdio, shown)?;
        drop(theirs);
        let pid = child.id() as i32;
        let (line, life_end) = LifeLine::of(child)?;
        let sandbox = ProcessId::of(pid).ok_or(RuntimeError::SandboxDied)?;
        let sent = caisson_wire::send(
            boot.as_fd(),
            &Down::Build(Box::new(description)),
            &[control.as_fd(), life_end.as_fd()],
        );
        // A sandbox that died before it read says why.
        drop((control, life_end));
        if sent.is_ok() {
            message::expect(&boot, &Up::Mounted)?;
            on_mounted(sandbox)?;
            caisson_wire::send(boot.as_fd(), &Down::GoOn, &[])?;
        }
        let console = message::expect(&boot, &Up::Ready)?;
        Ok(Newborn {
            sandbox,
            init: sandbox,
            console,
            life_line: line,
        })
    }

    fn check(&self, spec: &Spec) -> Result<(), SpecError> {
        guest::check(spec)
    }

    fn on_host(&self, limits: &Resources) -> Resources {
        size::on_host(limits)
    }

    fn start(&self, entry: &Entry) -> Result<(), RuntimeError> {
        ask(entry, &Request::Start, &[]).map(drop)
    }

    fn exec(&self, exec: &Exec<'_>) -> Result<Running, RuntimeError> {
        exec::exec(exec)
    }

    fn shortfalls(&self, _: &Entry) -> Result<Vec<Shortfall>, RuntimeError> {
        // The guest has a whole kernel: it refuses what Linux refuses.
        Ok(Vec::new())
    }

    fn clean(&self, entry: &Entry, state: &State) -> Result<(), RuntimeError> {
        if let Some(owner) = pod::owner_of(entry) {
            for share in Share::of(state)? {
                share.take_back(&owner);
            }
        }
        let namespaces = &state.spec.linux.namespaces;
        let network = namespaces.iter().find(|one| one.kind == "network");
        match network {
            // Without a machine of its own it has done nothing there.
            Some(network) if entry.folder().join(files::CONFIG).exists() => {
                network::clean(network.path.as_ref())
            }
            _ => Ok(()),
        }
    }

    fn pids(&self, state: &State) -> Vec<i32> {
        // Among them is a thread of the kernel's for the machine.
        let stands_for_one = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let name = line.split(|byte| *byte == 0).next();
            [PROCESS_NAME, EXEC_NAME]
                .map(str::as_bytes)
                .contains(&name.unwrap_or_default())
        };
        let mut pids = state.cgroup.kernel_pids();
        pids.retain(stands_for_one);
        pids
    }

    fn usage(&self, state: &State, entry: &Entry) -> Result<Value, RuntimeError> {
        // A guest that does not run has nobody to ask, and uses what it used.
        if state.cgroup.freezer_state() == Freezer::Thawed {
            usage::refresh(entry)?;
        }
        Ok(stats::of_folder(&usage::folder(entry)))
    }

    fn kills(&self, _: &State, entry: &Entry) -> u64 {
        usage::kills(entry)
    }

    fn limit(&self, entry: &Entry, limits: &Resources) -> Result<(), RuntimeError> {
        usage::limit(entry, limits)
    }

    fn signal_all(&self, _: &State, entry: &Entry, signal: i32) -> Result<(), RuntimeError> {
        usage::signal_all(entry, signal)
    }

    fn pausing(&self, entry: &Entry) -> Result<(), RuntimeError> {
        // The machine of a pod runs on without one of its members.
        match pod::owner_of(entry) {
            Some(_) => usage::freeze(entry, Freezer::Frozen),
            None => Ok(()),
        }
    }

    fn resumed(&self, entry: &Entry) -> Result<(), RuntimeError> {
        match pod::owner_of(entry) {
            Some(_) => usage::freeze(entry, Freezer::Thawed),
            None => usage::awake(entry),
        }
    }

    fn unblock(&self, _: i32) {
        // Nothing holds a monitor that was sent SIGKILL.
    }
}

/// A descriptor of the host means nothing in a virtual machine.
fn refuse_preserved(count: usize) -> Result<(), RuntimeError> {
    if count == 0 {
        return Ok(());
    }
    let reason = "descriptors of the host cannot be passed into a virtual machine";
    Err(RuntimeError::option("--preserve-fds", count, reason))
}
