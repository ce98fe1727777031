//! `/sys/fs/cgroup` of the container: its own cgroup directories, read-only.
//!
//! Whatever is asked for: it is the app kernel that opens files for guests, and it is not in the guests' cgroup namespace, so
//! that Linux would not keep a guest from raising the very limits that it has (`nsdelegate`, cgroups(7)), nor from freezing
//! the group.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::mount::{MountFlags, mount, mount_bind};

use super::attributes::{self, Extent};
use super::mounts::Context;
use super::options::Flags;
use super::target::{self, Missing};
use super::{RootfsError, at, by_descriptor};
use crate::cgroup::Version;
use crate::spec::types::Mount;

const LOCKED: MountFlags = MountFlags::RDONLY
    .union(MountFlags::NOSUID)
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);

/// The field and the destination of each mount that asks for what it does not get.
pub fn asked_writable(mounts: &[Mount]) -> impl Iterator<Item = (String, &str)> {
    let asked = |entry: &Mount| {
        let cgroups = matches!(entry.kind.as_str(), "cgroup" | "cgroup2");
        cgroups && !entry.options.iter().any(|option| option == "ro")
    };
    let asking = mounts
        .iter()
        .enumerate()
        .filter(move |(_, entry)| asked(entry));
    asking.map(|(index, entry)| {
        (
            format!("mounts[{index}].options"),
            entry.destination.as_str(),
        )
    })
}

/// v2: the container's directory itself. v1: a tmpfs with one directory for each hierarchy.
pub fn attach(
    context: &Context<'_>,
    destination: &str,
    place: BorrowedFd<'_>,
) -> Result<(), RootfsError> {
    let fail = |step| at("mounts: cgroup", destination, step);
    let lock = Flags {
        set: LOCKED,
        clear: MountFlags::empty(),
    };
    if context.cgroup.version == Version::V2 {
        let Some(group) = context.cgroup.groups.first() else {
            return Ok(());
        };
        mount_bind(&group.path, by_descriptor(&place)).map_err(fail("bind mount"))?;
    } else {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount(
            c"tmpfs",
            by_descriptor(&place),
            c"tmpfs",
            flags,
            Some(c"mode=755"),
        )
        .map_err(fail("mount tmpfs"))?;
        let top = target::open(context.root, destination).map_err(fail("resolve"))?;
        for group in &context.cgroup.groups {
            let inside = target::open_or_make(top.as_fd(), &group.name, Missing::Directory)
                .map_err(fail("mkdir"))?;
            mount_bind(&group.path, by_descriptor(&inside)).map_err(fail("bind mount"))?;
            let mounted = target::open(top.as_fd(), &group.name).map_err(fail("resolve"))?;
            attributes::change(&mounted, lock, Extent::One).map_err(fail("remount read-only"))?;
            for controller in group
                .controllers
                .iter()
                .filter(|name| **name != group.name && group.controllers.len() > 1)
            {
                rustix::fs::symlinkat(&group.name, &top, controller).map_err(fail("symlink"))?;
            }
        }
    }
    let top = target::open(context.root, destination).map_err(fail("resolve"))?;
    attributes::change(&top, lock, Extent::One).map_err(fail("remount read-only"))
}
