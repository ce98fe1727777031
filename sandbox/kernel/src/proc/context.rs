//! What all makers of content share: the guest, the container's clock, and the host's procfs.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use caisson_sys::descriptor;
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::time::ClockId;

use super::host;
use super::view::{Guests, SystemFacts};

/// The servers have a descriptor table of their own (see `mount`): duplicates, in that table, of descriptors that
/// the rest of the process holds for as long as it lives.
#[derive(Default)]
struct Duplicates {
    guest_proc: OnceLock<Arc<OwnedFd>>,
    system: OnceLock<SystemFacts>,
}

/// A duplicate, in the calling thread's table, of the descriptor that the process' main thread has under this number.
fn duplicate(original: &OwnedFd) -> Result<OwnedFd, Errno> {
    let failed = |error: rustix::io::Errno| Errno::from_raw(error.raw_os_error());
    let this_process = descriptor::pidfd_open(nix::unistd::getpid().as_raw()).map_err(failed)?;
    descriptor::pidfd_getfd(this_process.as_fd(), original.as_raw_fd()).map_err(failed)
}

pub(super) struct Context {
    duplicates: Duplicates,
    pub(super) guests: Arc<dyn Guests>,
    /// Used until the container is booted and the guest's own facts are known.
    unbooted: SystemFacts,
}

fn clock_ns(clock: ClockId) -> u64 {
    let Ok(time) = nix::time::clock_gettime(clock) else {
        return 0;
    };
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0)
}

impl Context {
    pub(super) fn new(guests: Arc<dyn Guests>) -> Context {
        let unbooted = SystemFacts {
            boot_time_ns: clock_ns(ClockId::CLOCK_BOOTTIME),
            boot_epoch_s: clock_ns(ClockId::CLOCK_REALTIME) / 1_000_000_000,
            ..SystemFacts::default()
        };
        Context {
            duplicates: Duplicates::default(),
            guests,
            unbooted,
        }
    }

    pub(super) fn system(&self) -> &SystemFacts {
        if let Some(known) = self.duplicates.system.get() {
            return known;
        }
        match self.guests.system() {
            Some(facts) => self.duplicates.system.get_or_init(|| {
                let own =
                    |(name, dir): &(String, OwnedFd)| Some((name.clone(), duplicate(dir).ok()?));
                facts.with_cgroups(facts.cgroups.iter().filter_map(own).collect())
            }),
            None => &self.unbooted,
        }
    }

    pub(super) fn guest_proc(&self) -> Result<Arc<OwnedFd>, Errno> {
        if let Some(known) = self.duplicates.guest_proc.get() {
            return Ok(Arc::clone(known));
        }
        let original = self.guests.guest_proc().ok_or(Errno::ESRCH)?;
        let own = Arc::new(duplicate(&original)?);
        Ok(Arc::clone(self.duplicates.guest_proc.get_or_init(|| own)))
    }

    /// The name that was given to a thread through /proc, if the host kernel's is still the one it replaced.
    pub(super) fn given_name(&self, tid: u32, now: &str) -> Option<String> {
        self.guests.thread_names()?.given(tid, now)
    }

    pub(super) fn host_proc(&self) -> BorrowedFd<'_> {
        self.guests.host_proc()
    }

    /// Nanoseconds since the container began.
    pub(super) fn uptime_ns(&self) -> u64 {
        clock_ns(ClockId::CLOCK_BOOTTIME).saturating_sub(self.system().boot_time_ns)
    }

    /// The value that the container's configuration gave to a sysctl (`kernel/shmmax`).
    pub(super) fn configured(&self, path: &str) -> Option<&str> {
        let wanted = |name: &str| name == path || name.replace('.', "/") == path;
        self.system()
            .sysctl
            .iter()
            .find(|(name, _)| wanted(name))
            .map(|(_, value)| value.as_str())
    }

    /// Once the container is booted, moves the calling thread into the network namespace of the process's main
    /// thread if it was started before that entered the pod's: /proc/sys/net follows the reading thread.
    pub(super) fn settle(&self) -> bool {
        if self.guests.guest_proc().is_none() {
            return false;
        }
        if let Err(errno) = self.follow_network() {
            tracing::warn!(%errno, "cannot enter the pod's network namespace");
        }
        if let Err(errno) = self.follow_ipc() {
            tracing::warn!(%errno, "cannot enter the guest's IPC namespace");
        }
        true
    }

    fn follow_network(&self) -> Result<(), Errno> {
        let host = self.host_proc();
        if host::link(host, "self/ns/net")? == host::link(host, "thread-self/ns/net")? {
            return Ok(());
        }
        let flags = nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_CLOEXEC;
        let namespace =
            nix::fcntl::openat(host, "self/ns/net", flags, nix::sys::stat::Mode::empty())?;
        nix::sched::setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)
    }

    /// Read the host's file `path`, which tells of the network, as the guest process `pid` would.
    pub(super) fn read_of_network(&self, pid: u32, path: &str) -> Result<Vec<u8>, Errno> {
        let host = self.host_proc();
        let Some(network) = self.guests.network(pid) else {
            return host::read(host, path);
        };
        let open = |path: &str| {
            let flags = nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_CLOEXEC;
            nix::fcntl::openat(host, path, flags, nix::sys::stat::Mode::empty())
        };
        let pods = open("thread-self/ns/net")?;
        let its = open(&format!("self/fd/{}", network.number()))?;
        nix::sched::setns(its.as_fd(), CloneFlags::CLONE_NEWNET)?;
        // The first thread stays in the pod's.
        let content = match path.strip_prefix("self/") {
            Some(rest) => host::read(host, &format!("thread-self/{rest}")),
            None => host::read(host, path),
        };
        if let Err(errno) = nix::sched::setns(pods.as_fd(), CloneFlags::CLONE_NEWNET) {
            tracing::error!(%errno, "a thread is lost in a guest's network; the sandbox ends");
            std::process::exit(crate::EXIT_BROKEN);
        }
        content
    }

    /// /proc/sysvipc follows the reading thread, too.
    fn follow_ipc(&self) -> Result<(), Errno> {
        if self.shares_ipc() {
            return Ok(());
        }
        let flags = nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_CLOEXEC;
        let proc = self.guest_proc()?;
        let namespace =
            nix::fcntl::openat(&*proc, "1/ns/ipc", flags, nix::sys::stat::Mode::empty())?;
        nix::sched::setns(namespace.as_fd(), CloneFlags::CLONE_NEWIPC)
    }

    /// Is the calling thread in the guest's IPC namespace?
    pub(super) fn shares_ipc(&self) -> bool {
        let Ok(proc) = self.guest_proc() else {
            return false;
        };
        match (
            host::link(&*proc, "1/ns/ipc"),
            host::link(self.host_proc(), "thread-self/ns/ipc"),
        ) {
            (Ok(guest), Ok(own)) => guest == own,
            _ => false,
        }
    }
}
