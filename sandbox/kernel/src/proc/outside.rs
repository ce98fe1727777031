//! Mounts of the host in which lie files that guests were given: standard input, output and error, and descriptors that
//! were to be preserved.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::stat::{FileStat, major, minor};

use super::host;

/// By the numbers that mounts have in /proc/PID/mountinfo, see proc_pid_mountinfo(5). Such a number may be that of another mount
/// when the host has unmounted this one: whoever asks looks whether a guest has a mount of that number.
#[derive(Debug, Default)]
pub struct Outside {
    any: AtomicBool,
    mounts: Mutex<BTreeSet<u64>>,
    files: Mutex<BTreeSet<File>>,
}

/// A regular file, as /proc/PID/maps shows it where a guest maps it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct File {
    device: (u64, u64),
    inode: u64,
    /// When it was given; the host may have renamed it since.
    path: Vec<u8>,
}

impl Outside {
    /// Look at what the process `pid` holds, which was made from outside and has not executed its program yet.
    ///
    /// # Errors
    /// When the host does not tell, because the process has ended.
    pub fn note(&self, host_proc: impl AsFd, pid: i32) -> Result<(), Errno> {
        let proc = host_proc.as_fd();
        let own = host::text(proc, "thread-self/mountinfo")?;
        for (number, _) in host::names(proc, &format!("{pid}/fd"))? {
            let link = format!("{pid}/fd/{number}");
            let path = host::link(proc, &link)?;
            if !is_path(&path) {
                continue;
            }
            let place = Place::of(&host::text(proc, &format!("{pid}/fdinfo/{number}"))?);
            let Some(Place { mount, .. }) = place else {
                continue;
            };
            if !has_mount(&own, mount) {
                let mut mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
                mounts.insert(mount);
                drop(mounts);
                self.note_file(&host::status_of_target(proc, &link)?, path);
                self.any.store(true, Ordering::Release);
            }
        }
        Ok(())
    }

    /// Others than regular files and devices, which have no place on a disk, cannot be mapped.
    fn note_file(&self, status: &FileStat, path: Vec<u8>) {
        if status.st_mode & libc::S_IFMT != libc::S_IFREG {
            return;
        }
        let device = (major(status.st_dev), minor(status.st_dev));
        let inode = status.st_ino;
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(File {
            device,
            inode,
            path,
        });
    }

    /// Whether a line of /proc/PID/maps with these fields is about such a file. On file systems that give their parts device
    /// numbers of their own, as btrfs does, the line has another than stat(2) tells.
    pub(super) fn is_mapped(&self, device: (u64, u64), inode: u64, path: &[u8]) -> bool {
        let is_at = |file: &File| file.path == path || is_deleted(&file.path, path);
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files
            .iter()
            .any(|file| file.inode == inode && (file.device == device || is_at(file)))
    }

    #[cfg(test)]
    pub(super) fn add(&self, device: (u64, u64), inode: u64, path: &[u8]) {
        let path = path.to_vec();
        self.files.lock().unwrap().insert(File {
            device,
            inode,
            path,
        });
    }

    /// Whether there is any.
    pub(super) fn is_some(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    pub(super) fn has(&self, mount: u64) -> bool {
        let mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        mounts.contains(&mount)
    }
}

/// Whether /proc shows this path as `now`, because no name leads to the file any more.
fn is_deleted(path: &[u8], now: &[u8]) -> bool {
    now.strip_suffix(b" (deleted)") == Some(path)
}

/// Whether the target of a link in /proc/PID/fd is the path of a file in some mount of guests or the host, and not
/// `pipe:[1]` and the like, or the name of a memfd. What every container has by the same name tells nothing of a host.
pub(super) fn is_path(target: &[u8]) -> bool {
    target.starts_with(b"/") && !target.starts_with(b"/memfd:") && target != b"/dev/null"
}

/// Whether the mount `id` is in this mountinfo.
pub(super) fn has_mount(mountinfo: &str, id: u64) -> bool {
    let first = |line: &str| line.split(' ').next().and_then(|word| word.parse().ok());
    mountinfo.lines().any(|line| first(line) == Some(id))
}

/// Where an open file lies.
pub(super) struct Place {
    pub(super) mount: u64,
    pub(super) inode: u64,
}

impl Place {
    /// From proc_pid_fdinfo(5).
    pub(super) fn of(info: &str) -> Option<Place> {
        let field = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse().ok()
        };
        Some(Place {
            mount: field("mnt_id:")?,
            inode: field("ino:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_link_leads_to_is_noted() {
        let outside = Outside::default();
        let file = std::fs::File::open("/proc/self/exe").expect("this program");
        let proc = std::fs::File::open("/proc").expect("procfs");
        let link = format!("self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        let status = host::status_of_target(&proc, &link).expect("a file");
        outside.note_file(&status, b"/elsewhere".to_vec());
        let device = (major(status.st_dev), minor(status.st_dev));
        assert!(outside.is_mapped(device, status.st_ino, b"/renamed"));
        assert!(!outside.is_mapped((0, 0), status.st_ino, b"/renamed"));
        assert!(outside.is_mapped((0, 0), status.st_ino, b"/elsewhere (deleted)"));
        assert!(!outside.is_mapped(device, status.st_ino + 1, b"/elsewhere"));
    }

    #[test]
    fn what_the_host_tells_is_read() {
        let info = "pos:\t0\nflags:\t0100000\nmnt_id:\t31\nino:\t77\n";
        let place = Place::of(info).expect("a place");
        assert_eq!((place.mount, place.inode), (31, 77));
        assert!(has_mount("30 1 0:1 / / rw\n31 30 0:2 / /proc rw\n", 31));
        assert!(!has_mount("30 1 0:1 / / rw\n310 30 0:2 / /proc rw\n", 31));
        assert!(
            is_path(b"/etc/passwd") && !is_path(b"/memfd:a (deleted)") && !is_path(b"pipe:[1]")
        );
        assert!(!is_path(b"/dev/null"));
    }
}
