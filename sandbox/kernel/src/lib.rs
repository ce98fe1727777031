//! The application kernel: services the system calls of a container's processes.
//!
//! [`Prepared`] is made while the host is still in sight, [`run`] stands the sandbox up and serves it until
//! its init process ends. ARCHITECTURE.md tells the way of a call through the modules.
//!
//! Nothing here may panic on what a guest does; a guest gets errno values.

mod audited;
mod boot;
mod call;
mod confine;
mod control;
mod desk;
mod dispatch;
mod exec;
mod facts;
mod filter;
#[doc(hidden)]
pub mod fuzzing;
mod ignored;
mod ipc;
mod kernel;
mod mounts;
mod namespaces;
mod net;
mod park;
pub mod proc;
mod repeat;
mod reply;
mod servant;
mod serve;
mod shortfall;
mod strace;
mod syscall;
mod system;
mod task;
mod threads;
mod tracer;
mod transport;
mod walk;
mod walkers;
mod watch;

pub use boot::{
    Boot, BootError, ConsoleSize, DeviceAccess, DeviceKind, DeviceRule, Held, NamespaceKind,
    Prepared, Termination, device_allowed, run,
};
/// Profiles of a configuration, in the filter's terms.
pub use caisson_filter as profile;
pub use filter::{compile as guest_filter, reach as guest_reach};
pub use proc::open_fuse;

/// Exit status of the app kernel when it can serve no longer: nothing a guest's exit status looks like is
/// meant, but 128 + SIGSYS comes nearest to what has happened.
pub(crate) const EXIT_BROKEN: i32 = 159;
