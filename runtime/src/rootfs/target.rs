//! Resolution of paths inside the root file system, where every link is the image's and thus hostile.
//!
//! The kernel resolves (openat2, RESOLVE_IN_ROOT); what is missing is made one component at a time below
//! a descriptor that is known to lie inside the root.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// What to make where nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Directory,
    File,
}

/// As many links as Linux follows in one path.
const MAX_LINKS: u32 = 40;

/// How often a walk that raced with a change of any mount or directory of the host is done anew.
const RACES: u32 = 1000;

/// Open what is at `path` below `root`, O_PATH. Absolute links and `..` stay inside.
pub fn open(root: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Errno> {
    let path = if path.trim_start_matches('/').is_empty() {
        "."
    } else {
        path
    };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let attempt = || rustix::fs::openat2(root, path, flags, Mode::empty(), resolve);
    let mut result = attempt();
    // Something somewhere was renamed or mounted while the kernel went through a "..", openat2(2).
    for _ in 0..RACES {
        if result.as_ref().err() != Some(&Errno::AGAIN) {
            break;
        }
        result = attempt();
    }
    result
}

/// As [`open`], making what is missing on the way.
pub fn open_or_make(root: BorrowedFd<'_>, path: &str, last: Missing) -> Result<OwnedFd, Errno> {
    match open(root, path) {
        Err(Errno::NOENT) => {}
        other => return other,
    }
    let mut pending: Vec<String> = components(path).rev().collect();
    let mut done = String::from("/");
    let mut here = open(root, &done)?;
    let mut links = 0;
    while let Some(name) = pending.pop() {
        let next = format!("{done}/{name}");
        match open(root, &next) {
            Ok(fd) => (here, done) = (fd, next),
            Err(Errno::NOENT) => match dangling(here.as_fd(), &name)? {
                Some(link) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP);
                    }
                    if link.starts_with('/') {
                        done = String::from("/");
                        here = open(root, &done)?;
                    }
                    pending.extend(components(&link).rev());
                }
                None => {
                    let kind = if pending.is_empty() {
                        last
                    } else {
                        Missing::Directory
                    };
                    here = make(here.as_fd(), &name, kind)?;
                    done = next;
                }
            },
            Err(errno) => return Err(errno),
        }
    }
    Ok(here)
}

fn components(path: &str) -> impl DoubleEndedIterator<Item = String> + '_ {
    path.split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .map(str::to_owned)
}

/// The text of a link that leads nowhere; `None` if there is nothing at all.
fn dangling(directory: BorrowedFd<'_>, name: &str) -> Result<Option<String>, Errno> {
    match rustix::fs::readlinkat(directory, name, Vec::new()) {
        Ok(link) => {
            let link = OsStr::from_bytes(link.to_bytes())
                .to_str()
                .ok_or(Errno::INVAL)?;
            Ok(Some(link.to_owned()))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn make(directory: BorrowedFd<'_>, name: &str, kind: Missing) -> Result<OwnedFd, Errno> {
    if name == ".." {
        return Err(Errno::NOENT);
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match kind {
        Missing::Directory => rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(0o755))?,
        Missing::File => {
            let create =
                OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(directory, name, create, Mode::from_raw_mode(0o644))?;
        }
    }
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

/// Whether the last part of the path is a symbolic link.
pub fn is_link(root: BorrowedFd<'_>, path: &str) -> bool {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)
        .and_then(rustix::fs::fstat)
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink())
}

/// The directory that holds the last component of `path` (made if missing), and that component.
pub fn parent_of(root: BorrowedFd<'_>, path: &str) -> Result<(OwnedFd, String), Errno> {
    let mut parts: Vec<String> = components(path).collect();
    let name = parts
        .pop()
        .filter(|name| name != "..")
        .ok_or(Errno::INVAL)?;
    let parent = open_or_make(root, &parts.join("/"), Missing::Directory)?;
    Ok((parent, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path =
                std::env::temp_dir().join(format!("caisson-target-{name}-{}", std::process::id()));
            std::fs::create_dir_all(path.join("root")).expect("scratch");
            Scratch(path)
        }
        fn root(&self) -> std::fs::File {
            std::fs::File::open(self.0.join("root")).expect("root")
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }

    fn path_of(fd: &OwnedFd) -> PathBuf {
        std::fs::read_link(super::super::by_descriptor(fd)).expect("readlink")
    }

    #[test]
    fn links_of_the_image_never_lead_outside() {
        let scratch = Scratch::new("links");
        let root = scratch.0.join("root");
        symlink("/", root.join("abs")).expect("symlink");
        symlink("../../../../..", root.join("up")).expect("symlink");
        symlink("/proc/self/root", root.join("magic")).expect("symlink");
        for path in [
            "abs/etc/new",
            "up/etc/new2",
            "magic/etc/new3",
            "../../etc/new4",
        ] {
            let fd = open_or_make(scratch.root().as_fd(), path, Missing::Directory).expect("made");
            assert!(
                path_of(&fd).starts_with(&root),
                "{path} -> {:?}",
                path_of(&fd)
            );
        }
        assert!(!Path::new("/etc/new").exists());
    }

    #[test]
    fn a_dangling_link_is_completed_inside() {
        let scratch = Scratch::new("dangling");
        let root = scratch.0.join("root");
        std::fs::create_dir(root.join("etc")).expect("mkdir");
        symlink("../run/systemd/stub.conf", root.join("etc/resolv.conf")).expect("symlink");
        let fd =
            open_or_make(scratch.root().as_fd(), "/etc/resolv.conf", Missing::File).expect("made");
        assert_eq!(path_of(&fd), root.join("run/systemd/stub.conf"));
        assert!(root.join("run/systemd/stub.conf").is_file());
    }

    #[test]
    fn a_loop_of_links_ends() {
        let scratch = Scratch::new("loop");
        let root = scratch.0.join("root");
        symlink("b", root.join("a")).expect("symlink");
        symlink("a", root.join("b")).expect("symlink");
        let error =
            open_or_make(scratch.root().as_fd(), "a/x", Missing::Directory).expect_err("loop");
        assert_eq!(error, Errno::LOOP);
    }

    #[test]
    fn the_root_itself_can_be_named() {
        let scratch = Scratch::new("self");
        let fd = open(scratch.root().as_fd(), "/").expect("root");
        assert_eq!(path_of(&fd), scratch.0.join("root"));
        assert!(parent_of(scratch.root().as_fd(), "/..").is_err());
    }
}
