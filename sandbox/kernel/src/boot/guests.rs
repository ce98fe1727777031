//! The kernel as the server of /proc sees it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};

use caisson_sys::sysv::Kind;
use nix::errno::Errno;

use crate::ipc::Object;
use crate::kernel::Kernel;
use crate::proc::{
    CapabilityMasks, Changes, Guests, Ids, Load, Network, Outside, ProcessFacts, Rights,
    ServerHandle, SystemFacts, ThreadNames, Walker,
};
use crate::system::Names;
use crate::task::{Credentials, Process, Thread, lock};

/// Exists from before the mounts are made; the kernel behind it comes later.
#[derive(Debug)]
pub struct View {
    host_proc: OwnedFd,
    kernel: OnceLock<Arc<Kernel>>,
    servers: Mutex<Vec<ServerHandle>>,
}

impl View {
    pub(super) fn new(host_proc: OwnedFd) -> View {
        View {
            host_proc,
            kernel: OnceLock::new(),
            servers: Mutex::default(),
        }
    }

    pub(super) fn host_proc(&self) -> BorrowedFd<'_> {
        self.host_proc.as_fd()
    }

    /// A tree was mounted.
    pub(super) fn add(&self, server: ServerHandle) {
        lock(&self.servers).push(server);
    }

    /// Let the servers of /proc and /sys enter the guest's namespaces, once its procfs is known.
    pub(super) fn settle_servers(&self) -> std::io::Result<()> {
        match self.guest_proc() {
            Some(_) => lock(&self.servers)
                .iter()
                .try_for_each(ServerHandle::settle),
            None => Ok(()),
        }
    }

    /// From now on there are guests.
    pub(super) fn connect(&self, kernel: &Arc<Kernel>) {
        self.kernel.get_or_init(|| kernel.clone());
    }
}

impl Guests for View {
    fn host_proc(&self) -> BorrowedFd<'_> {
        self.host_proc.as_fd()
    }

    fn guest_proc(&self) -> Option<Arc<OwnedFd>> {
        self.kernel.get()?.guest_proc.get().cloned()
    }

    fn facts(&self, pid: u32, tid: u32) -> Option<ProcessFacts> {
        let kernel = self.kernel.get()?;
        // The asking thread has a descriptor table of its own: it must not be the one that drops, and so closes,
        // descriptors of a process that ends meanwhile.
        kernel
            .table
            .with_guest_thread(pid as i32, tid as i32, |process, thread| {
                facts(self.host_proc(), process, thread)
            })
    }

    fn rights(&self, pid: u32) -> Option<Rights> {
        let table = &self.kernel.get()?.table;
        table.with_guest_process(pid as i32, |process, thread| {
            let c = thread.credentials();
            Rights {
                uid: user_ids(&c),
                gid: group_ids(&c),
                effective: c.caps.effective,
                permitted: c.caps.permitted,
                dumpable: process.is_dumpable(),
                serial: process.serial,
            }
        })
    }

    fn walker(&self, tid: u32) -> Option<Arc<Walker>> {
        self.kernel.get()?.walkers.find(tid)
    }

    fn system(&self) -> Option<&SystemFacts> {
        self.kernel.get().map(|kernel| &kernel.facts)
    }

    fn load(&self) -> Option<&Load> {
        self.kernel.get().map(|kernel| &kernel.load)
    }

    fn thread_names(&self) -> Option<&ThreadNames> {
        self.kernel.get().map(|kernel| &kernel.thread_names)
    }

    fn names(&self, pid: u32) -> Names {
        let Some(kernel) = self.kernel.get() else {
            return Names::default();
        };
        lock(&names_of(kernel, pid)).clone()
    }

    fn ipc_object(&self, kind: Kind, id: i32) -> Option<Object> {
        self.kernel.get()?.ipc.get(kind, id)
    }

    fn mounts_keeper(&self, pid: u32) -> Option<i32> {
        let keeper = |thread: &Thread| {
            thread.with_fs(|fs| fs.mounts.as_ref().map(|namespace| namespace.keeper))
        };
        let table = &self.kernel.get()?.table;
        table
            .with_guest_process(pid as i32, |_, thread| keeper(thread))
            .flatten()
    }

    fn namespace(&self, pid: u32, tid: u32, kind: &str) -> Option<u64> {
        let table = &self.kernel.get()?.table;
        let inode = |_: &Process, thread: &Thread| crate::namespaces::inode_of(thread, kind);
        table
            .with_guest_thread(pid as i32, tid as i32, inode)
            .flatten()
    }

    fn mount_events(&self, pid: u32) -> u64 {
        let Some(kernel) = self.kernel.get() else {
            return 0;
        };
        let own = |_: &Process, thread: &Thread| thread.with_fs(|fs| fs.mounts.clone());
        let namespace = kernel.table.with_guest_process(pid as i32, own).flatten();
        kernel.mounts().events(namespace.as_deref())
    }

    fn mount_changes(&self) -> Option<Arc<Changes>> {
        Some(self.kernel.get()?.mounts().changes.clone())
    }

    fn network(&self, pid: u32) -> Option<Arc<dyn Network>> {
        let table = &self.kernel.get()?.table;
        let net = table.with_guest_process(pid as i32, |_, thread| thread.net())??;
        Some(net)
    }

    fn outside(&self) -> Option<&Outside> {
        self.kernel.get().map(|kernel| &kernel.outside)
    }

    fn kept_sockets(&self, pid: u32) -> Vec<(u32, u64)> {
        let Some(kernel) = self.kernel.get() else {
            return Vec::new();
        };
        kernel
            .table
            .with_guest_process(pid as i32, |process, _| process.pid)
            .map(|pid| kernel.gateway.kept_sockets(pid))
            .unwrap_or_default()
    }

    fn tracer(&self, tid: u32) -> u32 {
        self.kernel
            .get()
            .map_or(0, |kernel| kernel.tracer.of_guest(tid as i32) as u32)
    }

    fn set_hostname(&self, pid: u32, name: &str) -> Result<(), Errno> {
        let kernel = self.kernel.get().ok_or(Errno::EPERM)?;
        lock(&names_of(kernel, pid)).host = name.to_owned();
        Ok(())
    }
}

