//! The mounts that guests with CAP_SYS_ADMIN make in the container's tree.
//!
//! They are real mounts in the app kernel's own mount namespace, so that the host kernel walks them. What the
//! container started with stays as it is: those mounts are locked, as mount_namespaces(7) has it of mounts that a
//! less privileged namespace inherits. A guest cannot unmount them, nor take `ro`, `nosuid`, `nodev` and `noexec` off
//! them or off a copy of one. No mount of a guest's ever lends devices.
//!
//! Where the configuration shares a mount with the host (`rshared`), what a guest mounts below it is there on the host as
//! well, as under every runtime; but for mounts of the app kernel's own file systems, on which nobody outside shall wait.

mod namespace;
mod succession;
pub mod table;

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use caisson_sys::file::{StatxRequest, statx_at};
use caisson_sys::mount_attributes::{Attributes, is_attached};
use rustix::fs::{Mode, OFlags, ResolveFlags, StatVfsMountFlags, openat, openat2};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use namespace::Copier;
pub use namespace::{Namespace, copy as copy_namespace, within};
pub use succession::{Moved, Successor, descriptor_of, place};

use crate::call::Call;
use crate::proc::Changes;
use crate::task::{Directory, lock};

/// How many mounts guests may have at a time in one namespace: each takes memory of the host's kernel.
const MOST: usize = 1024;
/// The same in all of them together.
const MOST_OF_ALL: usize = 8 * MOST;

/// File systems of which a guest can only have what the container already has: type and place.
const PRESENT: [(&str, &str); 4] = [
    ("proc", "proc"),
    ("sysfs", "sys"),
    ("devpts", "dev/pts"),
    ("mqueue", "dev/mqueue"),
];

/// Unique number of a mount, or on kernels before 6.8 its reusable one.
type MountId = u64;

#[derive(Debug, Default)]
pub struct Mounts {
    /// The configuration gave CAP_SYS_ADMIN.
    enabled: bool,
    /// By the number of the namespace that they are in.
    made: Mutex<HashMap<u64, HashMap<MountId, Made>>>,
    /// Masked and read-only paths of the configuration, in whatever namespace.
    covers: HashSet<table::Content>,
    namespaces: Mutex<Numbers>,
    present: Vec<(&'static str, OwnedFd)>,
    copier: OnceLock<Copier>,
    /// What the container's root is a mount of.
    base: Option<table::Content>,
    /// The same of all mounts that it started with.
    first: HashSet<table::Content>,
    /// What the container's own namespace is since a guest has pivoted its root.
    successor: OnceLock<Arc<Namespace>>,
    /// Held by whoever makes that.
    succeeding: Mutex<()>,
    /// How often mounts of the container's own namespace have changed.
    events: AtomicU64,
    /// The same of all, for those who wait for it.
    pub changes: Arc<Changes>,
}

/// The mount namespaces other than the container's own that there are, by number.
#[derive(Debug, Default)]
struct Numbers {
    latest: u64,
    living: HashSet<u64>,
}

/// A mount that a guest made.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// What it must keep, because that of which it is a copy has it.
    pub locked: Attributes,
    /// A file system of its own, whose options may be changed.
    pub own: bool,
    /// It came with what is mounted over files of it, for which its maker did not ask.
    pub covered: bool,
}

/// The mount of an open file.
#[derive(Clone, Copy, Debug)]
pub struct Mounted {
    pub id: MountId,
    /// The file is the mount's root.
    pub is_root: bool,
}

