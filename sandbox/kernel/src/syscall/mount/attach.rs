//! New mounts, copies of mounts, and mounts at another place.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use caisson_sys::mount_attributes::{self, Attributes, Reach};
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
};

use super::{Request, change, open_path};
use crate::call::Call;
use crate::mounts::table::{self, Row};
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
            covered: false,
        };
        return attach(call, request, mount.as_fd(), made, Origin::Guests);
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
    let made = Made {
        locked,
        own: false,
        covered: true,
    };
    attach(call, request, mount.as_fd(), made, Origin::AppKernel)
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
    let stat = fstat(&source)?;
    call.kernel.namespaces.keep(stat.st_dev, stat.st_ino);
    let recursive = request.flags & libc::MS_REC != 0;
    let tree = Tree::of(call, source.as_fd())?;
    let covered = !recursive && tree.is_covered_below(call);
    if covered && !tree.is_as_begun(call) {
        return Err(Errno::INVAL);
    }
    let recursive = recursive || covered;
    let origin = tree.origin(recursive);
    let locked = call.kernel.mounts().locked(source.as_fd())?;
    let reach = if recursive {
        OpenTreeFlags::AT_RECURSIVE
    } else {
        OpenTreeFlags::empty()
    };
    let mount = copy(call, source.as_fd(), reach)?;
    let made = Made {
        locked,
        own: false,
        covered,
    };
    attach(call, request, mount.as_fd(), made, origin)
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
    let origin = Tree::of(call, source.as_fd())?.origin(true);
    may_travel(call, request, origin)?;
    call.servant.assume_self()?;
    place(source.as_fd(), request)?;
    Ok(Reply::ZERO)
}

fn attach(
    call: &mut Call<'_>,
    request: &Request,
    mount: BorrowedFd<'_>,
    made: Made,
    origin: Origin,
) -> Result<Reply, Errno> {
    may_travel(call, request, origin)?;
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

/// Whose file systems a tree of mounts shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Guests,
    /// Also those that the app kernel serves.
    AppKernel,
}

/// `EPERM` for what the app kernel serves in a place that is shared with the host.
fn may_travel(call: &mut Call<'_>, request: &Request, origin: Origin) -> Result<(), Errno> {
    if origin == Origin::Guests {
        return Ok(());
    }
    let target = mounts::row_id(request.target.as_fd())?;
    let shared = rows(call)?.iter().any(|row| row.id == target && row.shared);
    if shared { Err(Errno::PERM) } else { Ok(()) }
}

/// What there is at a directory and below.
struct Tree {
    mount: u64,
    path: Vec<u8>,
    rows: Vec<Row>,
}

impl Tree {
    fn of(call: &mut Call<'_>, directory: BorrowedFd<'_>) -> Result<Tree, Errno> {
        let rows = rows(call)?;
        Ok(Tree {
            mount: mounts::row_id(directory)?,
            path: call.kernel.path_of(directory)?,
            rows,
        })
    }

    /// A copy of its mount alone would show what the configuration hides, or let it be written: Linux refuses likewise
    /// where mounts below are locked (`has_locked_children`).
    fn is_covered_below(&self, call: &Call<'_>) -> bool {
        let mounts = call.kernel.mounts();
        let mut below = self.rows.iter().filter(|row| row.is_below(&self.path));
        below.any(|row| mounts.covers(row))
    }

    /// proc or sysfs with nothing in it but what the container started with: a copy of all says as much as one of the
    /// mount alone.
    fn is_as_begun(&self, call: &Call<'_>) -> bool {
        let mounts = call.kernel.mounts();
        let part = |row: &&Row| row.id == self.mount || row.is_below(&self.path);
        let mut own = self.rows.iter().filter(part);
        own.all(|row| mounts.is_first(row) && (row.id != self.mount || row.is_fuse))
    }

    fn origin(&self, recursive: bool) -> Origin {
        let part = |row: &&Row| row.id == self.mount || recursive && row.is_below(&self.path);
        if self.rows.iter().filter(part).any(|row| row.is_fuse) {
            Origin::AppKernel
        } else {
            Origin::Guests
        }
    }
}

/// All mounts of the caller's namespace, with the places that they have from its root.
fn rows(call: &mut Call<'_>) -> Result<Vec<Row>, Errno> {
    call.servant.assume_self()?;
    let (root, _) = super::namespace(call);
    call.servant.stand_in(&root)?;
    table::rows(call.kernel.host_proc(), "thread-self")
}
