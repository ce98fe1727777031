//! Working directory, root directory and file mode creation mask: chdir(2), chroot(2), getcwd(2), umask(2).

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use caisson_sys::file::access_at;
use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use crate::audited;
use crate::call::{Call, PATH_MAX};
use crate::mounts;
use crate::reply::Reply;
use crate::task::{Capability, Directory, lock};

pub fn chdir(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let directory = directory_at(call)?;
    enter(call, directory);
    Ok(Reply::ZERO)
}

pub fn fchdir(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let fd = call.fd(call.int(0))?;
    call.assume()?;
    if FileType::from_raw_mode(fstat(&fd)?.st_mode) != FileType::Directory {
        return Err(Errno::NOTDIR);
    }
    access_at(fd.as_fd(), c"", libc::X_OK, libc::AT_EMPTY_PATH)?;
    if let Some(moved) = mounts::descriptor_of(call, fd.as_fd()) {
        enter(call, Directory::new(moved));
        return Ok(Reply::ZERO);
    }
    // What is kept must not be a way to read the directory: only a place to stand on.
    let place = openat(
        &fd,
        c".",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    enter(call, Directory::new(place));
    Ok(Reply::ZERO)
}

pub fn chroot(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let directory = directory_at(call)?;
    if !call.credentials().can(Capability::SysChroot) {
        return Err(Errno::PERM);
    }
    lock(&call.thread.fs()).root = directory;
    Ok(Reply::ZERO)
}

fn enter(call: &Call<'_>, directory: Arc<Directory>) {
    lock(&call.thread.fs()).cwd = directory;
}

/// The directory named by argument 0, which the caller must be allowed to enter.
fn directory_at(call: &mut Call<'_>) -> Result<Arc<Directory>, Errno> {
    let path = call.path(0)?;
    let open = |at: BorrowedFd<'_>, path: &CStr| -> Result<OwnedFd, Errno> {
        let fd = openat(
            at,
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        access_at(fd.as_fd(), c"", libc::X_OK, libc::AT_EMPTY_PATH)?;
        Ok(fd)
    };
    call.on_path(libc::AT_FDCWD, &path, open)
        .map(Directory::new)
}

/// Returns the length with the NUL, as the system call does.
pub fn getcwd(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let (buffer, size) = (call.arg(0), call.arg(1));
    let root = call.thread.root();
    call.servant.stand_in(&root)?;
    // Standing there, the host kernel answers as it does for the guest: "(unreachable)" outside of a
    // chroot, ENOENT in a directory that was removed.
    call.servant.assume_self()?;
    caisson_sys::path::set_cwd(call.thread.cwd().as_fd())?;
    let path = rustix::process::getcwd(Vec::new())?.into_bytes_with_nul();
    if path.len() > PATH_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    if (path.len() as u64) > size {
        return Err(Errno::RANGE);
    }
    call.write_bytes(buffer, &path)?;
    Ok(Reply::Value(path.len() as i64))
}

/// The app kernel applies the mask; the host process gets it as well, for POSIX message queues.
pub fn umask(call: &mut Call<'_>) -> Result<Reply, Errno> {
    lock(&call.thread.fs()).umask = call.uint(0) & 0o777;
    Ok(Reply::Continue(audited::umask()))
}
