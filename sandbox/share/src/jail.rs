//! What the server gives up before it serves its guest, so that a guest which takes it over holds little more than
//! the files it may change anyway.
//!
//! [`enter`] leaves it an empty tree, no network, a user of its own and the few capabilities that changing files in
//! others' names takes; it needs root and must be called while there is one thread. [`confine`] is the last step of
//! each thread.

use std::io;
use std::os::fd::AsFd;

use caisson_sys::credentials;
use caisson_sys::namespace::{Namespaces, unshare};
use caisson_sys::{confine as filter, landlock, seclusion};
use rustix::fs::Mode;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::set_no_new_privs;

/// Why the server could not be confined.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {source}")]
pub struct JailError {
    step: &'static str,
    source: io::Error,
}

fn step<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> JailError {
    move |source| JailError {
        step,
        source: source.into(),
    }
}

/// Capabilities by their numbers in linux/capability.h: what a server of files needs to do in the name of users
/// that only its guest knows.
const CAPABILITIES: u64 = {
    /// Give files to others.
    const CHOWN: u64 = 1 << 0;
    /// Whether the guest's user may use a file has been decided in the guest.
    const DAC_OVERRIDE: u64 = 1 << 1;
    /// As the owner of every file: modes, times, sticky directories.
    const FOWNER: u64 = 1 << 3;
    /// Set-group-id bits for groups that the server is not in.
    const FSETID: u64 = 1 << 4;
    /// setfsgid(2) and setfsuid(2).
    const SETGID: u64 = 1 << 6;
    const SETUID: u64 = 1 << 7;
    /// Device nodes of images. They cannot be opened: shares are `nodev`.
    const MKNOD: u64 = 1 << 27;
    /// File capabilities of images.
    const SETFCAP: u64 = 1 << 31;
    CHOWN | DAC_OVERRIDE | FOWNER | FSETID | SETGID | SETUID | MKNOD | SETFCAP
};

/// Gives up everything that is not needed and becomes the user and group `id`. The working directory is this
/// process's /proc/self/fd afterwards, through which a file is named that has a descriptor only.
///
/// # Errors
/// When a step fails; the process should then end.
pub fn enter(id: u32) -> Result<(), JailError> {
    unshare(Namespaces::MOUNT | Namespaces::NET | Namespaces::IPC | Namespaces::UTS)
        .map_err(step("new namespaces"))?;
    // A mount of that directory alone, with nothing of /proc above it.
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let own = open_tree(rustix::fs::CWD, c"/proc/self/fd", flags)
        .map_err(step("open_tree of /proc/self/fd"))?;
    seclusion::empty_tree(None).map_err(step("an empty tree"))?;
    rustix::process::fchdir(&own).map_err(step("fchdir"))?;
    // Its descriptor must outlive everything: the mount goes with it.
    std::mem::forget(own);
    // Modes are the guest's business.
    rustix::process::umask(Mode::empty());
    seclusion::no_core().map_err(step("limits"))?;
    raise_descriptors().map_err(step("limits"))?;
    credentials::keep_capabilities_across_setuid().map_err(step("securebits"))?;
    seclusion::another_user(id, id).map_err(step("another user"))?;
    let (_, permitted) = credentials::capabilities().map_err(step("capabilities"))?;
    let kept = permitted & CAPABILITIES;
    credentials::set_capabilities(kept, kept).map_err(step("capabilities"))?;
    set_no_new_privs(true).map_err(step("no_new_privs"))?;
    if let Some(ruleset) = landlock::deny_all_but_files().map_err(step("Landlock"))? {
        landlock::restrict_self(ruleset.as_fd()).map_err(step("Landlock"))?;
    }
    Ok(())
}

/// As many descriptors as may be had: the guest's caches hold nodes, and each takes one. What it takes to have more than
/// this process was given, CAP_SYS_RESOURCE, not every root has.
fn raise_descriptors() -> io::Result<()> {
    /// Linux's own limit, `fs.nr_open`, unless it was changed.
    const MOST: u64 = 1 << 20;
    let limit = |most| Rlimit {
        current: most,
        maximum: most,
    };
    let hard = getrlimit(Resource::Nofile).maximum;
    let more = hard.is_some_and(|hard| hard < MOST);
    if more && setrlimit(Resource::Nofile, limit(Some(MOST))).is_ok() {
        return Ok(());
    }
    Ok(setrlimit(Resource::Nofile, limit(hard))?)
}

/// Puts the calling thread under the profile seccomp-profiles/share.json. Sets no_new_privs.
///
/// # Errors
/// When the kernel refuses.
pub fn confine() -> Result<(), JailError> {
    let program = include_bytes!(concat!(env!("OUT_DIR"), "/share.bpf"));
    set_no_new_privs(true).map_err(step("no_new_privs"))?;
    filter::install_thread_filter(&filter::program(program)).map_err(step("seccomp"))
}
