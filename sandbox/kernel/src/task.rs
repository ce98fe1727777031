//! Guest processes and threads as the app kernel knows them.
//!
//! [`Table`] maps host thread ids to [`Thread`]s. Processes appear at their first notified call
//! (module `discover`) and disappear when their pidfd says so. No lock of this module is ever held
//! across a filesystem call.

mod credentials;
mod discover;
mod exec_credentials;
mod fs;
mod table;

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use credentials::{ALL_CAPABILITIES, Capability, Credentials, SecureBits};
pub use discover::{children as discover_children, read as read_proc, thread as discover_thread};
pub use exec_credentials::{FilePrivileges, after_exec, parse_file_capabilities};
pub use fs::{Directory, Fs};
pub use table::Table;

use crate::exec::Plan;

/// A lock that a panicking holder cannot poison for everybody else.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// The thread has ended: the entry must not be used for a later thread of the same number.
    pub ended: AtomicBool,
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
            ended: AtomicBool::new(false),
        }
    }

    pub fn credentials(&self) -> Arc<Credentials> {
        lock(&self.credentials).clone()
    }

    pub fn set_credentials(&self, credentials: Credentials) {
        *lock(&self.credentials) = Arc::new(credentials);
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
    fs: Mutex<Arc<Mutex<Fs>>>,
    /// Guest path of the executed file, and the path it was asked for by.
    pub exe: Mutex<Vec<u8>>,
    /// Children may have been made that have not been discovered yet.
    pub unresolved_children: AtomicBool,
    /// Flags of the latest clone that made a process, for CLONE_FS.
    pub clone_flags: AtomicU64,
    /// An exec that has been started and whose loader has not asked for its plan yet.
    pub exec: Mutex<Option<Plan>>,
    /// Guest's no_new_privs and dumpable as it has set them.
    pub no_new_privs: AtomicBool,
}

impl Process {
    pub fn new(
        pid: i32,
        guest_pid: i32,
        pidfd: OwnedFd,
        fs: Arc<Mutex<Fs>>,
        exe: Vec<u8>,
    ) -> Process {
        Process {
            pid,
            guest_pid,
            pidfd,
            fs: Mutex::new(fs),
            exe: Mutex::new(exe),
            unresolved_children: AtomicBool::new(false),
            clone_flags: AtomicU64::new(0),
            exec: Mutex::new(None),
            no_new_privs: AtomicBool::new(false),
        }
    }

    /// Root, working directory and umask, possibly shared with other processes (CLONE_FS).
    pub fn fs(&self) -> Arc<Mutex<Fs>> {
        lock(&self.fs).clone()
    }

    /// Look at root, working directory and umask without taking a share in them.
    pub fn with_fs<R>(&self, look: impl FnOnce(&Fs) -> R) -> R {
        look(&lock(&lock(&self.fs)))
    }

    /// execve(2) and unshare(CLONE_FS) end the sharing.
    pub fn unshare_fs(&self) {
        let mut slot = lock(&self.fs);
        if Arc::strong_count(&slot) > 1 {
            let own = lock(&slot).clone();
            *slot = Arc::new(Mutex::new(own));
        }
    }

    pub fn root(&self) -> Arc<Directory> {
        lock(&self.fs()).root.clone()
    }

    pub fn cwd(&self) -> Arc<Directory> {
        lock(&self.fs()).cwd.clone()
    }
}
