//! The one door between the commands and whatever runs the guest.
//!
//! Command line, state, cgroups, hooks and events are the same for every [`Tier`]; nothing outside this
//! module may know which one runs.

pub mod kernel;

use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};

use caisson_wire::{ProcessSpec, Shortfall, TraceScope};

use crate::RuntimeError;
use crate::cgroup::Cgroup;
use crate::log::Format;
use crate::namespace::Namespaces;
use crate::process::ProcessId;
use crate::spec::types::Process;
use crate::state::{Entry, State};

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
    life_line: kernel::LifeLine,
}

/// A process to be started in a running sandbox.
#[derive(Debug)]
pub struct Exec<'a> {
    pub state: &'a State,
    pub entry: &'a Entry,
    pub cgroup: &'a Cgroup,
    pub process: ProcessSpec,
    /// What `process` was made from: its scheduling attributes are set from outside.
    pub document: &'a Process,
    pub console: Option<ConsoleSize>,
    /// Standard input, output and error without a terminal; our own if `None`.
    pub stdio: Option<[BorrowedFd<'a>; 3]>,
}

/// Size of a terminal in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

pub trait Tier {
    /// As it is called in the state.
    fn name(&self) -> &'static str;
    fn create(
        &self,
        blueprint: &Blueprint<'_>,
        on_mounted: OnMounted<'_>,
    ) -> Result<Newborn, RuntimeError>;
    /// Let the init process execute its program.
    fn start(&self, entry: &Entry) -> Result<(), RuntimeError>;
    fn exec(&self, exec: &Exec<'_>) -> Result<Running, RuntimeError>;
    /// Calls of guests that were refused or are not supported.
    fn shortfalls(&self, entry: &Entry) -> Result<Vec<Shortfall>, RuntimeError>;
    /// Free process `pid` of a sandbox, which was sent SIGKILL and has not ended, from what holds it.
    fn unblock(&self, pid: i32);
}

/// The tier that made this container.
pub fn of(state: &State) -> Result<Box<dyn Tier>, RuntimeError> {
    let kernel = kernel::KernelTier;
    if state.tier == kernel.name() {
        return Ok(Box::new(kernel));
    }
    Err(RuntimeError::Sandbox {
        message: format!("state.json: tier: \"{}\": not of this binary", state.tier),
    })
}

/// The tier for new containers.
pub fn default() -> Box<dyn Tier> {
    Box::new(kernel::KernelTier)
}
