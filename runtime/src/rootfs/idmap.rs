//! Bind mounts whose owners are shown through id mappings, `mounts[].uidMappings` and `gidMappings`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use caisson_sys::mount_attributes::{self, Reach};
use caisson_sys::user_namespace::{self, Mapping};

use super::options::Idmap;
use super::{RootfsError, at};
use crate::spec::types::{IdMapping, Mount};

/// The lines of config.json in the terms of uid_map.
pub fn translate(list: &[IdMapping]) -> Vec<Mapping> {
    list.iter()
        .map(|line| Mapping {
            inside: line.container_id,
            outside: line.host_id,
            count: line.size,
        })
        .collect()
}

/// Map the owners on `copy`, a detached copy of the source of `mounts[index]`: by the mappings of the entry, or those of
/// the container's user namespace if it has none.
pub fn map(
    index: usize,
    entry: &Mount,
    reach: Idmap,
    container: Option<BorrowedFd<'_>>,
    copy: &OwnedFd,
) -> Result<(), RootfsError> {
    let fail = |step| at(&format!("mounts[{index}]"), &entry.destination, step);
    let reach = match reach {
        Idmap::Tree => Reach::Tree,
        Idmap::Mount => Reach::Mount,
    };
    let own = match container {
        Some(_) if entry.uid_mappings.is_empty() => None,
        _ => Some(namespace_of(index, entry)?),
    };
    let mappings = own.as_ref().map(AsFd::as_fd).or(container);
    let Some(mappings) = mappings else {
        return Ok(());
    };
    mount_attributes::map_owners(copy.as_fd(), reach, mappings)
        .map_err(fail("mount_setattr(MOUNT_ATTR_IDMAP)"))
}

fn namespace_of(index: usize, entry: &Mount) -> Result<OwnedFd, RootfsError> {
    let (uids, gids) = (
        translate(&entry.uid_mappings),
        translate(&entry.gid_mappings),
    );
    user_namespace::with_mappings(&uids, &gids).map_err(at(
        &format!("mounts[{index}].uidMappings"),
        &entry.destination,
        "make a user namespace with these mappings",
    ))
}
