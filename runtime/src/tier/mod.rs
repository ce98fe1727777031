//! The one door between the commands and whatever runs the guest.
//!
//! Command line, state, cgroups, hooks and events are the same for every [`Tier`]; nothing outside this
//! module may know which one runs.

mod door;
mod edges;
pub mod kernel;
mod life;
pub mod vm;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process::ExitCode;

use caisson_wire::{ProcessSpec, Shortfall, TraceScope};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::RuntimeError;
use crate::cgroup::below::Below;
use crate::commands::r#do::answering;
use crate::log::Format;
use crate::namespace::Namespaces;
use crate::process::ProcessId;
use crate::spec::types::{Process, Resources};
use crate::spec::{Spec, SpecError};
use crate::state::{Entry, State};
use crate::systemd;

/// What a sandbox is made from.
#[derive(Debug)]
pub struct Blueprint<'a> {
    pub entry: &'a Entry,
    /// Phase `Creating`.
    pub state: &'a State,
    pub namespaces: Namespaces,
    pub process: ProcessSpec,
    /// A log of the calls that guests make.
    pub strace: Option<(File, TraceScope)>,
    /// The runtime's own log, if it is to hear of everything.
    pub log: Option<(File, Format)>,
    /// What the init process has at 3, 4 and so on.
    pub preserved: Vec<OwnedFd>,
}

/// A sandbox that stands and waits for `start`.
///
/// Until [`Newborn::commit`] it ends with the calling process; dropped without it, it is ended here.
#[derive(Debug)]
pub struct Newborn {
    pub sandbox: ProcessId,
    pub init: ProcessId,
    /// Master side of the container's terminal, if it has one.
    pub console: Option<OwnedFd>,
    life_line: life::LifeLine,
}

/// A process to be started in a running sandbox.
#[derive(Debug)]
pub struct Exec<'a> {
    pub state: &'a State,
    pub entry: &'a Entry,
    /// Where it starts, if not in the container's own cgroups.
    pub below: Below,
    pub process: ProcessSpec,
    /// What `process` was made from: its scheduling attributes are set from outside.
    pub document: &'a Process,
    pub console: Option<ConsoleSize>,
    /// Standard input, output and error without a terminal; our own if `None`.
    pub stdio: Option<[BorrowedFd<'a>; 3]>,
    /// What the process has at 3, 4 and so on.
    pub preserved: Vec<OwnedFd>,
}

/// Size of a terminal in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleSize {
    pub rows: u16,
    pub columns: u16,
}

/// A started process, child of the caller.
#[derive(Debug)]
pub struct Running {
    pub process: ProcessId,
    pub console: Option<OwnedFd>,
}

/// Called when the sandbox has its namespaces and mounts, but before it enters them.
pub type OnMounted<'a> = &'a mut dyn FnMut(ProcessId) -> Result<(), RuntimeError>;

pub use life::Committed;

pub trait Tier {
    /// As it is called in the state.
    fn name(&self) -> &'static str;
    fn create(
        &self,
        blueprint: &Blueprint<'_>,
        on_mounted: OnMounted<'_>,
    ) -> Result<Newborn, RuntimeError>;
    /// What the container's limits are for its cgroup on the host, where the sandbox itself counts as well.
    fn on_host(&self, limits: &Resources) -> Resources;
    /// Refuse what this tier cannot do of a config.json that is sound otherwise.
    fn check(&self, spec: &Spec) -> Result<(), SpecError>;
    /// Let the init process execute its program.
    fn start(&self, entry: &Entry) -> Result<(), RuntimeError>;
    fn exec(&self, exec: &Exec<'_>) -> Result<Running, RuntimeError>;
    /// Calls of guests that were refused or are not supported.
    fn shortfalls(&self, entry: &Entry) -> Result<Vec<Shortfall>, RuntimeError>;
    /// Take back what is left of a container outside of its processes, cgroups and state when those are gone.
    fn clean(&self, entry: &Entry, state: &State) -> Result<(), RuntimeError>;
    /// The processes of the container as the host numbers them, those that stand for a guest's included.
    fn pids(&self, state: &State) -> Vec<i32>;
    /// What the container uses, as the `data` of a stats event.
    fn usage(&self, state: &State, entry: &Entry) -> Result<Value, RuntimeError>;
    /// How many of its processes were killed because it was out of memory; none once nobody counts any more.
    fn kills(&self, state: &State, entry: &Entry) -> u64;
    /// Give the guest other limits, besides those of [`Tier::on_host`].
    fn limit(&self, entry: &Entry, limits: &Resources) -> Result<(), RuntimeError>;
    /// Send a signal that is not SIGKILL to every process of the container.
    fn signal_all(&self, state: &State, entry: &Entry, signal: i32) -> Result<(), RuntimeError>;
    /// The container is about to be frozen on the host: freeze what of its guest would not be with that.
    fn pausing(&self, entry: &Entry) -> Result<(), RuntimeError>;
    /// The container was thawed: tell the guest what it has missed.
    fn resumed(&self, entry: &Entry) -> Result<(), RuntimeError>;
    /// Free process `pid` of a sandbox, which was sent SIGKILL and has not ended, from what holds it.
    fn unblock(&self, pid: i32);
}

/// The tier that made this container.
pub fn of(state: &State) -> Result<Box<dyn Tier>, RuntimeError> {
    let kinds = [Kind::Kernel, Kind::Vm];
    let tier = kinds.map(Kind::tier).into_iter();
    let mut found = tier.filter(|tier| tier.name() == state.tier);
    found.next().ok_or_else(|| RuntimeError::Sandbox {
        message: format!("state.json: tier: \"{}\": not of this binary", state.tier),
    })
}

/// The tiers that new containers can be given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// An application kernel in user space
    #[default]
    Kernel,
    /// A virtual machine with a Linux kernel of its own
    Vm,
}

impl Kind {
    pub fn tier(self) -> Box<dyn Tier> {
        match self {
            Kind::Kernel => Box::new(kernel::KernelTier),
            Kind::Vm => Box::new(vm::VmTier),
        }
    }
}

/// What this binary is when it was executed under another name: a process of a sandbox.
#[derive(Clone, Copy, Debug)]
pub enum Role {
    Kernel,
    Vm,
    VmExec,
    Monitor,
    Placeholder,
    Probe,
    Share,
}

impl Role {
    pub fn named(name: &OsStr) -> Option<Role> {
        let known = [
            (kernel::PROCESS_NAME, Role::Kernel),
            (vm::PROCESS_NAME, Role::Vm),
            (vm::EXEC_NAME, Role::VmExec),
            (vm::MONITOR_NAME, Role::Monitor),
            (systemd::PROCESS_NAME, Role::Placeholder),
            (answering::PROCESS_NAME, Role::Probe),
            (vm::SHARE_NAME, Role::Share),
        ];
        let mut found = known.into_iter().filter(|(known, _)| name == *known);
        found.next().map(|(_, role)| role)
    }

    pub fn main(self, arguments: impl Iterator<Item = OsString>) -> ExitCode {
        let text = |argument: OsString| argument.to_string_lossy().into_owned();
        match self {
            Role::Kernel => kernel::birth::main(arguments.map(text)),
            Role::Vm => vm::birth::main(arguments.map(text)),
            Role::VmExec => vm::exec::main(arguments.map(text)),
            Role::Monitor => vm::monitor::main(arguments),
            Role::Placeholder => systemd::placeholder_main(),
            Role::Probe => answering::main(arguments),
            Role::Share => vm::shares::main(arguments),
        }
    }
}
