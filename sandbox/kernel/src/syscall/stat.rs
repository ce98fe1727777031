//! What is known of a file: stat(2), statx(2), access(2), readlink(2), statfs(2).

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};

use caisson_sys::file::{self, StatxRequest, access_at};
use rustix::fs::readlinkat as host_readlinkat;
use rustix::io::Errno;

use crate::call::{Call, PATH_MAX};
use crate::reply::Reply;
use crate::servant::Identity;

pub fn stat(call: &mut Call<'_>) -> Result<Reply, Errno> {
    stat_path(call, libc::AT_FDCWD, 0, 1, 0)
}

pub fn lstat(call: &mut Call<'_>) -> Result<Reply, Errno> {
    stat_path(call, libc::AT_FDCWD, 0, 1, libc::AT_SYMLINK_NOFOLLOW)
}

pub fn newfstatat(call: &mut Call<'_>) -> Result<Reply, Errno> {
    stat_path(call, call.int(0), 1, 2, call.int(3))
}

fn stat_path(
    call: &mut Call<'_>,
    directory: i32,
    path: usize,
    buffer: usize,
    flags: i32,
) -> Result<Reply, Errno> {
    if flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH | libc::AT_NO_AUTOMOUNT) != 0 {
        return Err(Errno::INVAL);
    }
    let stat = match path_or_empty(call, path, flags)? {
        Target::Path(path) => {
            let mut stat =
                call.on_path(directory, &path, |at, path| file::stat_at(at, path, flags))?;
            if counts_threads(call, stat.st_dev, stat.st_ino) {
                let request = StatxRequest {
                    flags: flags | libc::AT_STATX_FORCE_SYNC,
                    mask: libc::STATX_NLINK,
                };
                let now = |at: BorrowedFd<'_>, path: &CStr| file::statx_at(at, path, request);
                stat.st_nlink = call.on_path(directory, &path, now)?.stx_nlink.into();
            }
            stat
        }
        Target::Descriptor => with_descriptor(call, directory, |fd| {
            file::stat_at(fd, c"", libc::AT_EMPTY_PATH)
        })?,
    };
    call.write(call.arg(buffer), &stat)?;
    Ok(Reply::ZERO)
}

/// Whether a file is the directory of a process' threads, whose links are as many: what the host kernel remembers of it for the
/// rest of a walk may be of before the last thread was made.
fn counts_threads(call: &Call<'_>, device: u64, inode: u64) -> bool {
    call.kernel.is_synthetic(device) && crate::proc::lists_threads(inode)
}

/// What a call with `AT_EMPTY_PATH` is about.
enum Target {
    Path(CString),
    Descriptor,
}

fn path_or_empty(call: &Call<'_>, index: usize, flags: i32) -> Result<Target, Errno> {
    let empty_allowed = flags & libc::AT_EMPTY_PATH != 0;
    if empty_allowed && call.arg(index) == 0 {
        // Linux 6.11: a null pointer is an empty path.
        return Ok(Target::Descriptor);
    }
    let path = call.path(index)?;
    match (path.is_empty(), empty_allowed) {
        (true, true) => Ok(Target::Descriptor),
        (true, false) => Err(Errno::NOENT),
        (false, _) => Ok(Target::Path(path)),
    }
}

/// Run on the file behind a descriptor, or on the working directory for `AT_FDCWD`.
fn with_descriptor<R>(
    call: &mut Call<'_>,
    number: i32,
    operation: impl FnOnce(BorrowedFd<'_>) -> Result<R, Errno>,
) -> Result<R, Errno> {
    if number == libc::AT_FDCWD {
        let cwd = call.thread.cwd();
        operation(cwd.as_fd())
    } else {
        let fd = call.fd(number)?;
        operation(fd.as_fd())
    }
}

pub fn statx(call: &mut Call<'_>) -> Result<Reply, Errno> {
    const SYNC_TYPE: i32 = libc::AT_STATX_FORCE_SYNC | libc::AT_STATX_DONT_SYNC;
    let (directory, flags, mask) = (call.int(0), call.int(2), call.uint(3));
    let known = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH | libc::AT_NO_AUTOMOUNT | SYNC_TYPE;
    if mask & (1 << 31) != 0 || flags & !known != 0 || flags & SYNC_TYPE == SYNC_TYPE {
        return Err(Errno::INVAL);
    }
    let stat = match path_or_empty(call, 1, flags)? {
        Target::Path(path) => {
            let mut request = StatxRequest { flags, mask };
            let stat = call.on_path(directory, &path, |at, path| {
                file::statx_at(at, path, request)
            })?;
            let device = rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor);
            if flags & SYNC_TYPE == 0 && counts_threads(call, device, stat.stx_ino) {
                request.flags |= libc::AT_STATX_FORCE_SYNC;
                call.on_path(directory, &path, |at, path| {
                    file::statx_at(at, path, request)
                })?
            } else {
                stat
            }
        }
        Target::Descriptor => with_descriptor(call, directory, |fd| {
            file::statx_at(
                fd,
                c"",
                StatxRequest {
                    flags: flags | libc::AT_EMPTY_PATH,
                    mask,
                },
            )
        })?,
    };
    call.write(call.arg(4), &stat)?;
    Ok(Reply::ZERO)
}

