//! Reads from the procfs instances held as descriptors: the host's and that of the guest's pid namespace.
//!
//! Only paths built by this module's callers from constants, numbers and checked names go in here.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag};
use nix::sys::stat::FileStat;

/// No file of procfs that we pass on is longer; a guard against endless ones.
const LONGEST: u64 = 16 << 20;

fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

/// Never leaves `dir`, by no link: outside is the container's tree, and in it what this very thread has to serve.
fn open(dir: impl AsFd, path: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    nix::fcntl::openat2(dir, path, how)
}

pub(super) fn read(dir: impl AsFd, path: &str) -> Result<Vec<u8>, Errno> {
    let fd = open(dir, path, OFlag::O_RDONLY)?;
    let mut content = Vec::with_capacity(4096);
    File::from(fd)
        .take(LONGEST)
        .read_to_end(&mut content)
        .map_err(errno)?;
    Ok(content)
}

/// Like [`read`] for text; bytes that are not UTF-8 are replaced.
pub(super) fn text(dir: impl AsFd, path: &str) -> Result<String, Errno> {
    let content = read(dir, path)?;
    Ok(String::from_utf8(content)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// One number, as in cgroup files; `max` and unreadable files give `None`.
pub(super) fn number(dir: impl AsFd, path: &str) -> Option<u64> {
    text(dir, path).ok()?.trim().parse().ok()
}

pub(super) fn write(dir: impl AsFd, path: &str, data: &[u8]) -> Result<(), Errno> {
    let fd = open(dir, path, OFlag::O_WRONLY)?;
    match nix::unistd::write(fd, data)? {
        length if length == data.len() => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn link(dir: impl AsFd, path: &str) -> Result<Vec<u8>, Errno> {
    Ok(nix::fcntl::readlinkat(dir, path)?.into_vec())
}

pub(super) fn status(dir: impl AsFd, path: &str) -> Result<FileStat, Errno> {
    nix::sys::stat::fstatat(dir, path, AtFlags::AT_SYMLINK_NOFOLLOW)
}

/// Of what a link leads to.
pub(super) fn status_of_target(dir: impl AsFd, path: &str) -> Result<FileStat, Errno> {
    nix::sys::stat::fstatat(dir, path, AtFlags::empty())
}

/// The names in a directory, without `.` and `..`, with their DT_* type.
pub(super) fn names(dir: impl AsFd, path: &str) -> Result<Vec<(String, u8)>, Errno> {
    let mut dir = Dir::from_fd(open(dir, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?)?;
    let mut names = Vec::new();
    for entry in dir.iter() {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if name == "." || name == ".." {
            continue;
        }
        let kind = entry
            .file_type()
            .map_or(libc::DT_UNKNOWN, |kind| match kind {
                nix::dir::Type::Directory => libc::DT_DIR,
                nix::dir::Type::Symlink => libc::DT_LNK,
                _ => libc::DT_REG,
            });
        names.push((name.to_owned(), kind));
    }
    Ok(names)
}
