//! Guest processes and threads as the app kernel knows them.
//!
//! [`Table`] maps host thread ids to [`Thread`]s. Processes appear at their first notified call
//! (module `discover`) and disappear when their pidfd says so. No lock of this module is ever held
//! across a filesystem call.

mod birth;
mod credentials;
mod discover;
mod exec_credentials;
mod executable;
mod fs;
mod limits;
mod table;

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use birth::{Apart, Birth, Births, InheritedFs, MARK_RESOURCE, RECENT};
pub use credentials::{ALL_CAPABILITIES, Capability, Credentials, SecureBits};
pub use discover::{
    Host, children_of, children_of_process, everyone as discover_everyone, ids_of,
    read as read_proc, read_bytes as read_bytes_of_proc, thread as discover_thread, threads_of,
};
pub use exec_credentials::{AfterExec, FilePrivileges, after_exec, parse_file_capabilities};
pub use executable::{Executable, Running};
pub use fs::{Directory, Fs};
pub use limits::{KeptLimits, PROCESSES_RESOURCE};
pub use table::Table;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::exec::Plan;
use crate::namespaces::{Net, Uts};

/// A lock that a panicking holder cannot poison for everybody else.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Namespaces that guests have made; where there is none of a kind, it is the container's own.
#[derive(Clone, Debug, Default)]
pub struct Spaces {
    pub uts: Option<Arc<Uts>>,
    pub net: Option<Arc<Net>>,
}

/// One guest thread.
#[derive(Debug)]
pub struct Thread {
    /// Host thread id.
    pub tid: i32,
    /// Thread id in the guest's pid namespace.
    pub guest_tid: i32,
    pub process: Arc<Process>,
    credentials: Mutex<Arc<Credentials>>,
    /// Root, working directory and umask, where the thread does not share those of its process: unshare(2).
    fs: Mutex<Option<Arc<Mutex<Fs>>>>,
    /// Where the thread is in others than its process: setns(2).
    spaces: Mutex<Option<Spaces>>,
    guarded: AtomicBool,
    sought: AtomicBool,
}

impl Thread {
    pub fn new(
        tid: i32,
        guest_tid: i32,
        process: Arc<Process>,
        credentials: Arc<Credentials>,
    ) -> Thread {
        Thread {
            tid,
            guest_tid,
            process,
            credentials: Mutex::new(credentials),
            fs: Mutex::default(),
            spaces: Mutex::default(),
            guarded: AtomicBool::new(false),
            sought: AtomicBool::new(false),
        }
    }

    /// Whether its signals are looked after, so that none makes a call fail that has not been received yet.
    pub fn is_guarded(&self) -> bool {
        self.guarded.load(Ordering::Acquire)
    }

    pub fn set_guarded(&self, guarded: bool) {
        self.guarded.store(guarded, Ordering::Release);
    }

    /// Root, working directory and umask, possibly shared with other threads and processes (CLONE_FS).
    pub fn fs(&self) -> Arc<Mutex<Fs>> {
        let own = lock(&self.fs).clone();
        own.unwrap_or_else(|| self.process.fs())
    }

    /// Look at them without taking a share.
    pub fn with_fs<R>(&self, look: impl FnOnce(&Fs) -> R) -> R {
        match &*lock(&self.fs) {
            Some(own) => look(&lock(own)),
            None => self.process.with_fs(look),
        }
    }

    pub fn root(&self) -> Arc<Directory> {
        self.with_fs(|fs| fs.root.clone())
    }

    pub fn cwd(&self) -> Arc<Directory> {
        self.with_fs(|fs| fs.cwd.clone())
    }

    /// Share them with nobody from now on. `alone`: the process has no other thread.
    pub fn unshare_fs(&self, alone: bool) {
        let mut own = lock(&self.fs);
        match &mut *own {
            Some(fs) => unshare(fs),
            None if alone => self.process.unshare_fs(),
            None => *own = Some(Arc::new(Mutex::new(self.process.with_fs(Fs::clone)))),
        }
    }

    /// Stand there, and share that with nobody.
    pub fn move_to(&self, fs: Fs, alone: bool) {
        self.unshare_fs(alone);
        let slot = self.fs();
        let before = std::mem::replace(&mut *lock(&slot), fs);
        // It may have been the last in a mount namespace.
        drop(before);
    }

    /// How many share them with this thread, of processes and threads that unshared theirs; it is one of them itself.
    pub fn fs_sharers(&self) -> usize {
        Arc::strong_count(&self.fs()) - 1
    }

    /// What it does not share with its process.
    pub fn own_fs(&self) -> Option<Arc<Mutex<Fs>>> {
        lock(&self.fs).clone()
    }

    pub fn spaces(&self) -> Spaces {
        self.with_spaces(Spaces::clone)
    }

    /// Look at them without taking a share.
    pub fn with_spaces<R>(&self, look: impl FnOnce(&Spaces) -> R) -> R {
        match &*lock(&self.spaces) {
            Some(own) => look(own),
            None => look(&lock(&self.process.spaces)),
        }
    }

    /// Be in these from now on. `alone`: the process has no other thread.
    pub fn enter(&self, spaces: Spaces, alone: bool) {
        if alone {
            let before = lock(&self.spaces).take();
            drop(before);
            self.process.set_spaces(spaces);
        } else {
            let before = lock(&self.spaces).replace(spaces);
            drop(before);
        }
    }

    /// The network, if not the pod's.
    pub fn net(&self) -> Option<Arc<Net>> {
        self.with_spaces(|spaces| spaces.net.clone())
    }

