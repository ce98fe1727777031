//! Attributes of mounts that exist, mount_setattr(2).

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::raw::syscall;

/// Which mounts a change is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The one mount.
    Mount,
    /// It and every mount below it.
    Tree,
}

/// `MOUNT_ATTR_*` of linux/mount.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes(u64);

impl Attributes {
    pub const NONE: Attributes = Attributes(0);
    pub const RDONLY: Attributes = Attributes(1);
    pub const NOSUID: Attributes = Attributes(2);
    pub const NODEV: Attributes = Attributes(MOUNT_ATTR_NODEV);
    pub const NOEXEC: Attributes = Attributes(8);
    pub const NOATIME: Attributes = Attributes(0x10);
    pub const STRICTATIME: Attributes = Attributes(0x20);
    pub const NODIRATIME: Attributes = Attributes(0x80);
    pub const NOSYMFOLLOW: Attributes = Attributes(MOUNT_ATTR_NOSYMFOLLOW);
    /// Everything that can be set.
    pub const ALL: Attributes = Attributes(ATIMES | 0x8f | MOUNT_ATTR_NOSYMFOLLOW);
    pub const ALL_BUT_NODEV: Attributes = Attributes(Self::ALL.0 & !MOUNT_ATTR_NODEV);

    #[must_use]
    pub const fn with(self, other: Attributes) -> Attributes {
        Attributes(self.0 | other.0)
    }

    #[must_use]
    pub const fn contains(self, other: Attributes) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The kinds of access times are one value, which is cleared as a whole.
const ATIMES: u64 = 0x70;

/// Take `clear` off and put `set` on the mount that `mount` is the root of, or on that and all below it.
pub fn change(
    mount: BorrowedFd<'_>,
    reach: Reach,
    set: Attributes,
    clear: Attributes,
) -> Result<(), Errno> {
    let atimes = if (set.0 | clear.0) & ATIMES == 0 {
        0
    } else {
        ATIMES
    };
    set_attributes(
        mount.as_raw_fd(),
        c"",
        reach,
        set.0,
        (clear.0 & !set.0) | atimes,
    )
}

/// Whether the mount with this unique number (`STATX_MNT_ID_UNIQUE`) is still attached. Linux 6.8; `ENOSYS` before.
pub fn is_attached(id: u64) -> Result<bool, Errno> {
    match crate::mount_list::statmount(id, 0) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

const MOUNT_ATTR_NODEV: u64 = 4;
const MOUNT_ATTR_NOSYMFOLLOW: u64 = 0x20_0000;

/// Device nodes of the mount at `path` cannot be opened any more.
pub fn forbid_devices(path: &CStr, reach: Reach) -> Result<(), Errno> {
    set(path, reach, MOUNT_ATTR_NODEV, 0)
}

/// Device nodes of the one mount at `path` can be opened.
pub fn allow_devices(path: &CStr) -> Result<(), Errno> {
    set(path, Reach::Mount, 0, MOUNT_ATTR_NODEV)
}

/// Symbolic links, magic ones included, are not followed on the one mount at `path`.
pub fn forbid_links(path: &CStr) -> Result<(), Errno> {
    set(path, Reach::Mount, MOUNT_ATTR_NOSYMFOLLOW, 0)
}

/// From now on the detached tree of mounts receives what is mounted where it was copied from, and passes nothing on.
pub fn make_slaves(tree: BorrowedFd<'_>) -> Result<(), Errno> {
    let attributes = MountAttr {
        set: 0,
        clear: 0,
        propagation: libc::MS_SLAVE,
        userns_fd: 0,
    };
    call(tree.as_raw_fd(), c"", Reach::Tree, &attributes)
}

/// Mounts and unmounts elsewhere are none in this detached tree, nor the other way round.
pub fn make_private(tree: BorrowedFd<'_>) -> Result<(), Errno> {
    let attributes = MountAttr {
        set: 0,
        clear: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    };
    call(tree.as_raw_fd(), c"", Reach::Tree, &attributes)
}

/// Map the owners of everything on a detached mount by the mappings of a user namespace.
pub fn map_owners(
    mount: BorrowedFd<'_>,
    reach: Reach,
    mappings: BorrowedFd<'_>,
) -> Result<(), Errno> {
    const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;
    let attributes = MountAttr {
        set: MOUNT_ATTR_IDMAP,
        clear: 0,
        propagation: 0,
        userns_fd: mappings.as_raw_fd() as u64,
    };
    call(mount.as_raw_fd(), c"", reach, &attributes)
}

fn set(path: &CStr, reach: Reach, set: u64, clear: u64) -> Result<(), Errno> {
    set_attributes(libc::AT_FDCWD, path, reach, set, clear)
}

/// Of the mount at `path` below the directory `at`, or for an empty path of that of the descriptor.
fn set_attributes(at: i32, path: &CStr, reach: Reach, set: u64, clear: u64) -> Result<(), Errno> {
    let attributes = MountAttr {
        set,
        clear,
        propagation: 0,
        userns_fd: 0,
    };
    call(at, path, reach, &attributes)
}

fn call(at: i32, path: &CStr, reach: Reach, attributes: &MountAttr) -> Result<(), Errno> {
    const AT_RECURSIVE: u32 = 0x8000;
    let mut flags = if reach == Reach::Tree {
        AT_RECURSIVE
    } else {
        0
    };
    if path.is_empty() {
        flags |= libc::AT_EMPTY_PATH as u32;
    }
    // SAFETY: the path is NUL-terminated, the struct is live and of the size that is given.
    unsafe {
        syscall!(
            libc::SYS_mount_setattr,
            at,
            path.as_ptr(),
            flags,
            std::ptr::from_ref(attributes),
            size_of::<MountAttr>()
        )
    }?;
    Ok(())
}
