//! Which processes there are and how they ended.
//!
//! The agent is every orphan's parent, so one thread reaps whatever ends. A process becomes known by
//! [`Table::spawn`], or, when a helper has made it and ended, by [`Expecting::claim`].

use std::collections::BTreeMap;
use std::fs::File;
use std::process::Command;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use caisson_wire::agent::{Ended, Stdio};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use rustix::process::{WaitOptions, waitpid};

use crate::error::AgentError;

#[derive(Default)]
pub(crate) struct Table {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    last: u64,
    /// Children that were ever started by us.
    births: u64,
    processes: BTreeMap<u64, Process>,
    /// The first processes of containers.
    containers: BTreeMap<String, u64>,
    /// How many [`Expecting`]s there are.
    expecting: usize,
    /// What ended while somebody expected a process.
    unclaimed: Vec<(i32, Ended)>,
}

struct Process {
    pid: i32,
    ended: Option<Ended>,
    files: BTreeMap<Stdio, File>,
}

/// While it lives, the ends of unknown processes are kept.
pub(crate) struct Expecting<'a>(&'a Table);

impl Table {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Start a child of our own.
    pub(crate) fn spawn(&self, command: &mut Command) -> std::io::Result<u64> {
        // Locked until it is known: the reaper cannot be faster.
        let mut inner = self.lock();
        let child = command.spawn()?;
        inner.births += 1;
        let number = inner.add(child.id().cast_signed(), BTreeMap::new());
        self.changed.notify_all();
        Ok(number)
    }

    pub(crate) fn expect(&self) -> Expecting<'_> {
        self.lock().expecting += 1;
        Expecting(self)
    }

    /// Wait for the end of a process. What it has written can still be taken, until it is forgotten.
    pub(crate) fn wait(&self, number: u64) -> Result<Ended, AgentError> {
        let mut inner = self.lock();
        loop {
            let process = inner.processes.get(&number);
            let process = process.ok_or(AgentError::NoProcess(number))?;
            if let Some(ended) = process.ended {
                return Ok(ended);
            }
            inner = self
                .changed
                .wait(inner)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Give up what is known of a process, and its files.
    pub(crate) fn forget(&self, number: u64) {
        let mut inner = self.lock();
        inner.processes.remove(&number);
        inner.containers.retain(|_, init| *init != number);
    }

    /// A process is a container's first.
    pub(crate) fn settle(&self, container: &str, number: u64) {
        let containers = &mut self.lock().containers;
        containers.insert(container.to_owned(), number);
    }

    /// Whether a process is a container's first.
    pub(crate) fn is_init(&self, number: u64) -> bool {
        let inner = self.lock();
        inner.containers.values().any(|init| *init == number)
    }

    /// The pid of a container's first process, if it runs.
    pub(crate) fn init(&self, container: &str) -> Option<i32> {
        let inner = self.lock();
        let process = inner.processes.get(inner.containers.get(container)?)?;
        process.ended.is_none().then_some(process.pid)
    }

    /// Send a signal; a process that has ended does not mind.
    pub(crate) fn signal(&self, number: u64, signal: i32) {
        let inner = self.lock();
        let running = inner
            .processes
            .get(&number)
            .filter(|process| process.ended.is_none());
        // Not reaped while we hold the lock, so the pid is its own. Real-time signals have no name.
        if let Some(process) = running {
            match Signal::try_from(signal) {
                Ok(signal) => drop(kill(Pid::from_raw(process.pid), signal)),
                Err(_) => caisson_sys::signal::send(process.pid, signal),
            }
        }
    }

    /// Take one of a process's files.
    pub(crate) fn take(&self, process: u64, file: Stdio) -> Result<File, AgentError> {
        let mut inner = self.lock();
        let entry = inner.processes.get_mut(&process);
        let entry = entry.ok_or(AgentError::NoProcess(process))?;
        entry
            .files
            .remove(&file)
            .ok_or(AgentError::NoFile { process, file })
    }

    /// The master of a process's terminal, to change its size.
    pub(crate) fn console(&self, process: u64) -> Option<File> {
        let inner = self.lock();
        let console = inner.processes.get(&process)?.files.get(&Stdio::Console)?;
        console.try_clone().ok()
    }

    /// Wait for every child there ever is.
    pub(crate) fn reap_for_ever(&self) {
        loop {
            let births = self.lock().births;
            match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                Ok(status) => {
                    if let Some(pid) = status.pid() {
                        self.reap(pid.as_raw());
                    }
                }
                Err(nix::Error::ECHILD) => {
                    let mut inner = self.lock();
                    while inner.births == births {
                        inner = self
                            .changed
                            .wait(inner)
                            .unwrap_or_else(PoisonError::into_inner);
                    }
                }
                Err(_) => {}
            }
        }
    }

    fn reap(&self, pid: i32) {
        let mut inner = self.lock();
        let waited = waitpid(rustix::process::Pid::from_raw(pid), WaitOptions::NOHANG);
        let Ok(Some((_, status))) = waited else {
            return;
        };
        let ended = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Ended::Exited(code as u8),
            (None, signal) => Ended::Signaled(signal.unwrap_or(9) as u8),
        };
        let expected = inner.expecting > 0;
        let known = inner
            .processes
            .values_mut()
            .find(|process| process.pid == pid && process.ended.is_none());
        match known {
            Some(process) => process.ended = Some(ended),
            None if expected => inner.unclaimed.push((pid, ended)),
            None => {}
        }
        self.changed.notify_all();
    }
}

impl Inner {
    fn add(&mut self, pid: i32, files: BTreeMap<Stdio, File>) -> u64 {
        self.last += 1;
        let process = Process {
            pid,
            ended: None,
            files,
        };
        self.processes.insert(self.last, process);
        self.last
    }
}

impl Expecting<'_> {
    /// The process that was expected; it may have ended already.
    pub(crate) fn claim(self, pid: i32, files: BTreeMap<Stdio, File>) -> u64 {
        let mut inner = self.0.lock();
        let number = inner.add(pid, files);
        let ended = inner.unclaimed.iter().position(|(who, _)| *who == pid);
        if let Some(index) = ended {
            let (_, ended) = inner.unclaimed.swap_remove(index);
            if let Some(process) = inner.processes.get_mut(&number) {
                process.ended = Some(ended);
            }
        }
        number
    }
}

impl Drop for Expecting<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.expecting -= 1;
        if inner.expecting == 0 {
            inner.unclaimed.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_a_process_wrote_is_there_after_its_end() {
        let table = Arc::new(Table::default());
        let reaper = Arc::clone(&table);
        std::thread::spawn(move || reaper.reap_for_ever());
        let (read, write) = std::io::pipe().expect("pipe");
        let mut command = Command::new("sh");
        command.args(["-c", "echo here; exit 3"]).stdout(write);
        let expecting = table.expect();
        let number = table.spawn(&mut command).expect("sh runs");
        drop(command);
        assert_eq!(table.wait(number).expect("known"), Ended::Exited(3));
        let file = File::from(std::os::fd::OwnedFd::from(read));
        let claimed = expecting.claim(-1, BTreeMap::from([(Stdio::Out, file)]));
        let mut text = String::new();
        let mut out = table.take(claimed, Stdio::Out).expect("its output");
        out.read_to_string(&mut text).expect("text");
        assert_eq!(text, "here\n");
        assert!(table.take(claimed, Stdio::Out).is_err());
        assert_eq!(table.wait(number).expect("still known"), Ended::Exited(3));
        table.forget(number);
        assert!(table.wait(number).is_err());
    }
}
