//! Attributes of mounts that exist, mount_setattr(2).

use std::ffi::CStr;

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

fn set(path: &CStr, reach: Reach, set: u64, clear: u64) -> Result<(), Errno> {
    const AT_RECURSIVE: u32 = 0x8000;
    let attributes = MountAttr {
        set,
        clear,
        propagation: 0,
        userns_fd: 0,
    };
    let flags = if reach == Reach::Tree {
        AT_RECURSIVE
    } else {
        0
    };
    // SAFETY: the path is NUL-terminated, the struct is live and of the size that is given.
    unsafe {
        syscall!(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttr>()
        )
    }?;
    Ok(())
}
