//! From an assembled mount tree to a running sandbox.

mod console;
mod guests;
mod limits;
mod mounts;
mod prepared;
mod run;
mod spawn;

use std::os::fd::OwnedFd;

use caisson_sys::guest::{MemoryPolicy, SpawnError};
use caisson_wire::{ProcessSpec, TraceScope, TransportKind, WireError};
use rustix::io::Errno;

pub use console::open as open_console;
pub use guests::View;
pub use limits::apply as apply_limits;
pub(crate) use mounts::unescape;
pub use prepared::{Held, Prepared};
pub(crate) use run::check_user;
pub use run::run;

/// Size of a new terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsoleSize {
    pub rows: u16,
    pub columns: u16,
}

/// Namespaces of the guest that can be joined by path. Its user, mount, network and cgroup namespaces are
/// always its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceKind {
    Pid,
    Ipc,
    Uts,
}

/// One line of the devices that the guest may use: `None` stands for every number. The last line that is about a device
/// and an access decides; what none is about is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    pub allow: bool,
    pub kind: DeviceKind,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub access: DeviceAccess,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    Character,
    Block,
}

bitflags::bitflags! {
    /// What is done with a device.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DeviceAccess: u8 {
        const READ = 1;
        const WRITE = 2;
        const MKNOD = 4;
    }
}

impl DeviceRule {
    fn is_about(&self, kind: DeviceKind, device: u64) -> bool {
        self.kind == kind
            && self
                .major
                .is_none_or(|major| major == rustix::fs::major(device))
            && self
                .minor
                .is_none_or(|minor| minor == rustix::fs::minor(device))
    }
}

/// Whether the rules allow all of `access`.
pub fn device_allowed(
    rules: &[DeviceRule],
    kind: DeviceKind,
    device: u64,
    access: DeviceAccess,
) -> bool {
    access.iter().all(|one| {
        rules
            .iter()
            .rev()
            .find(|rule| rule.access.contains(one) && rule.is_about(kind, device))
            .is_some_and(|rule| rule.allow)
    })
}

/// Everything about a container that the app kernel has to know.
#[derive(Debug)]
pub struct Boot {
    pub id: String,
    pub hostname: String,
    pub domainname: String,
    /// The init process.
    pub process: ProcessSpec,
    /// Listening `SOCK_SEQPACKET` socket.
    pub control: OwnedFd,
    /// Where the [`caisson_wire::BootReply`] goes.
    pub boot: OwnedFd,
    /// Present when `process.terminal`.
    pub console: Option<ConsoleSize>,
    /// `cgroup.procs` files, open for writing, that guest processes enter.
    pub guest_cgroups: Vec<OwnedFd>,
    /// Directories of the container's cgroups by controller ("" for cgroup v2), to read limits from.
    pub cgroup_dirs: Vec<(String, OwnedFd)>,
    /// Namespaces to join; the others are new.
    pub join: Vec<(NamespaceKind, OwnedFd)>,
    pub devices: Vec<DeviceRule>,
    /// Sysctls of the configuration, for /proc/sys.
    pub sysctl: Vec<(String, String)>,
    pub readonly_root: bool,
    /// Masked and read-only paths of the configuration.
    pub covers: Vec<String>,
    pub transport: TransportKind,
    /// A log of the calls that guests make.
    pub strace: Option<(OwnedFd, TraceScope)>,
    /// What the configuration forbids its guests.
    pub profile: Option<caisson_filter::Profile>,
    /// Execution domain of every guest process, personality(2).
    pub personality: Option<u32>,
    /// What the init process has at 3, 4 and so on.
    pub preserved: Vec<OwnedFd>,
    /// Where memory of guest processes is to come from.
    pub memory_policy: Option<MemoryPolicy>,
}

/// How the init process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Termination {
    Exited(i32),
    Signaled(i32),
}

#[derive(Debug, thiserror::Error)]
pub enum BootError {
    #[error("{what}: {errno}")]
    Host { what: &'static str, errno: Errno },
    #[error("cannot mount the container's {what} at {path}: {source}")]
    Mount {
        what: &'static str,
        path: String,
        source: std::io::Error,
    },
    #[error("cannot make the init process: {0}")]
    Spawn(#[from] SpawnError),
    #[error("process.user.{field}: {id}: not an id of the container's user namespace")]
    User { field: &'static str, id: u32 },
    #[error("process.cwd: {path:?}: {errno}")]
    Cwd { path: String, errno: Errno },
    #[error("process.rlimits: resource {resource}: soft {soft}, hard {hard}: {errno}")]
    Rlimit {
        resource: u32,
        soft: u64,
        hard: u64,
        errno: Errno,
    },
    #[error("process.oomScoreAdj: {value}: {errno}")]
    OomScoreAdj { value: i32, errno: Errno },
    #[error("exec: {program:?}: {}", program_error(program, *errno))]
    Program { program: String, errno: Errno },
    #[error("boot socket: {0}")]
    Wire(#[from] WireError),
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
    #[error("the init process did not reach its first exec within {0} s")]
    Stuck(u64),
}

/// In runc's words: engines make 127 and 126 of them.
fn program_error(program: &str, errno: Errno) -> String {
    match errno {
        Errno::NOENT if program.contains('/') => "no such file or directory".to_owned(),
        Errno::NOENT => "executable file not found in $PATH".to_owned(),
        Errno::ACCESS => "permission denied".to_owned(),
        Errno::NOEXEC => "exec format error".to_owned(),
        other => other.to_string(),
    }
}

impl BootError {
    pub(crate) fn host(what: &'static str) -> impl FnOnce(Errno) -> BootError {
        move |errno| BootError::Host { what, errno }
    }
}
