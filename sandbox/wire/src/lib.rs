//! Messages between the runtime and the application kernel of one sandbox.
//!
//! Two channels carry them, both `AF_UNIX` `SOCK_SEQPACKET`, one JSON document a packet with file
//! descriptors beside it (`SCM_RIGHTS`):
//!
//! * the *boot* socketpair, inherited by the app kernel at birth: [`BootReply`] travels up once;
//! * the *control* socket `<state>/control.sock`: [`Request`] down, [`Response`] up, one pair a
//!   connection.
//!
//! Both ends are trusted processes of ours, but the *contents* that stem from a guest or from a
//! `config.json` are not: everything is length-checked here and validated where it is used.

use serde::{Deserialize, Serialize};

pub mod agent;
pub mod network;
pub mod share;
mod socket;

pub use socket::{MAX_FDS, MAX_MESSAGE_BYTES, WireError, receive, send};

/// The five capability sets of capabilities(7), bit N standing for capability number N.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilitySets {
    pub bounding: u64,
    pub effective: u64,
    pub inheritable: u64,
    pub permitted: u64,
    pub ambient: u64,
}

/// One resource limit, see getrlimit(2). `resource` is Linux's number (`RLIMIT_*`); limits are in
/// the unit of that resource, `u64::MAX` being `RLIM_INFINITY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    pub resource: u32,
    pub soft: u64,
    pub hard: u64,
}

/// A process to be started inside the sandbox: `process` of config.json, validated and in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// argv, at least one element. `args[0]` without a slash is looked up in `PATH` of `env`.
    pub args: Vec<String>,
    /// `NAME=value` strings.
    pub env: Vec<String>,
    /// Absolute path inside the container.
    pub cwd: String,
    pub uid: u32,
    pub gid: u32,
    pub additional_gids: Vec<u32>,
    /// File mode creation mask; 0o022 where the spec does not say.
    pub umask: u32,
    pub capabilities: CapabilitySets,
    pub no_new_privileges: bool,
    pub rlimits: Vec<Rlimit>,
    /// `/proc/PID/oom_score_adj`, -1000..=1000; `None` inherits the caller's.
    pub oom_score_adj: Option<i32>,
    /// The process gets a new session whose controlling terminal is its standard input.
    pub terminal: bool,
}

/// Sent once by the app kernel over the boot socket when the sandbox stands and its init process
/// waits for `start`, or when it could not be built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootReply {
    /// The init process exists. `init_pid` is its pid on the host. With a terminal, the master side
    /// of the container's console travels beside this message.
    Created { init_pid: i32 },
    /// Nothing was left behind. `message` is for the user.
    Failed { message: String },
}

/// What the runtime may ask of a running app kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Let the init process execute its program. Answer: [`Response::Done`] once the program image is
    /// in place, or [`Response::Failed`].
    Start,
    /// Allocate a terminal in the container's devpts. Answer: [`Response::Done`] with two
    /// descriptors, master then slave.
    OpenConsole { rows: u16, columns: u16 },
    /// Ask for what the filter of an adopted process has to be compiled with. Answer: [`Response::Filter`].
    Filter,
    /// Ask which calls of guests were refused or not supported. Answer: [`Response::Shortfalls`].
    Shortfalls,
    /// Show the machine's guest something of the host's, or show it no more; the mount travels beside this message, as
    /// beside the order itself. Answer: [`Response::Done`] or [`Response::Failed`].
    Share(share::Order),
    /// Take over a process that the caller made with `caisson_sys::guest`: it sits in its first
    /// `execve`, stopped in the listener that travels beside this message where the transport has one. Answer:
    /// [`Response::Done`] once the program image is in place, or [`Response::Failed`] (the caller
    /// then kills its child).
    Adopt { host_pid: i32, process: ProcessSpec },
}

/// How system calls of guests reach the app kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransportKind {
    /// Seccomp user notification.
    #[default]
    Notify,
    /// Seccomp events under ptrace(2).
    Ptrace,
}

impl TransportKind {
    pub fn name(self) -> &'static str {
        match self {
            TransportKind::Notify => "notify",
            TransportKind::Ptrace => "ptrace",
        }
    }
}

/// Which calls of guests are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceScope {
    /// Those that the app kernel serves or refuses, which costs nothing more than the log.
    Served,
    /// The native ones as well, which makes each of them as slow as a served one.
    All,
}

/// What the filters of all processes of a sandbox have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterFacts {
    /// The sandbox's own secret.
    pub secret: u64,
    pub transport: TransportKind,
    /// Native calls are delivered for a log as well.
    pub all_calls: bool,
}

/// Calls of guests that did not get what Linux would give them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortfall {
    /// Name of the call, or its number where it has none.
    pub call: String,
    /// Name of the error.
    pub errno: String,
    /// Refused by the table whatever its handler might say.
    pub refused: bool,
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    Done,
    /// The secret must stay between the trusted processes.
    Filter(FilterFacts),
    Shortfalls(Vec<Shortfall>),
    /// `errno` is Linux's number where one describes the failure (a missing program: `ENOENT`).
    Failed {
        message: String,
        errno: Option<i32>,
    },
}