impl Mounts {
    /// To be called in the container's tree before a guest runs. `covers` are its masked and read-only paths.
    pub fn new(
        wanted: bool,
        root: &Directory,
        host_proc: BorrowedFd<'_>,
        covers: &[String],
    ) -> Result<Mounts, Errno> {
        if !wanted {
            return Ok(Mounts::default());
        }
        let rows = table::rows(host_proc, "self")?;
        let base = row_id(root.as_fd())?;
        let base = rows.iter().find(|row| row.id == base);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |(kind, place): &(&'static str, &str)| {
            let fd = openat(root.as_fd(), *place, flags, Mode::empty()).ok()?;
            of(fd.as_fd())
                .is_ok_and(|m| m.is_root)
                .then_some((*kind, fd))
        };
        Ok(Mounts {
            enabled: true,
            made: Mutex::default(),
            namespaces: Mutex::default(),
            copier: OnceLock::new(),
            base: base.map(|row| row.content.clone()),
            first: rows.iter().map(|row| row.content.clone()).collect(),
            successor: OnceLock::new(),
            succeeding: Mutex::default(),
            events: AtomicU64::default(),
            changes: Arc::default(),
            covers: covers
                .iter()
                .filter_map(|path| cover(root.as_fd(), path, &rows))
                .collect(),
            present: PRESENT.iter().filter_map(open).collect(),
        })
    }

    /// A guest has changed a mount in this namespace, or in the container's own.
    pub fn changed(&self, namespace: Option<&Namespace>) {
        let events = namespace.map_or(&self.events, |namespace| &namespace.events);
        events.fetch_add(1, Ordering::AcqRel);
        self.changes.happened();
    }

    /// How often that has happened.
    pub fn events(&self, namespace: Option<&Namespace>) -> u64 {
        let events = namespace.map_or(&self.events, |namespace| &namespace.events);
        events.load(Ordering::Acquire)
    }

    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// The container's own mount of a type.
    pub fn present(&self, kind: &str) -> Option<BorrowedFd<'_>> {
        let found = self.present.iter().find(|(known, _)| *known == kind)?;
        Some(found.1.as_fd())
    }

    /// A copy, attached nowhere, of a mount of the container's own with what is mounted over it, for whatever namespace
    /// this thread is in.
    pub fn copy_present(&self, call: &Call<'_>, mount: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
        if call.thread.with_fs(|fs| fs.mounts.is_some()) {
            self.copier.get().ok_or(Errno::IO)?.copy(mount)
        } else {
            clone_of(mount, OpenTreeFlags::AT_RECURSIVE)
        }
    }

    /// Whether a mount hides, or keeps from being written, what the configuration says.
    pub fn covers(&self, mount: &table::Row) -> bool {
        self.covers.contains(&mount.content)
    }

    /// Whether this is the mount that the container's first process had as its root, or a copy of it.
    pub fn is_base(&self, mount: &table::Row) -> bool {
        self.base.as_ref() == Some(&mount.content)
    }

    /// Whether the container started with this mount, or one of which it is a copy.
    pub fn is_first(&self, mount: &table::Row) -> bool {
        self.first.contains(&mount.content)
    }

    /// What processes are in that are not in a namespace of their own; `None` as long as it is the application kernel's.
    pub fn successor(&self) -> Option<Arc<Namespace>> {
        self.successor.get().cloned()
    }

    pub fn made(&self, id: MountId) -> Option<Made> {
        // No two mounts of the host have the same.
        let all = lock(&self.made);
        all.values().find_map(|own| own.get(&id)).copied()
    }

    /// What must stay set on the mount of `file`, and so on copies of it.
    pub fn locked(&self, file: BorrowedFd<'_>) -> Result<Attributes, Errno> {
        match self.made(of(file)?.id) {
            Some(made) => Ok(made.locked),
            None => protective(file),
        }
    }

    /// Remember a mount before it is attached in the namespace that this thread is in, which has the number `namespace`.
    /// `ENOSPC` when there are too many.
    pub fn remember(&self, mount: BorrowedFd<'_>, made: Made, namespace: u64) -> Result<(), Errno> {
        let id = of(mount)?.id;
        let mut all = lock(&self.made);
        let own = all.entry(namespace).or_default();
        if own.len() >= MOST {
            // Some have gone with the mount below them, which nobody told.
            own.retain(|id, _| is_attached(*id).unwrap_or(true));
        }
        if own.len() >= MOST || all.values().map(HashMap::len).sum::<usize>() >= MOST_OF_ALL {
            return Err(Errno::NOSPC);
        }
        all.entry(namespace).or_default().insert(id, made);
        Ok(())
    }

    fn namespaces(&self) -> usize {
        lock(&self.namespaces).living.len()
    }

    /// A number for a new namespace. `ENOSPC` when there are too many.
    fn admit_namespace(&self) -> Result<u64, Errno> {
        let mut numbers = lock(&self.namespaces);
        if numbers.living.len() >= namespace::MOST {
            return Err(Errno::NOSPC);
        }
        numbers.latest += 1;
        let number = numbers.latest;
        numbers.living.insert(number);
        Ok(number)
    }

    fn forget_namespace(&self, number: u64) {
        lock(&self.namespaces).living.remove(&number);
        lock(&self.made).remove(&number);
    }

    /// What guests made in a namespace is theirs in its copy: mounts before and in the copy, by where they are.
    fn inherit(
        &self,
        namespace: u64,
        before: &HashMap<Vec<u8>, MountId>,
        copied: &HashMap<Vec<u8>, MountId>,
    ) -> Result<(), Errno> {
        let of_guests: HashMap<MountId, Made> = before
            .iter()
            .filter_map(|(point, id)| Some((*copied.get(point)?, self.made(*id)?)))
            .collect();
        let mut all = lock(&self.made);
        if all.values().map(HashMap::len).sum::<usize>() + of_guests.len() > MOST_OF_ALL {
            return Err(Errno::NOSPC);
        }
        all.insert(namespace, of_guests);
        Ok(())
    }

    pub fn forget(&self, id: MountId) {
        for own in lock(&self.made).values_mut() {
            own.remove(&id);
        }
    }
}

