//! `linux.maskedPaths` and `linux.readonlyPaths`.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_bind, mount_bind_recursive};

use super::attributes::{self, Extent};
use super::options::Flags;
use super::{RootfsError, at, by_descriptor, step, target};
use crate::spec::types::Linux;

/// Cover masked paths and seal read-only ones; paths that do not exist need neither.
pub fn apply(root: BorrowedFd<'_>, linux: &Linux) -> Result<(), RootfsError> {
    let read_only = Flags {
        set: MountFlags::RDONLY,
        clear: MountFlags::empty(),
    };
    for (index, path) in linux.readonly_paths.iter().enumerate() {
        let fail = |step| at(&format!("linux.readonlyPaths[{index}]"), path, step);
        let Some(found) = existing(root, path).map_err(fail("resolve"))? else {
            continue;
        };
        mount_bind_recursive(by_descriptor(&found), by_descriptor(&found))
            .map_err(fail("bind mount"))?;
        let top = target::open(root, path).map_err(fail("resolve"))?;
        attributes::change(&top, read_only, Extent::One).map_err(fail("remount read-only"))?;
    }
    if linux.masked_paths.is_empty() {
        return Ok(());
    }
    let null = rustix::fs::open("/dev/null", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(step("open /dev/null"))?;
    for (index, path) in linux.masked_paths.iter().enumerate() {
        let fail = |step| at(&format!("linux.maskedPaths[{index}]"), path, step);
        let Some(found) = existing(root, path).map_err(fail("resolve"))? else {
            continue;
        };
        cover(&found, &null).map_err(fail("mask"))?;
    }
    Ok(())
}

fn existing(root: BorrowedFd<'_>, path: &str) -> Result<Option<OwnedFd>, Errno> {
    match target::open(root, path) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn cover(found: &OwnedFd, null: &OwnedFd) -> Result<(), Errno> {
    let place = by_descriptor(found);
    if FileType::from_raw_mode(rustix::fs::fstat(found)?.st_mode) == FileType::Directory {
        let flags =
            MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        return mount(
            c"tmpfs",
            place,
            c"tmpfs",
            flags,
            Some(c"mode=755,nr_inodes=1"),
        );
    }
    mount_bind(by_descriptor(null), place)
}
