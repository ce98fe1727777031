//! What a process of ours that serves a guest gives up for good: the host's tree, cores, another user's name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change,
    mount_remount, unmount,
};
use rustix::process::{
    Gid, Resource, Rlimit, Uid, getppid, parent_process_death_signal, pivot_root,
    set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// Where the new root is put together: a directory that every host has.
const STAGE: &str = "/proc";

/// Makes a new read-only root that holds nothing, or `keep` alone, a directory that stays at its path. In a mount
/// namespace of the caller's own; the working directory is the root afterwards.
///
/// # Errors
/// When a step fails; the process should then end.
pub fn empty_tree(keep: Option<&Path>) -> io::Result<()> {
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
    Ok(mount_remount(
        "/",
        MountFlags::BIND | MountFlags::RDONLY | flags,
        c"",
    )?)
}

/// No core file: it would hold what is a guest's.
///
/// # Errors
/// When the limit cannot be lowered, which is always allowed.
pub fn no_core() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    Ok(setrlimit(Resource::Core, none)?)
}

/// The calling thread, the only one, becomes another user without groups, and dies with its parent if it did before.
/// What happens to its capabilities is as its securebits say.
///
/// # Errors
/// Without CAP_SETUID and CAP_SETGID, and when the parent has ended meanwhile.
pub fn another_user(uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    // A change of ids clears it.
    let (death_signal, parent) = (parent_process_death_signal()?, getppid());
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    set_parent_process_death_signal(death_signal)?;
    if death_signal.is_some() && getppid() != parent {
        return Err(io::Error::other("the parent has ended"));
    }
    Ok(())
}
