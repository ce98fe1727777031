//! name_to_handle_at(2). Handles are names that last, for programs that compare files by them; opening one is not
//! for guests, because a handle reaches past the container's tree.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use caisson_sys::file::{HANDLE_MAX, Handle, handle_of};
use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use crate::call::Call;
use crate::reply::Reply;

/// linux/fcntl.h.
const AT_HANDLE_FID: i32 = 0x200;
const AT_HANDLE_MNT_ID_UNIQUE: i32 = 0x001;
const AT_HANDLE_CONNECTABLE: i32 = 0x002;
/// `struct file_handle` without the handle: its length and type.
const HEADER: u64 = 8;

pub fn name_to_handle_at(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let (handle_at, mount_at, flags) = (call.arg(2), call.arg(3), call.int(4));
    let kind = flags & (AT_HANDLE_FID | AT_HANDLE_MNT_ID_UNIQUE | AT_HANDLE_CONNECTABLE);
    if flags & !(kind | libc::AT_SYMLINK_FOLLOW | libc::AT_EMPTY_PATH) != 0 {
        return Err(Errno::INVAL);
    }
    if kind & AT_HANDLE_FID != 0 && kind & AT_HANDLE_CONNECTABLE != 0 {
        return Err(Errno::INVAL);
    }
    let file = named(call, flags)?;
    let device = fstat(&file)?.st_dev;
    if call.kernel.is_synthetic(device) && kind & AT_HANDLE_FID == 0 {
        return Err(Errno::OPNOTSUPP);
    }
    let room: u32 = call.read(handle_at)?;
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if room > HANDLE_MAX {
        return Err(Errno::INVAL);
    }
    let found = handle_of(file.as_fd(), room, kind)?;
    let (Handle::Whole { mount_id, .. } | Handle::Longer { mount_id, .. }) = &found;
    if kind & AT_HANDLE_MNT_ID_UNIQUE != 0 {
        call.write(mount_at, mount_id)?;
    } else {
        call.write(mount_at, &(*mount_id as u32))?;
    }
    match found {
        Handle::Whole { kind, bytes, .. } => {
            call.write(handle_at, &[bytes.len() as u32, kind])?;
            call.write_bytes(handle_at.wrapping_add(HEADER), &bytes)?;
            Ok(Reply::ZERO)
        }
        Handle::Longer { bytes_needed, .. } => {
            call.write(handle_at, &bytes_needed)?;
            Err(Errno::OVERFLOW)
        }
    }
}

fn named(call: &mut Call<'_>, flags: i32) -> Result<OwnedFd, Errno> {
    let directory = call.int(0);
    let mut path = call.path(1)?;
    if path.is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
        if directory != libc::AT_FDCWD {
            return call.fd(directory);
        }
        path = CString::from(c".");
    }
    let mut how = OFlags::PATH | OFlags::CLOEXEC;
    how.set(OFlags::NOFOLLOW, flags & libc::AT_SYMLINK_FOLLOW == 0);
    call.on_path(directory, &path, |at, path| {
        openat(at, path, how, Mode::empty())
    })
}
