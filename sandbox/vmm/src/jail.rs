//! What the monitor gives up before its guest runs, so that a guest which takes it over holds little.
//!
//! [`enter`] leaves it an empty tree (but for the directory of the socket device), no network, no capabilities
//! and another user; it needs root and must be called while there is one thread. [`confine_devices`] and
//! [`confine_vcpu`] are the last step of each thread. All descriptors that the machine needs are open before.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change,
    mount_remount, unmount,
};
use rustix::process::{
    Gid, Resource, Rlimit, Uid, getppid, parent_process_death_signal, pivot_root,
    set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use caisson_sys::landlock::Scope;
use caisson_sys::namespace::{Namespaces, unshare};
use caisson_sys::{confine, landlock};

use crate::{Jail, VmmError};

/// Where the new root is put together: a directory that every host has.
const STAGE: &str = "/proc";

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
    empty_tree(keep.as_deref()).map_err(VmmError::step("an empty tree"))?;
    limits().map_err(VmmError::step("limits"))?;
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
    let program = include_bytes!(concat!(env!("OUT_DIR"), "/devices.bpf"));
    set_no_new_privs(true).map_err(VmmError::step("no_new_privs"))?;
    confine::install_thread_filter(&confine::program(program)).map_err(VmmError::step("seccomp"))
}

/// Puts the calling thread under the profile of a virtual CPU's thread. Sets no_new_privs.
///
/// # Errors
/// When the kernel refuses.
pub fn confine_vcpu() -> Result<(), VmmError> {
    let program = include_bytes!(concat!(env!("OUT_DIR"), "/vcpu.bpf"));
    set_no_new_privs(true).map_err(VmmError::step("no_new_privs"))?;
    confine::install_thread_filter(&confine::program(program)).map_err(VmmError::step("seccomp"))
}

/// Makes a new read-only root that holds nothing, or `keep` alone.
fn empty_tree(keep: Option<&Path>) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    mount("tmpfs", STAGE, "tmpfs", flags, Some(c"size=64k,mode=755"))?;
    if let Some(keep) = keep {
        let inside: PathBuf = keep
            .strip_prefix("/")
            .map_or_else(|_| STAGE.into(), |path| Path::new(STAGE).join(path));
        fs::create_dir_all(&inside)?;
        mount_bind(keep, &inside)?;
        mount_remount(&inside, MountFlags::BIND | MountFlags::RDONLY | flags, c"")?;
    }
    rustix::process::chdir(STAGE)?;
    // The new root over the old one, which is then on top of it in the same place.
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    mount_remount("/", MountFlags::BIND | MountFlags::RDONLY | flags, c"")?;
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    Ok(())
}

/// No core file: it would hold the guest's memory.
fn limits() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    Ok(setrlimit(Resource::Core, none)?)
}

fn another_user(jail: &Jail) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(jail.uid), Gid::from_raw(jail.gid));
    // A change of ids clears it.
    let (death_signal, parent) = (parent_process_death_signal()?, getppid());
    set_no_new_privs(true)?;
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
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
    set_parent_process_death_signal(death_signal)?;
    if death_signal.is_some() && getppid() != parent {
        return Err(io::Error::other("the parent has ended"));
    }
    Ok(())
}
