//! `tmpcopyup`: a tmpfs that begins with what the image has at its place.
//!
//! Everything copied is the image's and thus hostile: names are opened one at a time without following
//! links, and the depth is limited.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, openat, statat};
use rustix::io::Errno;

/// Deeper trees are refused with ELOOP.
const MAX_DEPTH: u32 = 128;

/// The directory behind an O_PATH descriptor, to read from.
pub fn directory(place: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(place, c".", flags, Mode::empty())
}

/// Copy the content of `from` into the empty directory `to`, and the attributes of `from` itself.
pub fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    tree(from, to, 0)?;
    let stat = rustix::fs::fstat(from)?;
    rustix::fs::fchown(
        to,
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
    )
}

fn tree(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: u32) -> Result<(), Errno> {
    if depth > MAX_DEPTH {
        return Err(Errno::LOOP);
    }
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            one(from, to, name, depth)?;
        }
    }
    Ok(())
}

fn one(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, depth: u32) -> Result<(), Errno> {
    let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            rustix::fs::mkdirat(to, name, mode)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let inside = openat(from, name, flags, Mode::empty())?;
            let made = openat(to, name, flags, Mode::empty())?;
            tree(inside.as_fd(), made.as_fd(), depth + 1)?;
        }
        FileType::RegularFile => content(from, to, name)?,
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(from, name, Vec::new())?;
            rustix::fs::symlinkat(target.as_c_str(), to, name)?;
        }
        kind => rustix::fs::mknodat(to, name, kind, mode, stat.st_rdev)?,
    }
    attributes(to, name, &stat, mode)
}

fn content(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut source = std::fs::File::from(openat(from, name, read, Mode::empty())?);
    let mut target = std::fs::File::from(openat(to, name, write, Mode::from_raw_mode(0o600))?);
    std::io::copy(&mut source, &mut target)
        .map(drop)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Owner first: changing it clears the set-id bits.
fn attributes(to: BorrowedFd<'_>, name: &CStr, stat: &Stat, mode: Mode) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        rustix::fs::chmodat(to, name, mode, AtFlags::empty())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_tree_is_copied_with_modes_and_links_but_not_through_links() {
        let base = std::env::temp_dir().join(format!("caisson-copy-up-{}", std::process::id()));
        let (from, to) = (base.join("from"), base.join("to"));
        std::fs::create_dir_all(from.join("sub")).expect("mkdir");
        std::fs::create_dir(&to).expect("mkdir");
        std::fs::write(from.join("sub/file"), "content").expect("write");
        let mode = std::fs::Permissions::from_mode(0o4750);
        std::fs::set_permissions(from.join("sub/file"), mode).expect("chmod");
        symlink("/etc/passwd", from.join("link")).expect("symlink");
        let open = |path| OwnedFd::from(std::fs::File::open(path).expect("open"));
        copy(open(&from).as_fd(), open(&to).as_fd()).expect("copy");
        assert_eq!(
            std::fs::read_to_string(to.join("sub/file")).expect("read"),
            "content"
        );
        let mode = std::fs::metadata(to.join("sub/file"))
            .expect("stat")
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o4750);
        assert_eq!(
            std::fs::read_link(to.join("link")).expect("link"),
            std::path::Path::new("/etc/passwd")
        );
        std::fs::remove_dir_all(base).expect("clean up");
    }
}
