//! `caisson`, the OCI runtime: command line, `config.json`, state, cgroups, hooks and the container's mount tree.
//!
//! The binary is two programs: the short-lived commands of the OCI runtime, and (executed again as
//! `caisson-kernel`) the sandbox process of one container. What runs the guest is behind [`tier::Tier`].

pub mod cgroup;
pub mod cli;
pub mod commands;
pub mod console;
pub mod debugging;
mod error;
pub mod fault;
pub mod hooks;
pub mod inherited;
pub mod log;
pub mod namespace;
mod net_devices;
pub mod process;
pub mod rootfs;
pub mod rootless;
pub mod spec;
pub mod state;
pub mod systemd;
pub mod tier;
pub mod time;
pub mod transport;
mod user_namespace;

pub use error::RuntimeError;