fn names_of(kernel: &Kernel, pid: u32) -> Arc<Mutex<Names>> {
    let of = |_: &Process, thread: &Thread| kernel.names_of(thread);
    let found = kernel.table.with_guest_process(pid as i32, of);
    found.unwrap_or_else(|| kernel.names.clone())
}

fn user_ids(c: &Credentials) -> Ids {
    Ids {
        real: c.ruid,
        effective: c.euid,
        saved: c.suid,
        filesystem: c.fsuid,
    }
}

fn group_ids(c: &Credentials) -> Ids {
    Ids {
        real: c.rgid,
        effective: c.egid,
        saved: c.sgid,
        filesystem: c.fsgid,
    }
}

fn facts(host_proc: BorrowedFd<'_>, process: &Process, thread: &Thread) -> ProcessFacts {
    let c = thread.credentials();
    let path = |fd: BorrowedFd<'_>| crate::walk::path_of(host_proc, fd).unwrap_or_default();
    let (umask, cwd, root) =
        thread.with_fs(|fs| (fs.umask, path(fs.cwd.as_fd()), path(fs.root.as_fd())));
    let limits = lock(&process.limits).list();
    ProcessFacts {
        uid: user_ids(&c),
        gid: group_ids(&c),
        groups: c.groups.to_vec(),
        umask,
        capabilities: CapabilityMasks {
            inheritable: c.caps.inheritable,
            permitted: c.caps.permitted,
            effective: c.caps.effective,
            bounding: c.caps.bounding,
            ambient: c.caps.ambient,
        },
        no_new_privs: c.no_new_privs,
        dumpable: process.dumpable.load(Ordering::Acquire),
        exe: lock(&process.exe)
            .as_ref()
            .map(|executable| path(executable.as_fd()))
            .unwrap_or_default(),
        cwd,
        root,
        limits,
    }
}
