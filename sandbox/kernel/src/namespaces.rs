//! Namespaces that guests make: of mounts ([`crate::mounts`]), of host and domain name, uts_namespaces(7), and of the
//! network, network_namespaces(7), in which their sockets are made.
//!
//! Each has one of the host's behind it, whose file is what a guest finds in /proc/PID/ns, may keep open and bind, and
//! hands to setns(2). Nothing is done with that file but to recognise the namespace.
//!
//! Must never: let a guest enter a namespace that no guest has made, other than those that it is in.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use caisson_sys::namespace::{Namespaces, enter, unshare};
use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::mounts;
use crate::proc::Network;
use crate::system::Names;
use crate::task::{Thread, lock};

/// How many UTS and network namespaces a container may have at a time: each takes memory of the host's kernel.
const MOST_UTS: usize = 256;
const MOST_NET: usize = 64;

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

/// A network other than the pod's: empty but for `lo` and what guests make in it.
#[derive(Debug)]
pub struct Net {
    pub file: File,
    /// That of the pod, in which threads of this process are.
    pods: OwnedFd,
}

/// A namespace that can be entered.
#[derive(Clone, Debug)]
pub enum Made {
    Net(Arc<Net>),
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
    Net(Weak<Net>),
    Mounts(Weak<mounts::Namespace>),
    Uts(Weak<Uts>),
}

impl Known {
    fn is_living(&self) -> bool {
        match self {
            Known::Net(one) => one.strong_count() > 0,
            Known::Mounts(one) => one.strong_count() > 0,
            Known::Uts(one) => one.strong_count() > 0,
        }
    }

    fn made(&self) -> Option<Made> {
        match self {
            Known::Net(one) => one.upgrade().map(Made::Net),
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

    fn count(&self, is_meant: fn(&Known) -> bool) -> usize {
        let known = lock(&self.known);
        let living = known.iter().filter(|(_, one)| one.is_living());
        living.filter(|(_, one)| is_meant(one)).count()
    }
}

impl Uts {
    /// With these names. `ENOSPC` when there are too many.
    pub fn new(kernel: &Arc<Kernel>, names: Names) -> Result<Arc<Uts>, Errno> {
        admit(kernel, |known| matches!(known, Known::Uts(_)), MOST_UTS)?;
        let file = on_own_thread(kernel, |kernel| {
            unshare(Namespaces::UTS)?;
            File::of_thread(kernel, "uts")
        })?;
        let uts = Arc::new(Uts {
            names: Arc::new(Mutex::new(names)),
            file,
        });
        let known = Known::Uts(Arc::downgrade(&uts));
        kernel.namespaces.add(&uts.file, known)?;
        Ok(uts)
    }
}

impl Net {
    /// `ENOSPC` when there are too many, `EPERM` if the pod's network belongs to a user namespace in which this process has no
    /// rights: its threads could not come back.
    pub fn new(kernel: &Arc<Kernel>) -> Result<Arc<Net>, Errno> {
        admit(kernel, |known| matches!(known, Known::Net(_)), MOST_NET)?;
        let (pods, file) = on_own_thread(kernel, |kernel| {
            let pods = File::of_thread(kernel, "net")?;
            unshare(Namespaces::NET)?;
            let file = File::of_thread(kernel, "net")?;
            enter(pods.fd.as_fd(), Namespaces::NET)?;
            Ok((pods.fd, file))
        })?;
        let net = Arc::new(Net { file, pods });
        let known = Known::Net(Arc::downgrade(&net));
        kernel.namespaces.add(&net.file, known)?;
        Ok(net)
    }

    /// Do this in there: what sockets are made for.
    pub fn within<R>(&self, work: impl FnOnce() -> R) -> Result<R, Errno> {
        enter(self.file.fd.as_fd(), Namespaces::NET)?;
        let done = work();
        if let Err(error) = enter(self.pods.as_fd(), Namespaces::NET) {
            tracing::error!(%error, "a thread is lost in a guest's network; the sandbox ends");
            std::process::exit(crate::EXIT_BROKEN);
        }
        Ok(done)
    }
}

impl Network for Net {
    fn number(&self) -> i32 {
        self.file.fd.as_raw_fd()
    }
}

fn admit(kernel: &Kernel, is_meant: fn(&Known) -> bool, most: usize) -> Result<(), Errno> {
    if kernel.namespaces.count(is_meant) >= most {
        kernel.forget_the_unborn();
    }
    if kernel.namespaces.count(is_meant) >= most {
        return Err(Errno::NOSPC);
    }
    Ok(())
}

/// On a thread that ends, and with it what it is in.
fn on_own_thread<R: Send + 'static>(
    kernel: &Arc<Kernel>,
    work: fn(&Kernel) -> Result<R, Errno>,
) -> Result<R, Errno> {
    let kernel = kernel.clone();
    std::thread::Builder::new()
        .stack_size(THREAD_STACK_BYTES)
        .spawn(move || work(&kernel))
        .map_err(|_| Errno::AGAIN)?
        .join()
        .map_err(|_| Errno::IO)?
}

/// What `look` tells of the file that a thread has for `kind`, a name in /proc/PID/ns, if a guest has made it.
fn with_file<R>(thread: &Thread, kind: &str, look: impl FnOnce(&File) -> R) -> Option<R> {
    match kind {
        "mnt" => thread.with_fs(|fs| {
            let made = fs.mounts.as_ref();
            let made = made.filter(|one| one.succession.is_none());
            made.map(|one| look(&one.file))
        }),
        "uts" => thread.with_spaces(|all| all.uts.as_ref().map(|one| look(&one.file))),
        "net" => thread.with_spaces(|all| all.net.as_ref().map(|one| look(&one.file))),
        _ => None,
    }
}

pub fn file_of(thread: &Thread, kind: &str) -> Option<Result<OwnedFd, Errno>> {
    with_file(thread, kind, File::copy)
}

pub fn inode_of(thread: &Thread, kind: &str) -> Option<u64> {
    with_file(thread, kind, |file| file.inode)
}
