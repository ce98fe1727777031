//! What the monitor gives up before its guest runs, so that a guest which takes it over holds little.
//!
//! [`enter`] leaves it an empty tree (but for the directory of the socket device), no network, no capabilities
//! and another user; it needs root and must be called while there is one thread. [`confine_devices`] and
//! [`confine_vcpu`] are the last step of each thread. All descriptors that the machine needs are open before.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::Mode;
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities, set_no_new_privs,
};

use caisson_sys::landlock::Scope;
use caisson_sys::namespace::{Namespaces, unshare};
use caisson_sys::{confine, landlock, seclusion};

use crate::{Jail, VmmError};

/// Gives up everything that `jail` says. `keep` is a directory that stays visible at the same path, for the guest's
/// connections to the host's sockets in it.
///
/// # Errors
/// When a step fails; the process should then end.
pub fn enter(jail: &Jail, keep: Option<&Path>) -> Result<(), VmmError> {
    if jail.uid == 0 || jail.gid == 0 {
        return Err(VmmError::Config {
            field: "jail",
            value: format!("{}:{}", jail.uid, jail.gid),
            problem: "root is not confined",
        });
    }
    let keep = keep
        .map(|path| fs::canonicalize(path).map_err(VmmError::io("resolve", path)))
        .transpose()?;
    unshare(Namespaces::MOUNT | Namespaces::NET | Namespaces::IPC | Namespaces::UTS)
        .map_err(VmmError::step("new namespaces"))?;
    seclusion::empty_tree(keep.as_deref()).map_err(VmmError::step("an empty tree"))?;
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    seclusion::no_core().map_err(VmmError::step("limits"))?;
    another_user(jail).map_err(VmmError::step("another user"))?;
    let ruleset = landlock::deny_all(Scope::FilesAndSignals).map_err(VmmError::step("Landlock"))?;
    if let Some(ruleset) = ruleset {
        landlock::restrict_self(ruleset.as_fd()).map_err(VmmError::step("Landlock"))?;
    }
    Ok(())
}

/// Puts the calling thread under the profile of the devices' thread. Sets no_new_privs.
///
/// # Errors
/// When the kernel refuses.
pub fn confine_devices() -> Result<(), VmmError> {
    let program = include_bytes!(concat!(env!("OUT_DIR"), "/vmm-devices.bpf"));
    set_no_new_privs(true).map_err(VmmError::step("no_new_privs"))?;
    confine::install_thread_filter(&confine::program(program)).map_err(VmmError::step("seccomp"))
}

/// Puts the calling thread under the profile of a virtual CPU's thread. Sets no_new_privs.
///
/// # Errors
/// When the kernel refuses.
pub fn confine_vcpu() -> Result<(), VmmError> {
    let program = include_bytes!(concat!(env!("OUT_DIR"), "/vmm-vcpu.bpf"));
    set_no_new_privs(true).map_err(VmmError::step("no_new_privs"))?;
    confine::install_thread_filter(&confine::program(program)).map_err(VmmError::step("seccomp"))
}

fn another_user(jail: &Jail) -> io::Result<()> {
    set_no_new_privs(true)?;
    seclusion::another_user(jail.uid, jail.gid)?;
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    Ok(())
}
