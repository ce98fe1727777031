//! What the synthetic files need to know of the guest, as a trait that the rest of the kernel implements.
//!
//! Every method is called on a thread that serves /proc while another thread of this process waits inside
//! the host kernel for the answer. An implementation must therefore never block on a lock that is held
//! across a filesystem call, and must never itself open or stat a path of the container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use caisson_sys::sysv::Kind;
use caisson_sys::user_namespace;
use nix::errno::Errno;

use super::outside::Outside;
use super::poll::Changes;
use super::process::ThreadNames;
use super::system::Load;
use crate::ipc::Object;
use crate::system::Names;

/// The app kernel as the synthetic files see it.
pub trait Guests: Send + Sync + 'static {
    /// The host's procfs, opened before the pivot.
    fn host_proc(&self) -> BorrowedFd<'_>;

    /// The procfs instance of the guest's pid namespace; `None` until the guest init exists.
    fn guest_proc(&self) -> Option<Arc<OwnedFd>>;

    /// What the guest may know of its process `pid` (a guest tgid), as its thread `tid` sees it.
    fn facts(&self, pid: u32, tid: u32) -> Option<ProcessFacts>;

    /// The part of that which every step of a walk needs, without what takes time to find out.
    fn rights(&self, pid: u32) -> Option<Rights>;

    /// The walk that the app kernel's thread `tid` is doing for a guest.
    fn walker(&self, tid: u32) -> Option<Arc<Walker>>;

    /// The facts that are fixed for the life of the container; `None` before it is booted.
    fn system(&self) -> Option<&SystemFacts>;

    /// The container's load averages; `None` before it is booted.
    fn load(&self) -> Option<&Load> {
        None
    }

    /// Names that guests gave to threads through /proc; `None` before the container is booted.
    fn thread_names(&self) -> Option<&ThreadNames> {
        None
    }

    /// Host name and NIS domain name as process `pid` sees them now.
    fn names(&self, pid: u32) -> Names;

    /// To whom a System V IPC object belongs; `None` for one that no guest has made.
    fn ipc_object(&self, kind: Kind, id: i32) -> Option<Object> {
        let _ = (kind, id);
        None
    }

    /// A thread of this process that sees the mounts of process `pid`; `None` if those are the container's own.
    fn mounts_keeper(&self, pid: u32) -> Option<i32> {
        let _ = pid;
        None
    }

    /// The inode number of a namespace other than the container's own that thread `tid` of process `pid` is in; `kind`
    /// is a name in /proc/PID/ns.
    fn namespace(&self, pid: u32, tid: u32, kind: &str) -> Option<u64> {
        let _ = (pid, tid, kind);
        None
    }

    /// How often the mounts that process `pid` sees have changed.
    fn mount_events(&self, pid: u32) -> u64 {
        let _ = pid;
        0
    }

    /// What happens when they change.
    fn mount_changes(&self) -> Option<Arc<Changes>> {
        None
    }

    /// The network of process `pid`, if that is not the pod's.
    fn network(&self, pid: u32) -> Option<Arc<dyn Network>> {
        let _ = pid;
        None
    }

    /// Where files lie that guests hold and have no path to.
    fn outside(&self) -> Option<&Outside> {
        None
    }

    /// Sockets, by number and inode, that the app kernel keeps in process `pid` for its own use.
    fn kept_sockets(&self, pid: u32) -> Vec<(u32, u64)> {
        let _ = pid;
        Vec::new()
    }

    /// The process that traces thread `tid`, both of the guest's pid namespace; 0 for none.
    fn tracer(&self, tid: u32) -> u32 {
        let _ = tid;
        0
    }

    /// A guest that may (fsuid 0 and CAP_SYS_ADMIN were checked) wrote /proc/sys/kernel/hostname.
    fn set_hostname(&self, pid: u32, name: &str) -> Result<(), Errno>;
}

/// A network namespace that a guest has made, as long as it is held.
pub trait Network: Send + Sync {
    /// A descriptor of it among those of this process' first thread, which has not those of the threads that serve files.
    fn number(&self) -> i32;
}

/// Real, effective, saved and filesystem id of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ids {
    pub real: u32,
    pub effective: u32,
    pub saved: u32,
    pub filesystem: u32,
}

/// The five capability sets, bit N is capability N.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CapabilityMasks {
    pub inheritable: u64,
    pub permitted: u64,
    pub effective: u64,
    pub bounding: u64,
    pub ambient: u64,
}

/// What a process may do, and whether it may be looked into.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rights {
    pub uid: Ids,
    pub gid: Ids,
    /// Capabilities, as in [`CapabilityMasks`].
    pub effective: u64,
    pub permitted: u64,
    pub dumpable: bool,
    /// [`Process::serial`](crate::task::Process::serial).
    pub serial: u64,
}

