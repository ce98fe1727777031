//! Namespaces that guests make: of mounts ([`crate::mounts`]) and of host and domain name, uts_namespaces(7).
//!
//! Each has one of the host's behind it, whose file is what a guest finds in /proc/PID/ns, may keep open and bind, and
//! hands to setns(2). Nothing is done with that file but to recognise the namespace.
//!
//! Must never: let a guest enter a namespace that no guest has made, other than those that it is in.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use caisson_sys::namespace::{Namespaces, unshare};
use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::mounts;
use crate::system::Names;
use crate::task::{Process, lock};

/// How many UTS namespaces a container may have at a time: each takes memory of the host's kernel.
const MOST: usize = 256;

/// How many a descriptor or a mount of their file keeps, the last ones first. Nothing tells when such a file is closed.
const KEPT: usize = 16;

const THREAD_STACK_BYTES: usize = 64 << 10;

/// A UTS namespace other than the container's own.
#[derive(Debug)]
pub struct Uts {
    pub names: Arc<Mutex<Names>>,
    pub file: File,
}

/// What a namespace has in /proc/PID/ns.
#[derive(Debug)]
pub struct File {
    fd: OwnedFd,
    pub inode: u64,
}

impl File {
    /// Of a namespace of the calling thread.
    pub fn of_thread(kernel: &Kernel, kind: &str) -> Result<File, Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let path = format!("thread-self/ns/{kind}");
        let fd = openat(kernel.host_proc(), path, flags, Mode::empty())?;
        let inode = fstat(&fd)?.st_ino;
        Ok(File { fd, inode })
    }

    /// Not for the threads that serve file systems, whose descriptors are their own.
    fn copy(&self) -> Result<OwnedFd, Errno> {
        self.fd.try_clone().map_err(|_| Errno::NFILE)
    }
}

/// A namespace that can be entered.
#[derive(Clone, Debug)]
pub enum Made {
    Mounts(Arc<mounts::Namespace>),
    Uts(Arc<Uts>),
}

/// By their files.
#[derive(Debug, Default)]
pub struct Registry {
    /// Device number of the files; 0 before the first is there.
    device: AtomicU64,
    known: Mutex<Vec<(u64, Known)>>,
    kept: Mutex<VecDeque<(u64, Made)>>,
}

#[derive(Debug)]
enum Known {
    Mounts(Weak<mounts::Namespace>),
    Uts(Weak<Uts>),
}

impl Known {
    fn is_living(&self) -> bool {
        match self {
            Known::Mounts(one) => one.strong_count() > 0,
            Known::Uts(one) => one.strong_count() > 0,
        }
    }

    fn made(&self) -> Option<Made> {
        match self {
            Known::Mounts(one) => one.upgrade().map(Made::Mounts),
            Known::Uts(one) => one.upgrade().map(Made::Uts),
        }
    }
}

impl Registry {
    fn add(&self, file: &File, namespace: Known) -> Result<(), Errno> {
        let device = fstat(&file.fd)?.st_dev;
        let mut known = lock(&self.known);
        known.retain(|(_, one)| one.is_living());
        known.push((file.inode, namespace));
        self.device.store(device, Ordering::Release);
        Ok(())
    }

    pub fn add_mounts(&self, namespace: &Arc<mounts::Namespace>) -> Result<(), Errno> {
        let known = Known::Mounts(Arc::downgrade(namespace));
        self.add(&namespace.file, known)
    }

    /// The namespace with this file; `None` for the file of any other and for other files.
    pub fn find(&self, device: u64, inode: u64) -> Option<Made> {
        if device != self.device.load(Ordering::Acquire) {
            return None;
        }
        let known = lock(&self.known);
        known
            .iter()
            .filter(|(number, _)| *number == inode)
            .find_map(|(_, one)| one.made())
    }

    /// A guest has the file open, or mounted: the namespace is to outlive its processes.
    pub fn keep(&self, device: u64, inode: u64) {
        let Some(made) = self.find(device, inode) else {
            return;
        };
        let mut kept = lock(&self.kept);
        kept.retain(|(number, _)| *number != inode);
        kept.push_back((inode, made));
        let gone = (kept.len() > KEPT).then(|| kept.pop_front());
        drop(kept);
        // It may be the last that held it.
        drop(gone);
    }

    fn count_uts(&self) -> usize {
        let known = lock(&self.known);
        let is_uts = |known: &Known| matches!(known, Known::Uts(_)) && known.is_living();
        known.iter().filter(|(_, one)| is_uts(one)).count()
    }
}

impl Uts {
    /// With these names. `ENOSPC` when there are too many.
    pub fn new(kernel: &Arc<Kernel>, names: Names) -> Result<Arc<Uts>, Errno> {
        if kernel.namespaces.count_uts() >= MOST {
            kernel.forget_the_unborn();
        }
        if kernel.namespaces.count_uts() >= MOST {
            return Err(Errno::NOSPC);
        }
        let maker = kernel.clone();
        let file = std::thread::Builder::new()
            .stack_size(THREAD_STACK_BYTES)
            .spawn(move || {
                unshare(Namespaces::UTS)?;
                File::of_thread(&maker, "uts")
            })
            .map_err(|_| Errno::AGAIN)?
            .join()
            .map_err(|_| Errno::IO)??;
        let uts = Arc::new(Uts {
            names: Arc::new(Mutex::new(names)),
            file,
        });
        let known = Known::Uts(Arc::downgrade(&uts));
        kernel.namespaces.add(&uts.file, known)?;
        Ok(uts)
    }
}

/// What `look` tells of the file that a process has for `kind`, a name in /proc/PID/ns, if a guest has made it.
fn with_file<R>(process: &Process, kind: &str, look: impl FnOnce(&File) -> R) -> Option<R> {
    match kind {
        "mnt" => process.with_fs(|fs| fs.mounts.as_ref().map(|one| look(&one.file))),
        "uts" => lock(&process.uts).as_ref().map(|one| look(&one.file)),
        _ => None,
    }
}

pub fn file_of(process: &Process, kind: &str) -> Option<Result<OwnedFd, Errno>> {
    with_file(process, kind, File::copy)
}

pub fn inode_of(process: &Process, kind: &str) -> Option<u64> {
    with_file(process, kind, |file| file.inode)
}
