//! All guest threads by host thread id, and processes by guest pid.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::{Fs, Process, Thread, lock};

#[derive(Debug, Default)]
pub struct Table(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    threads: HashMap<i32, Arc<Thread>>,
    /// By host pid.
    processes: HashMap<i32, Arc<Process>>,
    /// Guest pid to host pid.
    by_guest_pid: HashMap<i32, i32>,
}

impl Table {
    pub fn thread(&self, tid: i32) -> Option<Arc<Thread>> {
        lock(&self.0).threads.get(&tid).cloned()
    }

    pub fn process(&self, pid: i32) -> Option<Arc<Process>> {
        lock(&self.0).processes.get(&pid).cloned()
    }

    pub fn process_by_guest_pid(&self, guest_pid: i32) -> Option<Arc<Process>> {
        let entries = lock(&self.0);
        entries
            .by_guest_pid
            .get(&guest_pid)
            .and_then(|pid| entries.processes.get(pid))
            .cloned()
    }

    /// Any thread of the process; its leader when that is known.
    pub fn thread_of(&self, pid: i32) -> Option<Arc<Thread>> {
        let entries = lock(&self.0);
        entries
            .threads
            .get(&pid)
            .filter(|thread| thread.process.pid == pid)
            .or_else(|| {
                entries
                    .threads
                    .values()
                    .find(|thread| thread.process.pid == pid)
            })
            .cloned()
    }

    /// Look at a process without taking a share in it: for threads that must not be the last to drop one. `look`
    /// gets the process and any of its threads, and runs under the table's lock.
    pub fn with_guest_process<R>(
        &self,
        guest_pid: i32,
        look: impl FnOnce(&Process, &Thread) -> R,
    ) -> Option<R> {
        self.with_guest_thread(guest_pid, guest_pid, look)
    }

    /// The same of one of its threads, if it has made a call: otherwise it is what its leader is.
    pub fn with_guest_thread<R>(
        &self,
        guest_pid: i32,
        guest_tid: i32,
        look: impl FnOnce(&Process, &Thread) -> R,
    ) -> Option<R> {
        let entries = lock(&self.0);
        let process = entries
            .processes
            .get(entries.by_guest_pid.get(&guest_pid)?)?;
        let leader = || {
            let thread = entries.threads.get(&process.pid);
            thread.filter(|thread| thread.process.pid == process.pid)
        };
        let any = |is_meant: &dyn Fn(&Thread) -> bool| {
            let mut threads = entries.threads.values();
            threads.find(|thread| thread.process.pid == process.pid && is_meant(thread))
        };
        let one = match guest_tid {
            tid if tid == guest_pid => None,
            tid => any(&|thread| thread.guest_tid == tid),
        };
        let thread = one.or_else(leader).or_else(|| any(&|_| true))?;
        Some(look(process, thread))
    }

    pub fn processes(&self) -> Vec<Arc<Process>> {
        lock(&self.0).processes.values().cloned().collect()
    }

    /// Where all of them stand; what several share comes more than once.
    pub fn stands(&self) -> Vec<Arc<Mutex<Fs>>> {
        let entries = lock(&self.0);
        let threads = entries.threads.values();
        let own = threads.filter_map(|thread| thread.own_fs());
        own.chain(entries.processes.values().map(|process| process.fs()))
            .collect()
    }

    /// Add a thread, and its process when that is new. Returns the thread that is in the table now:
    /// another server thread may have been faster, with this thread or with another one of its process.
    pub fn insert(&self, thread: Arc<Thread>) -> Arc<Thread> {
        let mut entries = lock(&self.0);
        if let Some(known) = entries.threads.get(&thread.tid) {
            return known.clone();
        }
        let thread = match entries.processes.get(&thread.process.pid) {
            Some(known) if !Arc::ptr_eq(known, &thread.process) && !known.has_ended() => {
                let credentials = thread.credentials();
                let (tid, guest_tid) = (thread.tid, thread.guest_tid);
                Arc::new(Thread::new(tid, guest_tid, known.clone(), credentials))
            }
            _ => thread,
        };
        let process = thread.process.clone();
        entries.by_guest_pid.insert(process.guest_pid, process.pid);
        entries.processes.insert(process.pid, process);
        entries.threads.insert(thread.tid, thread.clone());
        thread
    }

    pub fn remove_thread(&self, tid: i32) {
        lock(&self.0).threads.remove(&tid);
    }

    /// The process has ended. Another one may have its ids by now.
    pub fn remove_process(&self, process: &Arc<Process>) {
        let mut entries = lock(&self.0);
        let known = entries.processes.get(&process.pid);
        if known.is_some_and(|known| Arc::ptr_eq(known, process)) {
            entries.processes.remove(&process.pid);
            entries.by_guest_pid.remove(&process.guest_pid);
        }
        entries
            .threads
            .retain(|_, thread| !Arc::ptr_eq(&thread.process, process));
    }

    /// After an exec only the thread that has the process' id is left.
    pub fn only_leader_remains(&self, leader: Arc<Thread>) {
        let mut entries = lock(&self.0);
        let pid = leader.process.pid;
        entries
            .threads
            .retain(|tid, thread| thread.process.pid != pid || *tid == pid);
        entries.threads.insert(leader.tid, leader);
    }
}