/// One guest process as the app kernel knows it; everything else comes from the guest's procfs.
#[derive(Debug, Clone, Default)]
pub struct ProcessFacts {
    pub uid: Ids,
    pub gid: Ids,
    pub groups: Vec<u32>,
    pub umask: u32,
    pub capabilities: CapabilityMasks,
    pub no_new_privs: bool,
    /// PR_GET_DUMPABLE is 1; otherwise the files below /proc/PID belong to root.
    pub dumpable: bool,
    /// Guest paths.
    pub exe: Vec<u8>,
    pub cwd: Vec<u8>,
    pub root: Vec<u8>,
    /// Limits (RLIMIT_* number, soft, hard) that the app kernel keeps itself, shown instead of the host's.
    pub limits: Vec<(u32, u64, u64)>,
}

/// What stays the same while a container lives.
#[derive(Debug, Default)]
pub struct SystemFacts {
    /// `uname -r`, `uname -v`.
    pub release: String,
    pub version: String,
    /// CLOCK_BOOTTIME when the container began, and the same moment since 1970.
    pub boot_time_ns: u64,
    pub boot_epoch_s: u64,
    /// The container's cgroup directories: (controller, directory); the controller is "" for cgroup v2.
    pub cgroups: Vec<(String, OwnedFd)>,
    /// Sysctls set by the container's configuration: (`net.ipv4.ip_forward`, value).
    pub sysctl: Vec<(String, String)>,
    /// /proc/sys/kernel/random/boot_id of this container.
    pub boot_id: String,
    /// The oom_score_adj of the configuration: the floor to which a guest may lower its own.
    pub oom_score_adj: i32,
    /// The ids that the container has.
    pub ids: user_namespace::Ids,
    /// The configuration's seccomp profile filters calls, /proc/PID/status.
    pub filtered: bool,
}

/// Why the app kernel walks a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalkMode {
    /// To reach the object: a magic link is reported in the slot and fails the walk with `MAGIC_LINK`.
    Walk,
    /// For readlink(2): a magic link gives its text.
    ReadLink,
}

/// The errno with which reading a magic link fails in [`WalkMode::Walk`].
pub const MAGIC_LINK: Errno = Errno::EREMOTE;

/// The link that ended a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MagicLink {
    /// Guest tgid, also for links below /proc/PID/task.
    pub pid: u32,
    /// The thread; the process' id where it is the process that is meant.
    pub tid: u32,
    pub kind: MagicKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MagicKind {
    Exe,
    Cwd,
    Root,
    Fd(u32),
    /// The name below /proc/PID/ns.
    Namespace(&'static str),
}

/// One thread of the app kernel while it walks for a guest. Set by that thread before each walk; the
/// server of /proc only reads it and leaves a hit.
#[derive(Debug, Default)]
pub struct Walker {
    pid: AtomicU32,
    tid: AtomicU32,
    readlink: AtomicU32,
    hit: Mutex<Option<MagicLink>>,
}

impl Walker {
    /// Announces a walk for guest thread `tid` of guest process `pid`.
    pub fn begin(&self, pid: u32, tid: u32, mode: WalkMode) {
        self.pid.store(pid, Ordering::Relaxed);
        self.tid.store(tid, Ordering::Relaxed);
        self.readlink
            .store(u32::from(mode == WalkMode::ReadLink), Ordering::Relaxed);
        *self.hit.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The magic link that the walk met, if it failed with [`MAGIC_LINK`].
    pub fn take_hit(&self) -> Option<MagicLink> {
        self.hit
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    pub fn tid(&self) -> u32 {
        self.tid.load(Ordering::Relaxed)
    }

    pub fn mode(&self) -> WalkMode {
        match self.readlink.load(Ordering::Relaxed) {
            0 => WalkMode::Walk,
            _ => WalkMode::ReadLink,
        }
    }

    pub(super) fn report(&self, link: MagicLink) {
        *self.hit.lock().unwrap_or_else(PoisonError::into_inner) = Some(link);
    }
}

impl SystemFacts {
    /// The same facts with other descriptors of the cgroup directories.
    pub(super) fn with_cgroups(&self, cgroups: Vec<(String, OwnedFd)>) -> SystemFacts {
        SystemFacts {
            release: self.release.clone(),
            version: self.version.clone(),
            boot_time_ns: self.boot_time_ns,
            boot_epoch_s: self.boot_epoch_s,
            cgroups,
            sysctl: self.sysctl.clone(),
            boot_id: self.boot_id.clone(),
            oom_score_adj: self.oom_score_adj,
            ids: self.ids.clone(),
            filtered: self.filtered,
        }
    }

    /// The directory of a cgroup controller: that of v1, or the one directory of v2.
    pub fn cgroup(&self, controller: &str) -> Option<(CgroupVersion, BorrowedFd<'_>)> {
        let v1 = self
            .cgroups
            .iter()
            .find(|(name, _)| name.split(',').any(|one| one == controller));
        let v2 = || self.cgroups.iter().find(|(name, _)| name.is_empty());
        match v1 {
            Some((_, dir)) => Some((CgroupVersion::V1, dir.as_fd())),
            None => v2().map(|(_, dir)| (CgroupVersion::V2, dir.as_fd())),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupVersion {
    V1,
    V2,
}
