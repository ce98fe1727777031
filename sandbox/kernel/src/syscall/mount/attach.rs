//! New mounts, copies of mounts, and mounts at another place.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use caisson_sys::mount_attributes::{self, Attributes, Reach};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
};

use super::{Request, change, open_path};
use crate::call::Call;
use crate::mounts::{self, Made};
use crate::reply::Reply;

/// Options of tmpfs that a guest may give, tmpfs(5): not those that bind memory to nodes, ask for huge pages or need a
/// right on the host.
pub(super) const TMPFS_OPTIONS: [&str; 7] = [
    "size",
    "nr_blocks",
    "nr_inodes",
    "mode",
    "uid",
    "gid",
    "inode64",
];

/// Types that Linux has, and that a guest cannot have.
const KNOWN_TYPES: [&str; 16] = [
    "ramfs",
    "overlay",
    "devtmpfs",
    "cgroup",
    "cgroup2",
    "bpf",
    "tracefs",
    "debugfs",
    "securityfs",
    "fuse",
    "ext4",
    "xfs",
    "btrfs",
    "squashfs",
    "hugetlbfs",
    "binfmt_misc",
];

/// A file system of its own (tmpfs), or one more mount of what the container has (proc, sysfs, devpts, mqueue).
pub(super) fn new(call: &mut Call<'_>, request: &Request) -> Result<Reply, Errno> {
    let kind = request.kind.as_ref().ok_or(Errno::INVAL)?;
    let kind = kind.to_str().map_err(|_| Errno::NODEV)?;
    let attributes = change::attributes(request.flags).with(Attributes::NODEV);
    if kind == "tmpfs" {
        call.servant.assume_self()?;
        let mount = tmpfs(request)?;
        mount_attributes::change(mount.as_fd(), Reach::Mount, attributes, Attributes::ALL)?;
        let made = Made {
            locked: Attributes::NODEV,
            own: true,
        };
        return attach(call, request, mount.as_fd(), made);
    }
    let kernel = call.kernel.clone();
    let Some(present) = kernel.mounts().present(kind) else {
        let known =
            KNOWN_TYPES.contains(&kind) || ["proc", "sysfs", "devpts", "mqueue"].contains(&kind);
        return Err(if known { Errno::PERM } else { Errno::NODEV });
    };
    // With what was mounted over it: masked files stay masked.
    let locked = kernel.mounts().locked(present)?;
    call.servant.assume_self()?;
    let mount = kernel.mounts().copy_present(call, present)?;
    // Terminals are devices: these keep what the container's own have.
    let attributes = change::attributes(request.flags);
    mount_attributes::change(mount.as_fd(), Reach::Mount, attributes, Attributes::NONE)?;
    attach(call, request, mount.as_fd(), Made { locked, own: false })
}

fn tmpfs(request: &Request) -> Result<OwnedFd, Errno> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    if let Some(source) = &request.source {
        fsconfig_set_string(&context, "source", source)?;
    }
    let data = request.data.to_str().map_err(|_| Errno::INVAL)?;
    for option in data.split(',').filter(|option| !option.is_empty()) {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        if !TMPFS_OPTIONS.contains(&key) {
            return Err(Errno::INVAL);
        }
        if option.contains('=') {
            fsconfig_set_string(&context, key, value)?;
        } else {
            fsconfig_set_flag(&context, key)?;
        }
    }
    if request.flags & libc::MS_RDONLY != 0 {
        fsconfig_set_flag(&context, "ro")?;
    }
    fsconfig_create(&context)?;
    fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )
}

/// A copy of the mount of `source`, with that file as its root, attached nowhere.
fn copy(
    call: &mut Call<'_>,
    source: BorrowedFd<'_>,
    recursive: OpenTreeFlags,
) -> Result<OwnedFd, Errno> {
    call.servant.assume_self()?;
    mounts::clone_of(source, recursive)
}

/// `MS_BIND`.
pub(super) fn bind(call: &mut Call<'_>, request: &Request) -> Result<Reply, Errno> {
    let path = request
        .source
        .as_ref()
        .filter(|path| !path.is_empty())
        .ok_or(Errno::INVAL)?;
    let source = open_path(call, path, OFlags::empty())?;
    let recursive = request.flags & libc::MS_REC != 0;
    if !recursive && has_mounts_below(call, source.as_fd())? {
        // What they cover is not to be uncovered.
        return Err(Errno::INVAL);
    }
    let locked = call.kernel.mounts().locked(source.as_fd())?;
    let reach = if recursive {
        OpenTreeFlags::AT_RECURSIVE
    } else {
        OpenTreeFlags::empty()
    };
    let mount = copy(call, source.as_fd(), reach)?;
    attach(call, request, mount.as_fd(), Made { locked, own: false })
}

/// `MS_MOVE`, of a mount that a guest made.
pub(super) fn move_here(call: &mut Call<'_>, request: &Request) -> Result<Reply, Errno> {
    let path = request
        .source
        .as_ref()
        .filter(|path| !path.is_empty())
        .ok_or(Errno::INVAL)?;
    let source = open_path(call, path, OFlags::empty())?;
    let mounted = mounts::of(source.as_fd())?;
    if !mounted.is_root || call.kernel.mounts().made(mounted.id).is_none() {
        return Err(Errno::INVAL);
    }
    call.servant.assume_self()?;
    place(source.as_fd(), request)?;
    Ok(Reply::ZERO)
}

fn attach(
    call: &mut Call<'_>,
    request: &Request,
    mount: BorrowedFd<'_>,
    made: Made,
) -> Result<Reply, Errno> {
    let id = mounts::of(mount)?.id;
    let (_, number) = super::namespace(call);
    call.kernel.mounts().remember(mount, made, number)?;
    let placed = place(mount, request);
    if placed.is_err() {
        call.kernel.mounts().forget(id);
    }
    placed.map(|()| Reply::ZERO)
}

fn place(mount: BorrowedFd<'_>, request: &Request) -> Result<(), Errno> {
    let is_directory = |fd: BorrowedFd<'_>| -> Result<bool, Errno> {
        Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) == FileType::Directory)
    };
    if is_directory(mount)? != is_directory(request.target.as_fd())? {
        return Err(Errno::NOTDIR);
    }
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", &request.target, c"", flags)
}

/// Whether the container itself has a mount below `directory`: those are locked (`has_locked_children`).
fn has_mounts_below(call: &mut Call<'_>, directory: BorrowedFd<'_>) -> Result<bool, Errno> {
    call.servant.assume_self()?;
    let (own_root, _) = super::namespace(call);
    call.servant.stand_in(&own_root)?;
    let path = call.kernel.path_of(directory)?;
    let prefix = if path == b"/" { Vec::new() } else { path };
    let table = crate::task::read_proc(call.kernel.host_proc(), "thread-self/mountinfo")?;
    let mut below = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(crate::boot::unescape)
        .filter(|point| {
            point
                .strip_prefix(&*prefix)
                .is_some_and(|rest| rest.starts_with(b"/") && rest.len() > 1)
        });
    Ok(below.any(|point| !is_made(call, &point)))
}

fn is_made(call: &Call<'_>, point: &[u8]) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let opened = rustix::fs::open(point, flags, rustix::fs::Mode::empty());
    opened
        .and_then(|fd| mounts::of(fd.as_fd()))
        .is_ok_and(|mounted| call.kernel.mounts().made(mounted.id).is_some())
}
