//! Making guest processes: host processes without any rights that wait, under the guest's filter, in
//! their first `execve`.
//!
//! Both ways of making one end in the same [`Guest`]: [`spawn_init`] clones the first process of a
//! sandbox into namespaces of its own; [`spawn_into`] forks one into the namespaces of a running
//! sandbox. In either case the child needs no unfiltered call once its filter is in place: the parent
//! takes the listener out of it by pidfd.
//!
//! The child runs between `clone` and `execve` of a process that may have threads: it makes raw
//! system calls only, and never allocates.

mod child;
mod handshake;

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::descriptor::{pidfd_getfd, pidfd_open};
use crate::namespace::{self, Namespaces};
use crate::notify::{Listener, WakeUp};
use crate::raw::syscall;
use crate::user_namespace::Ids;
use handshake::Handshake;

/// How many descriptors a guest process can be given beside its standard streams.
pub const MAX_PRESERVED: usize = 240;

/// A memory policy in Linux's numbers, linux/mempolicy.h.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryPolicy {
    /// MPOL_* with MPOL_F_*.
    pub mode: u32,
    /// A bit for each NUMA node, the lowest first.
    pub nodes: Vec<u64>,
}

/// What a new guest process gets.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The compiled filter, `SECCOMP_RET_USER_NOTIF` for what the app kernel answers.
    pub filter: &'a [libc::sock_filter],
    /// `cgroup.procs` files, open for writing.
    pub cgroups: &'a [BorrowedFd<'a>],
    /// Standard input, output and error.
    pub stdio: [BorrowedFd<'a>; 3],
    /// What it has at 3, 4 and so on; at most [`MAX_PRESERVED`].
    pub preserved: &'a [BorrowedFd<'a>],
    /// Make standard input the controlling terminal of the new session.
    pub terminal: bool,
    /// Host name of a new UTS namespace.
    pub hostname: &'a CStr,
    /// The host's procfs: the caller's own `/proc` may be a container's.
    pub host_proc: BorrowedFd<'a>,
    /// Of the caller's user namespace: they decide which user the process is.
    pub ids: &'a Ids,
    /// File mode creation mask: `umask` is answered natively.
    pub umask: u32,
    /// Where its memory comes from, set_mempolicy(2); the caller's way if `None`.
    pub memory_policy: Option<&'a MemoryPolicy>,
    /// Execution domain, personality(2); the caller's if `None`.
    pub personality: Option<u32>,
    /// Rule set to be restricted by, from [`crate::landlock::deny_all`].
    pub landlock: Option<BorrowedFd<'a>>,
    pub reach: Reach,
}

/// How the calls of a new guest process reach the app kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Through a listener, which its filter is installed with.
    Listener,
    /// It is going to be traced: its first exec is tried until it is.
    Tracer,
}

/// A guest process that waits in its first, notified `execve`.
#[derive(Debug)]
pub struct Guest {
    /// Pid in the caller's pid namespace.
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// With [`Reach::Listener`].
    pub listener: Option<OwnedFd>,
    /// Configured procfs context of its pid namespace, for [`crate::procfs::mount_context`].
    pub proc_context: Option<OwnedFd>,
}

#[derive(Debug)]
pub struct SpawnError {
    /// What could not be done, in the words of the man pages.
    pub step: &'static str,
    pub errno: Errno,
}

impl std::fmt::Display for SpawnError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.step, self.errno)
    }
}

impl std::error::Error for SpawnError {}

fn failed(step: &'static str) -> impl FnOnce(Errno) -> SpawnError {
    move |errno| SpawnError { step, errno }
}

/// Clone the first process of a sandbox into `new` namespaces (those absent are shared with the
/// calling thread, who has entered them). The child dies with the calling *thread* (PDEATHSIG).
/// Needs CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID.
pub fn spawn_init(setup: &Setup<'_>, new: Namespaces) -> Result<Guest, SpawnError> {
    let flags = (new - Namespaces::CGROUP).bits() | libc::SIGCHLD as u32;
    spawn(
        setup,
        flags,
        child::Origin::Init {
            new_uts: new.contains(Namespaces::UTS),
        },
    )
}

/// Fork a process into the namespaces of the sandbox whose init is `init`. Changes the calling thread:
/// its later children are born in that pid namespace too. The caller must be single-threaded.
/// Needs CAP_SYS_ADMIN.
pub fn spawn_into(setup: &Setup<'_>, init: BorrowedFd<'_>) -> Result<Guest, SpawnError> {
    namespace::enter(init, Namespaces::PID).map_err(failed("enter the pid namespace"))?;
    spawn(
        setup,
        libc::SIGCHLD as u32,
        child::Origin::Into {
            init: init.as_raw_fd(),
        },
    )
}