    /// Whether a guest waits for its turn to trace the thread.
    pub fn is_sought(&self) -> bool {
        self.sought.load(Ordering::Acquire)
    }

    pub fn set_sought(&self, sought: bool) {
        self.sought.store(sought, Ordering::Release);
    }

    pub fn credentials(&self) -> Arc<Credentials> {
        lock(&self.credentials).clone()
    }

    /// Take on other credentials. Who changes ids or gains a capability may not be looked into any more by
    /// others like it (`commit_creds`, prctl(2) of PR_SET_DUMPABLE).
    pub fn set_credentials(&self, new: Credentials) {
        let mut slot = lock(&self.credentials);
        if slot.changes_dumpable(&new) {
            self.process.dumpable.store(false, Ordering::Release);
        }
        *slot = Arc::new(new);
    }
}

/// One guest process (thread group).
#[derive(Debug)]
pub struct Process {
    /// Host pid.
    pub pid: i32,
    /// Pid in the guest's pid namespace.
    pub guest_pid: i32,
    pub pidfd: OwnedFd,
    /// No other process of this sandbox has or had it: a pid is used again.
    pub serial: u64,
    fs: Mutex<Arc<Mutex<Fs>>>,
    /// Credentials that its first thread was born with.
    pub birth: Arc<Credentials>,
    /// The program; none before the first exec.
    pub exe: Mutex<Option<Arc<Executable>>>,
    /// What the next child will be born with: the host process' mark.
    pub offspring: Mutex<Option<(u64, Arc<Birth>)>>,
    spaces: Mutex<Spaces>,
    /// A clone(2) that is to make a process in namespaces of its own.
    pub apart: Mutex<Option<Apart>>,
    /// Limits that the host does not keep.
    pub limits: Mutex<KeptLimits>,
    /// An exec that has been started and whose loader has not asked for its plan yet.
    pub exec: Mutex<Option<Plan>>,
    /// Whether a thread of it has, or had, [`Credentials::no_new_privs`]: others may be its children.
    pub no_new_privs: AtomicBool,
    /// PR_GET_DUMPABLE is 1. In Linux this belongs to the memory, which a process shares with others only until it
    /// executes a program.
    pub dumpable: AtomicBool,
    /// Signals, bit by number, that have a handler without SA_RESTART, of those whose handlers are known.
    pub unrestarting: AtomicU64,
    /// It has made a process.
    pub is_parent: AtomicBool,
}

impl Process {
    pub fn new(
        pid: i32,
        guest_pid: i32,
        pidfd: OwnedFd,
        fs: Arc<Mutex<Fs>>,
        birth: Arc<Credentials>,
        exe: Option<Arc<Executable>>,
    ) -> Process {
        static SERIALS: AtomicU64 = AtomicU64::new(0);
        Process {
            pid,
            guest_pid,
            pidfd,
            serial: SERIALS.fetch_add(1, Ordering::Relaxed),
            fs: Mutex::new(fs),
            birth,
            exe: Mutex::new(exe),
            offspring: Mutex::new(None),
            spaces: Mutex::default(),
            apart: Mutex::default(),
            limits: Mutex::default(),
            exec: Mutex::new(None),
            no_new_privs: AtomicBool::new(false),
            dumpable: AtomicBool::new(true),
            unrestarting: AtomicU64::new(0),
            is_parent: AtomicBool::new(false),
        }
    }

    pub fn no_new_privs(&self) -> bool {
        self.no_new_privs.load(Ordering::Acquire)
    }

    pub fn is_dumpable(&self) -> bool {
        self.dumpable.load(Ordering::Acquire)
    }

    /// Whether a signal may come whose handler does not restart calls. SIGCHLD comes only where there are children: most
    /// that shells make execute a program and have none.
    pub fn is_interruptible(&self) -> bool {
        let handled = self.unrestarting.load(Ordering::Acquire);
        handled & !(1 << libc::SIGCHLD) != 0
            || handled != 0 && self.is_parent.load(Ordering::Acquire)
    }

    /// Whether all of it is over; the table may not have noticed.
    pub fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        matches!(poll(&mut fds, Some(&now)), Ok(1))
    }

    /// Root, working directory and umask, possibly shared with other processes (CLONE_FS).
    pub fn fs(&self) -> Arc<Mutex<Fs>> {
        lock(&self.fs).clone()
    }

    /// Look at them without taking a share.
    pub fn with_fs<R>(&self, look: impl FnOnce(&Fs) -> R) -> R {
        look(&lock(&lock(&self.fs)))
    }

    fn unshare_fs(&self) {
        unshare(&mut lock(&self.fs));
    }

    /// It executes a program: all of it stands where the thread stood that called, and shares that with nobody.
    pub fn stand_alone(&self, fs: Arc<Mutex<Fs>>) {
        let before = std::mem::replace(&mut *lock(&self.fs), fs);
        // It may be the last in a mount namespace.
        drop(before);
        self.unshare_fs();
    }

    pub fn set_spaces(&self, spaces: Spaces) {
        let before = std::mem::replace(&mut *lock(&self.spaces), spaces);
        // They may end with it.
        drop(before);
    }
}

/// Have what is shared with others to oneself.
fn unshare(slot: &mut Arc<Mutex<Fs>>) {
    if Arc::strong_count(slot) > 1 {
        let own = lock(slot).clone();
        *slot = Arc::new(Mutex::new(own));
    }
}