/// The mount at a masked or read-only path; `None` where there was nothing to cover.
fn cover(root: BorrowedFd<'_>, path: &str, rows: &[table::Row]) -> Option<table::Content> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT).ok()?;
    of(file.as_fd()).ok().filter(|mounted| mounted.is_root)?;
    let id = row_id(file.as_fd()).ok()?;
    let row = rows.iter().find(|row| row.id == id)?;
    Some(row.content.clone())
}

/// [`table::Row::id`] of the mount that `file` is on.
pub fn row_id(file: BorrowedFd<'_>) -> Result<u64, Errno> {
    let request = StatxRequest {
        flags: libc::AT_EMPTY_PATH,
        mask: libc::STATX_MNT_ID,
    };
    Ok(statx_at(file, c"", request)?.stx_mnt_id)
}

/// A copy, attached nowhere, of a mount in this thread's namespace, with that file as its root.
pub fn clone_of(source: BorrowedFd<'_>, recursive: OpenTreeFlags) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(source, c"", flags | recursive)
}

/// The mount that `file` is on.
pub fn of(file: BorrowedFd<'_>) -> Result<Mounted, Errno> {
    /// linux/stat.h.
    const STATX_MNT_ID_UNIQUE: u32 = 0x4000;
    const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;
    let stat = statx_at(
        file,
        c"",
        StatxRequest {
            flags: libc::AT_EMPTY_PATH,
            mask: libc::STATX_MNT_ID | STATX_MNT_ID_UNIQUE,
        },
    )?;
    Ok(Mounted {
        id: stat.stx_mnt_id,
        is_root: stat.stx_attributes & STATX_ATTR_MOUNT_ROOT != 0,
    })
}

/// The protective attributes of the mount of `file`.
fn protective(file: BorrowedFd<'_>) -> Result<Attributes, Errno> {
    let flags = rustix::fs::fstatvfs(file)?.f_flag;
    let mut locked = Attributes::NODEV;
    for (flag, attribute) in [
        (StatVfsMountFlags::RDONLY, Attributes::RDONLY),
        (StatVfsMountFlags::NOSUID, Attributes::NOSUID),
        (StatVfsMountFlags::NOEXEC, Attributes::NOEXEC),
    ] {
        if flags.contains(flag) {
            locked = locked.with(attribute);
        }
    }
    Ok(locked)
}
