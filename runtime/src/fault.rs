//! Points at which tests let a command die, in debug builds only: `CAISSON_FAULT=create.cgroup` kills the process that
//! reaches that point with SIGKILL, as an out-of-memory killer or an impatient operator would.

/// The environment variable that names a point.
pub const VARIABLE: &str = "CAISSON_FAULT";

/// Reached only with a user namespace of the container's.
pub const USER: &str = "sandbox.user";

/// Every point there is, in the order in which they are reached.
pub const POINTS: &[&str] = &[
    "create.folder",
    "create.state",
    "create.cgroup",
    "create.limits",
    "create.spawned",
    "sandbox.joined",
    USER,
    "sandbox.namespaces",
    "sandbox.mounted",
    "create.mounted",
    "sandbox.entered",
    "create.created",
    "create.pid-file",
    "create.saved",
    "start.hooks",
    "start.noted",
    "start.started",
    "delete.killed",
    "delete.cgroup",
    "delete.hooks",
];

/// Die here if the environment says so.
pub fn point(name: &'static str) {
    debug_assert!(POINTS.contains(&name), "{name} is not listed");
    if cfg!(debug_assertions) && std::env::var_os(VARIABLE).is_some_and(|wanted| wanted == name) {
        let own = rustix::process::getpid();
        // It cannot fail for our own process.
        rustix::process::kill_process(own, rustix::process::Signal::KILL).ok();
    }
}

/// The variable for a process whose environment is otherwise empty.
pub fn inherited() -> Option<(&'static str, std::ffi::OsString)> {
    std::env::var_os(VARIABLE)
        .filter(|_| cfg!(debug_assertions))
        .map(|value| (VARIABLE, value))
}