pub fn access(call: &mut Call<'_>) -> Result<Reply, Errno> {
    check_access(call, libc::AT_FDCWD, 0, call.uint(1), 0)
}

pub fn faccessat(call: &mut Call<'_>) -> Result<Reply, Errno> {
    check_access(call, call.int(0), 1, call.uint(2), 0)
}

pub fn faccessat2(call: &mut Call<'_>) -> Result<Reply, Errno> {
    check_access(call, call.int(0), 1, call.uint(2), call.int(3))
}

fn check_access(
    call: &mut Call<'_>,
    directory: i32,
    path: usize,
    mode: u32,
    flags: i32,
) -> Result<Reply, Errno> {
    if mode & !0o7 != 0 {
        return Err(Errno::INVAL);
    }
    let mode = mode as i32;
    if flags & !(libc::AT_EACCESS | libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0 {
        return Err(Errno::INVAL);
    }
    let effective = flags & libc::AT_EACCESS != 0;
    let identity = if effective {
        Identity::Filesystem
    } else {
        Identity::Real
    };
    let nofollow = flags & libc::AT_SYMLINK_NOFOLLOW;
    match path_or_empty(call, path, flags)? {
        Target::Path(path) => {
            call.on_path_as(identity, directory, &path, |at, path| {
                access_at(at, path, mode, nofollow)
            })?;
        }
        Target::Descriptor => {
            call.assume_as(identity)?;
            with_descriptor(call, directory, |fd| {
                access_at(fd, c"", mode, libc::AT_EMPTY_PATH)
            })?;
        }
    }
    Ok(Reply::ZERO)
}

pub fn readlink(call: &mut Call<'_>) -> Result<Reply, Errno> {
    read_link(call, libc::AT_FDCWD, 0)
}

pub fn readlinkat(call: &mut Call<'_>) -> Result<Reply, Errno> {
    read_link(call, call.int(0), 1)
}

/// The path is argument `path`, buffer and size are the two behind it.
fn read_link(call: &mut Call<'_>, directory: i32, path: usize) -> Result<Reply, Errno> {
    let (buffer, size) = (call.arg(path + 1), call.int(path + 2));
    if size <= 0 {
        return Err(Errno::INVAL);
    }
    let text = call.path(path)?;
    let read = |at: BorrowedFd<'_>, path: &CStr| host_readlinkat(at, path, Vec::new());
    // An empty path means the link that a descriptor of O_PATH stands for.
    let target = call.on_link(directory, &text, read)?;
    let bytes = target.as_bytes();
    let length = bytes.len().min(size as usize).min(PATH_MAX);
    call.write_bytes(buffer, &bytes[..length])?;
    Ok(Reply::Value(length as i64))
}

/// `struct ustat`, ustat(2): free blocks and inodes of the file system of a device; names that nothing fills.
const USTAT_BYTES: usize = 32;

pub fn ustat(call: &mut Call<'_>) -> Result<Reply, Errno> {
    crate::mounts::within(call, ustat_here)
}

fn ustat_here(call: &mut Call<'_>) -> Result<Reply, Errno> {
    // new_decode_dev(): minor bits 0-7 and 20-31, major bits 8-19.
    let device = call.uint(0);
    let wanted = format!(
        "{}:{}",
        device >> 8 & 0xfff,
        device & 0xff | device >> 12 & 0xf_ff00
    );
    call.assume()?;
    let table = crate::task::read_proc(call.kernel.host_proc(), "thread-self/mountinfo")?;
    let of_device = |line: &&str| line.split(' ').nth(2) == Some(&wanted);
    let point = table
        .lines()
        .find(of_device)
        .and_then(|line| line.split(' ').nth(4));
    let point = CString::new(crate::boot::unescape(point.ok_or(Errno::INVAL)?));
    let point = point.map_err(|_| Errno::INVAL)?;
    call.servant.assume_self()?;
    let flags =
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC;
    let root = rustix::fs::open(&point, flags, rustix::fs::Mode::empty())?;
    let stat = file::statfs_of(root.as_fd())?;
    let mut answer = [0; USTAT_BYTES];
    answer[..4].copy_from_slice(&(stat.f_bfree as i32).to_ne_bytes());
    answer[8..16].copy_from_slice(&(stat.f_ffree as u64).to_ne_bytes());
    call.write_bytes(call.arg(1), &answer)?;
    Ok(Reply::ZERO)
}

pub fn statfs(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let path = call.path(0)?;
    let stat = call.on_path(libc::AT_FDCWD, &path, |at, path| {
        let fd = rustix::fs::openat(
            at,
            path,
            rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?;
        Ok((file::statfs_of(fd.as_fd())?, rustix::fs::fstat(&fd)?.st_dev))
    })?;
    let (mut stat, device) = stat;
    if let Some(magic) = call.kernel.synthetic_magic(device) {
        stat.f_type = magic;
    }
    call.write(call.arg(1), &stat)?;
    Ok(Reply::ZERO)
}
