//! Sources of bind mounts as detached copies: they can be prepared by a process that has more rights, or sees more, than
//! the one that attaches them.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use caisson_sys::mount_attributes;
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::options::{self, Kind};
use super::{RootfsError, at, idmap, mounts};
use crate::spec::types::Spec;

/// What `create` prepares for a sandbox in a user namespace of its own, to which the host's files may be closed.
#[derive(Debug, Default)]
pub struct Lent {
    pub root: Option<OwnedFd>,
    /// By index into `mounts`.
    pub sources: BTreeMap<usize, OwnedFd>,
}

impl Lent {
    /// Copies of the root file system and of all that is bound; none if the caller may not make any, because its rights
    /// are no more than the sandbox's will be. `container` is the user namespace of the container.
    pub fn prepare(
        spec: &Spec,
        bundle: &Path,
        container: BorrowedFd<'_>,
    ) -> Result<Lent, RootfsError> {
        let mut lent = Lent::default();
        let path = bundle.join(spec.root.as_ref().map_or(Path::new(""), |root| &root.path));
        let root = |source: Errno| RootfsError::Root {
            path: path.display().to_string(),
            source: source.into(),
        };
        let directory = mounts::open_source(&path).map_err(root)?;
        match copy_of(&directory, true) {
            Err(Errno::PERM) => return Ok(lent),
            copy => lent.root = Some(copy.map_err(root)?),
        }
        for (index, entry) in spec.mounts.iter().enumerate() {
            let options = options::parse(entry, index)?;
            let Kind::Bind { recursive } = options.kind else {
                continue;
            };
            let fail = |step| at(&format!("mounts[{index}].source"), &entry.source, step);
            let source = mounts::open_source(&bundle.join(&entry.source)).map_err(fail("open"))?;
            let copy = copy_of(&source, recursive).map_err(fail("open_tree"))?;
            if let Some(reach) = options.idmap {
                idmap::map(index, entry, reach, Some(container), &copy)?;
            }
            lent.sources.insert(index, copy);
        }
        let copies = lent.sources.values().chain(&lent.root);
        for copy in copies {
            mount_attributes::make_slaves(copy.as_fd()).map_err(super::step(
                "make the copies of bind mounts and of the root slaves",
            ))?;
        }
        Ok(lent)
    }
}

/// A detached copy of the mount at `source`; with `recursive` the mounts below it come along.
pub(super) fn copy_of(source: &OwnedFd, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(source, c"", flags)
}

/// Attach a copy to a place of this mount namespace.
pub(super) fn attach(copy: &OwnedFd, place: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(copy, c"", place, c"", flags)
}
