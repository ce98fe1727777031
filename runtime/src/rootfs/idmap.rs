//! Bind mounts whose owners are shown through id mappings, `mounts[].uidMappings` and `gidMappings`.

use std::os::fd::{AsFd, OwnedFd};

use caisson_sys::mount_attributes::{self, Reach};
use caisson_sys::user_namespace::{self, Mapping};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::options::Idmap;
use super::{RootfsError, at};
use crate::spec::types::{IdMapping, Mount};

fn translate(list: &[IdMapping]) -> Vec<Mapping> {
    list.iter()
        .map(|line| Mapping {
            inside: line.container_id,
            outside: line.host_id,
            count: line.size,
        })
        .collect()
}

/// Attach a copy of the mount at `source` to `target`; with `recursive` the mounts below it come along.
pub fn attach(
    index: usize,
    entry: &Mount,
    reach: Idmap,
    recursive: bool,
    source: &OwnedFd,
    target: &OwnedFd,
) -> Result<(), RootfsError> {
    let fail = |step| at(&format!("mounts[{index}]"), &entry.destination, step);
    let (uids, gids) = (
        translate(&entry.uid_mappings),
        translate(&entry.gid_mappings),
    );
    let mappings = user_namespace::with_mappings(&uids, &gids).map_err(at(
        &format!("mounts[{index}].uidMappings"),
        &entry.destination,
        "make a user namespace with these mappings",
    ))?;
    let copy = copy_of(source, recursive).map_err(fail("open_tree"))?;
    let reach = match reach {
        Idmap::Tree => Reach::Tree,
        Idmap::Mount => Reach::Mount,
    };
    mount_attributes::map_owners(copy.as_fd(), reach, mappings.as_fd())
        .map_err(fail("mount_setattr(MOUNT_ATTR_IDMAP)"))?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&copy, c"", target, c"", flags).map_err(fail("move_mount"))
}

fn copy_of(source: &OwnedFd, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(source, c"", flags)
}
