//! The state of one application kernel, shared by all its threads.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use caisson_sys::namespace::{PidNamespace, ThreadIds};
use caisson_sys::user_namespace::Ids;
use caisson_wire::FilterFacts;

use crate::boot::DeviceRule;
use crate::control::Gate;
use crate::mounts::Mounts;
use crate::park::Parked;
use crate::proc::{Outside, SystemFacts};
use crate::servant::Servant;
use crate::shortfall::Shortfalls;
use crate::strace::Strace;
use crate::system::Names;
use crate::task::{Births, Directory, Host, Process, Running, Table, Thread, lock};
use crate::tracer::Tracer;
use crate::transport::Gateway;
use crate::walkers::Walkers;

pub struct Kernel {
    pub id: String,
    /// `/` of this process when guests run, and theirs.
    pub root: Arc<Directory>,
    /// The host's procfs.
    pub host_proc: OwnedFd,
    /// What guests may be in the user namespace that this process is in.
    pub ids: Ids,
    /// The guests' pid namespace, once there is a guest; `None` where the host kernel cannot translate ids.
    pub guest_pids: OnceLock<Option<PidNamespace>>,
    /// A procfs instance of the guest's pid namespace, once there is one.
    pub guest_proc: OnceLock<Arc<OwnedFd>>,
    pub table: Table,
    pub births: Births,
    /// Set before guests run.
    pub mounts: OnceLock<Mounts>,
    /// The files that guests execute.
    pub running: Arc<Running>,
    pub walkers: Walkers,
    pub names: Arc<Mutex<Names>>,
    pub outside: Outside,
    /// What guests have made.
    pub namespaces: crate::namespaces::Registry,
    /// Executed in place of every program; sealed.
    pub loader: OwnedFd,
    /// Device and inode of the loader, by which it is recognised in a guest.
    pub loader_identity: (u64, u64),
    /// What the filter demands of a native execveat.
    pub secret: u64,
    pub gateway: Gateway,
    /// The filter delivers native calls as well, for the log.
    pub all_calls: bool,
    /// A log of all calls that guests make.
    pub strace: Option<Strace>,
    pub shortfalls: Shortfalls,
    pub devices: Vec<DeviceRule>,
    /// What uname(2) says the machine is.
    pub machine: &'static str,
    /// A guest has set a personality(2) of which uname(2) may have to take notice.
    pub personalities_differ: AtomicBool,
    /// A guest has asked to be told who sends to it (SO_PASSCRED).
    pub credentials_wanted: AtomicBool,
    /// Owners of System V IPC objects.
    pub ipc: crate::ipc::Objects,
    /// Asynchronous input and output that guests are about to set up.
    pub aio: crate::syscall::aio::Grants,
    pub gate: Gate,
    pub parked: Parked,
    /// ptrace(2) among guests.
    pub tracer: Arc<Tracer>,
    pub facts: SystemFacts,
    pub load: crate::proc::Load,
    pub thread_names: crate::proc::ThreadNames,
    /// Device number of each synthetic file system (/proc, /sys) of the container, and the magic number that
    /// the real one has in statfs(2).
    pub synthetic: Vec<(u64, i64)>,
    /// Where new processes are announced to the thread that watches for their end.
    pub watch: crate::watch::Watch,
}

impl Kernel {
    /// What filters of this sandbox are compiled with.
    pub fn filter_facts(&self) -> FilterFacts {
        FilterFacts {
            secret: self.secret,
            transport: self.gateway.kind(),
            all_calls: self.all_calls,
        }
    }

    /// The thread that made a call, found out about when it is new.
    pub fn thread(&self, tid: i32) -> Result<Arc<Thread>, rustix::io::Errno> {
        if let Some(thread) = self.table.thread(tid) {
            return Ok(thread);
        }
        self.guest_pids
            .get_or_init(|| PidNamespace::of(self.host_proc.as_fd(), tid).ok());
        let thread = crate::task::discover_thread(&self.table, &self.births, self.host(), tid)?;
        self.watch.add(&thread.process);
        Ok(thread)
    }

    /// What the thread of host id `tid` is called among guests. `ESRCH` if it is gone.
    pub fn ids_of(&self, tid: i32) -> Result<ThreadIds, rustix::io::Errno> {
        crate::task::ids_of(self.host(), tid)
    }

    fn host(&self) -> Host<'_> {
        Host {
            proc: self.host_proc.as_fd(),
            guest_pids: self.guest_pids.get().and_then(Option::as_ref),
        }
    }

    /// Find all living processes, also those that have not made a call yet.
    pub fn discover_everyone(&self) {
        let found = crate::task::discover_everyone(&self.table, &self.births, self.host());
        for thread in found {
            self.watch.add(&thread.process);
        }
    }

    /// Forget what was written down for children that can not come any more, and the mount namespaces that this keeps.
    pub fn forget_the_unborn(&self) {
        /// No process is found for the first time so long after it was made, once everybody has been looked for.
        const FOUND: Duration = Duration::from_secs(1);
        self.forget_births(FOUND);
    }

    /// The same of those that were not used for `age`.
    pub fn forget_births(&self, age: Duration) {
        self.discover_everyone();
        self.births.forget_old(&self.table.processes(), age);
    }

    /// Let go of what processes that have ended have held: directories, and those that their children would be born in.
    pub fn forget_the_dead(&self) {
        self.watch.catch_up(self);
        // Who ends after this may have made a process that is not found now.
        let makers = self.table.processes();
        self.discover_everyone();
        self.births.forget_others(&makers);
    }

    /// Whether a living process executes this file. [`Running`] alone does not tell: what was written down for children
    /// (`task/birth.rs`) outlives their maker, and the end of a process is noticed a moment late.
    pub fn is_executed(&self, device: u64, inode: u64) -> bool {
        if !self.running.is(device, inode) {
            return false;
        }
        self.discover_everyone();
        let runs_it = |process: &Process| {
            let exe = lock(&process.exe).clone();
            exe.is_some_and(|exe| exe.is(device, inode)) && !process.has_ended()
        };
        self.table
            .processes()
            .iter()
            .any(|process| runs_it(process))
    }

    /// Whether a file on `device` is served by this process.
    pub fn is_synthetic(&self, device: u64) -> bool {
        self.synthetic_magic(device).is_some()
    }

    pub fn synthetic_magic(&self, device: u64) -> Option<i64> {
        self.synthetic
            .iter()
            .find(|(known, _)| *known == device)
            .map(|(_, magic)| *magic)
    }

    pub fn host_proc(&self) -> BorrowedFd<'_> {
        self.host_proc.as_fd()
    }

    /// What guests have mounted.
    pub fn mounts(&self) -> &Mounts {
        self.mounts.get_or_init(Mounts::default)
    }

    /// Host and domain name as a thread sees them.
    pub fn names_of(&self, thread: &Thread) -> Arc<Mutex<Names>> {
        thread.with_spaces(|spaces| {
            let own = spaces.uts.as_ref().map(|uts| &uts.names);
            own.unwrap_or(&self.names).clone()
        })
    }

    /// Run `work` with this thread's servant.
    pub fn with_servant<R>(
        &self,
        work: impl FnOnce(&mut Servant) -> R,
    ) -> Result<R, rustix::io::Errno> {
        crate::servant::with_servant(self, work)
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