fn spawn(setup: &Setup<'_>, flags: u32, origin: child::Origin) -> Result<Guest, SpawnError> {
    let handshake = Handshake::new().map_err(failed("mmap"))?;
    let (alive_read, alive_write) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed("pipe2"))?;
    let plan = child::Plan {
        setup,
        origin,
        handshake: &handshake,
        alive_read: alive_read.as_raw_fd(),
        alive_write: alive_write.as_raw_fd(),
        identity: child::Identity {
            uid: setup.ids.host_uid(),
            gid: setup.ids.host_gid(),
            setgroups: setup.ids.setgroups(),
            namespaced: !setup.ids.are_the_hosts(),
        },
    };
    // SAFETY: without CLONE_VM this is fork(2): the child has a copy of the address space and only this
    // thread. It makes raw system calls only (see module `child`), so that locks other threads held
    // at the time of the fork do not matter.
    let pid =
        unsafe { syscall!(libc::SYS_clone, flags, 0, 0, 0, 0) }.map_err(failed("clone"))? as i32;
    if pid == 0 {
        child::run(&plan);
    }
    let guest = finish(setup, &handshake, pid, flags);
    if guest.is_err() {
        kill_and_reap(pid);
    }
    guest
}

fn finish(
    setup: &Setup<'_>,
    handshake: &Handshake,
    pid: i32,
    flags: u32,
) -> Result<Guest, SpawnError> {
    let pidfd = pidfd_open(pid).map_err(failed("pidfd_open"))?;
    if flags & libc::CLONE_NEWUSER as u32 != 0 {
        map_ids(setup, pid).map_err(failed("write the user namespace's id map"))?;
    }
    handshake.go_on();
    handshake.wait_until_filtered(pid)?;
    let take = |number| pidfd_getfd(pidfd.as_fd(), number).map_err(failed("pidfd_getfd"));
    let proc_context = handshake.proc_context().map(take).transpose()?;
    let listener = match setup.reach {
        Reach::Listener => Some(take(handshake.listener())?),
        Reach::Tracer => None,
    };
    if let Some(listener) = &listener {
        wake_at_once(listener)?;
    }
    Ok(Guest {
        pid,
        pidfd,
        listener,
        proc_context,
    })
}

/// Where the kernel can do that.
fn wake_at_once(listener: &OwnedFd) -> Result<(), SpawnError> {
    Listener::new(listener.try_clone().map_err(|_| SpawnError {
        step: "dup",
        errno: Errno::MFILE,
    })?)
    .set_wake_up(WakeUp::OnThisCpu)
    .or_else(|error| {
        if error == Errno::INVAL {
            Ok(())
        } else {
            Err(error)
        }
    })
    .map_err(failed("SECCOMP_IOCTL_NOTIF_SET_FLAGS"))
}

/// Map every id to itself, so that ids the host kernel reports natively (fstat) are right.
fn map_ids(setup: &Setup<'_>, pid: i32) -> Result<(), Errno> {
    use rustix::fs::{Mode, OFlags, openat};
    let maps = [
        ("uid_map", setup.ids.identity_uids()),
        ("gid_map", setup.ids.identity_gids()),
    ];
    for (file, text) in maps {
        let map = openat(
            setup.host_proc,
            format!("{pid}/{file}"),
            OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        rustix::io::write(&map, text.as_bytes())?;
    }
    Ok(())
}

fn kill_and_reap(pid: i32) {
    // By its pid, which stays its own until it is reaped: having no descriptor left is one of the reasons to be here.
    if let Some(child) = rustix::process::Pid::from_raw(pid) {
        // An error means that the child is dead already.
        rustix::process::kill_process(child, rustix::process::Signal::KILL).ok();
    }
    let mut status = 0;
    // SAFETY: waitpid writes one int at the pointer, which is live.
    while unsafe { libc::waitpid(pid, &raw mut status, 0) } == -1 {
        // SAFETY: `__errno_location` always returns a valid pointer.
        if unsafe { *libc::__errno_location() } != libc::EINTR {
            break;
        }
    }
}

/// How a child process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Exited(i32),
    Signaled(i32),
}

impl Ended {
    /// From a wait status; `None` for one that is not an end.
    pub fn from_status(status: i32) -> Option<Ended> {
        if libc::WIFEXITED(status) {
            Some(Ended::Exited(libc::WEXITSTATUS(status)))
        } else if libc::WIFSIGNALED(status) {
            Some(Ended::Signaled(libc::WTERMSIG(status)))
        } else {
            None
        }
    }
}

/// Wait for the end of child `pid` and reap it.
pub fn wait(pid: i32) -> Result<Ended, Errno> {
    let mut status = 0;
    loop {
        // SAFETY: waitpid writes one int at the pointer, which is live.
        match crate::raw::check(unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) }.into())
        {
            Ok(_) => {
                if let Some(ended) = Ended::from_status(status) {
                    return Ok(ended);
                }
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}
