//! The one place that waits for children: commands we started, and containers' processes, which
//! become our children (we are their subreaper) when the command that made them exits.
//!
//! Key type: [`Reaper`]. Must never lose an exit: a process may end before the command that made it
//! has told us its pid, so exits that nobody claims are kept while any such command runs.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, pidfd_open,
    pidfd_send_signal, wait, waitid,
};

use crate::logger;
use crate::sync::lock;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    /// Exit status, or 128 + signal, as containerd counts.
    pub(crate) status: u32,
    pub(crate) at: SystemTime,
}

impl Exit {
    /// What is reported for a process that was killed and whose exit nobody saw.
    pub(crate) fn killed() -> Exit {
        Exit {
            status: 128 + 9,
            at: SystemTime::now(),
        }
    }
}

type Watcher = Box<dyn FnOnce(Exit) + Send>;

#[derive(Default)]
struct Table {
    watchers: HashMap<i32, Watcher>,
    /// Exits that came before anybody asked, kept while `launches > 0`.
    unclaimed: HashMap<i32, Exit>,
    launches: usize,
    /// Counts spawned children, so that the thread without any child knows when to look again.
    spawned: u64,
}

pub(crate) struct Reaper {
    table: Mutex<Table>,
    spawned: Condvar,
    /// Held while a child is made, so that the standard library itself can reap one whose exec failed.
    spawning: Mutex<()>,
}

/// While it lives, exits of unknown processes are kept.
pub(crate) struct Launch {
    reaper: Arc<Reaper>,
}

impl Drop for Launch {
    fn drop(&mut self) {
        let mut table = lock(&self.reaper.table);
        table.launches -= 1;
        if table.launches == 0 {
            table.unclaimed = HashMap::new();
        }
    }
}

impl Reaper {
    /// Start the reaping thread.
    pub(crate) fn start() -> io::Result<Arc<Reaper>> {
        let reaper = Arc::new(Reaper {
            table: Mutex::default(),
            spawned: Condvar::new(),
            spawning: Mutex::default(),
        });
        let reaping = Arc::clone(&reaper);
        std::thread::Builder::new()
            .name("reaper".into())
            .spawn(move || reaping.run())?;
        Ok(reaper)
    }

    /// Announce a command that may make processes for us to adopt.
    pub(crate) fn launch(self: &Arc<Self>) -> Launch {
        lock(&self.table).launches += 1;
        Launch {
            reaper: Arc::clone(self),
        }
    }

    /// Call `watcher` once, when child `pid` has ended, on the reaping thread, or right now if its end
    /// is known already.
    pub(crate) fn watch(&self, pid: i32, watcher: Watcher) {
        let mut table = lock(&self.table);
        match table.unclaimed.remove(&pid) {
            Some(exit) => {
                drop(table);
                watcher(exit);
            }
            None => {
                table.watchers.insert(pid, watcher);
            }
        }
    }

    /// Start `command` and return a way to wait for it.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let spawning = lock(&self.spawning);
        let pid = command.spawn()?.id() as i32;
        // It cannot be reaped yet, so the pid is its own.
        let pidfd = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let slot = Arc::new((Mutex::new(None), Condvar::new()));
        let filled = Arc::clone(&slot);
        let mut table = lock(&self.table);
        table.watchers.insert(
            pid,
            Box::new(move |exit| {
                *lock(&filled.0) = Some(exit);
                filled.1.notify_all();
            }),
        );
        table.spawned += 1;
        self.spawned.notify_all();
        drop(table);
        drop(spawning);
        Ok(Child { pidfd, slot })
    }

    fn run(&self) {
        loop {
            let spawned = lock(&self.table).spawned;
            // Look first and take under the lock, so that a child being made is never taken from spawn().
            match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
                Ok(_) => {
                    let spawning = lock(&self.spawning);
                    let reaped = wait(WaitOptions::NOHANG);
                    drop(spawning);
                    if let Ok(Some((pid, status))) = reaped {
                        self.deliver(pid, status);
                    }
                }
                Err(Errno::CHILD) => self.wait_for_child(spawned),
                Err(Errno::INTR) => {}
                Err(error) => logger::error(format_args!("waitid: {error}")),
            }
        }
    }

    /// Without children nobody can become one but by [`Reaper::spawn`].
    fn wait_for_child(&self, seen: u64) {
        let mut table = lock(&self.table);
        while table.spawned == seen {
            table = self
                .spawned
                .wait(table)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    fn deliver(&self, pid: Pid, status: WaitStatus) {
        let status = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code as u32,
            (None, Some(signal)) => 128 + signal as u32,
            (None, None) => return, // stopped or continued, which we do not ask for
        };
        let pid = pid.as_raw_nonzero().get();
        let exit = Exit {
            status,
            at: SystemTime::now(),
        };
        let mut table = lock(&self.table);
        match table.watchers.remove(&pid) {
            Some(watcher) => {
                drop(table);
                watcher(exit);
            }
            None if table.launches > 0 => {
                table.unclaimed.insert(pid, exit);
            }
            None => {} // an orphan of a container without a pid namespace of its own
        }
    }
}

/// A command that runs.
pub(crate) struct Child {
    pidfd: Option<OwnedFd>,
    slot: Arc<(Mutex<Option<Exit>>, Condvar)>,
}

impl Child {
    /// Whether it ends before `limit` is over.
    pub(crate) fn ended_within(&self, limit: Duration) -> bool {
        let (exit, filled) = &*self.slot;
        let ended = filled
            .wait_timeout_while(lock(exit), limit, |exit| exit.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        ended.0.is_some()
    }

    /// Send it a signal, unless it has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pidfd) = &self.pidfd {
            let _already_gone = pidfd_send_signal(pidfd, signal);
        }
    }

    pub(crate) fn wait(self) -> Exit {
        let (exit, filled) = &*self.slot;
        let mut exit = lock(exit);
        loop {
            match *exit {
                Some(exit) => return exit,
                None => {
                    exit = filled
                        .wait(exit)
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn keeps_the_exit_that_comes_before_the_claim() {
        let reaper = Reaper::start().unwrap();
        let launch = reaper.launch();
        // The exit of a child that nobody watches, like a container's process that ends at once.
        let pid = {
            let _spawning = lock(&reaper.spawning);
            let pid = Command::new("/bin/sh")
                .args(["-c", "exit 7"])
                .spawn()
                .unwrap()
                .id() as i32;
            let mut table = lock(&reaper.table);
            table.spawned += 1;
            reaper.spawned.notify_all();
            pid
        };
        while !lock(&reaper.table).unclaimed.contains_key(&pid) {
            std::thread::yield_now();
        }
        let (sender, receiver) = mpsc::channel();
        reaper.watch(pid, Box::new(move |exit| sender.send(exit.status).unwrap()));
        assert_eq!(receiver.recv().unwrap(), 7);
        drop(launch);

        // A command that cannot be executed is an error, not a crash, and not an exit.
        assert!(
            reaper
                .spawn(&mut Command::new("/nonexistent/program"))
                .is_err()
        );
        let killed = reaper
            .spawn(Command::new("/bin/sh").args(["-c", "kill -TERM $$"]))
            .unwrap();
        assert_eq!(killed.wait().status, 128 + 15);
    }
}
