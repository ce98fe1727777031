//! What a tracer is told of its tracees: by wait(2), and by SIGCHLD.
//!
//! A wait that finds nothing here to be told goes on natively, because the children of the tracer's that are not traced
//! are the host's to tell of. When there is something to tell, a thread that sleeps in wait(2) is interrupted by way of
//! ptrace, which makes the host restart the call: it comes here again. Where the host would have nothing to wait for,
//! the call is parked.

use std::collections::{HashSet, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use caisson_sys::trace::{self, guest as host};
use rustix::io::Errno;

use super::tracee::{Owner, State, Tracee};
use super::tracees::{NativeCall, Tracees};
use crate::task::{lock, read_proc};

/// Whom wait(2) means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    All,
    /// A guest id.
    One(i32),
    /// A process group of the guests' namespace.
    Group(i32),
}

/// How a wait is meant.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub which: Which,
    /// WNOHANG.
    pub at_once: bool,
    /// WNOWAIT.
    pub leave: bool,
    /// __WNOTHREAD: tracees of the calling thread only.
    pub own_only: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Report {
    pub guest_tid: i32,
    /// As of wait(2).
    pub status: i32,
    /// Clock ticks in user and kernel mode.
    pub ticks: (u64, u64),
}

#[derive(Debug)]
pub enum Outcome {
    Told(Report),
    /// The host may know something.
    Native,
    /// Nobody knows anything yet. The descriptor becomes readable when there is something.
    Sleep(Arc<OwnedFd>),
}

/// Ends that are kept for a tracer which does not wait. Linux keeps the ended thread, which counts against the limit of
/// processes; here it is gone, and nothing else bounds what a guest can pile up.
const MOST_ENDS: usize = 4096;

/// Ends of tracees that the host does not tell the tracer of.
#[derive(Debug)]
struct End {
    owner: Owner,
    guest_tid: i32,
    group: i32,
    status: i32,
}

#[derive(Debug, Default)]
pub(super) struct Waits {
    ends: VecDeque<End>,
    /// Threads that may sleep in a native wait(2).
    sleeping: HashSet<i32>,
    /// SIGCHLD is to be sent when the interrupted wait has been answered.
    owes_signal: bool,
    bells: Vec<Arc<OwnedFd>>,
}

impl Waits {
    fn add_end(&mut self, end: End) {
        if self.ends.len() >= MOST_ENDS {
            self.ends.pop_front();
        }
        self.ends.push_back(end);
    }

    pub(super) fn forget(&mut self, is_meant: impl Fn(&Owner) -> bool) {
        self.ends.retain(|end| !is_meant(&end.owner));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

impl Tracees {
    /// A thread is to trace; others of its process may be in wait(2) already. `ESRCH` if its process is gone.
    pub(super) fn prepare_tracer(&mut self, owner: Owner) -> Result<(), Errno> {
        if lock(&self.kernel.tracer.tracers).insert(owner.pid) {
            let waits = self.waits.entry(owner.pid).or_default();
            waits
                .sleeping
                .extend(crate::task::threads_of(self.kernel.host_proc(), owner.pid));
        }
        // Whoever removes it from the table looks for a tracer of its id after that.
        if self.kernel.table.process(owner.pid).is_none() {
            lock(&self.kernel.tracer.tracers).remove(&owner.pid);
            self.waits.remove(&owner.pid);
            return Err(Errno::SRCH);
        }
        Ok(())
    }

    /// There is something to tell the process `pid`.
    pub(super) fn tell(&mut self, pid: i32) {
        let waits = self.waits.entry(pid).or_default();
        for bell in waits.bells.drain(..) {
            rustix::io::write(&*bell, &1u64.to_ne_bytes()).ok();
        }
        let sleeping: Vec<i32> = waits.sleeping.iter().copied().collect();
        let mut kicked = false;
        for tid in sleeping {
            kicked |= self.kick(pid, tid);
        }
        let waits = self.waits.entry(pid).or_default();
        waits.sleeping.clear();
        if kicked {
            waits.owes_signal = true;
        } else {
            self.send_signal(pid);
        }
    }

    /// SIGCHLD. It says that it was sent by kill(2): only the host can say more.
    fn send_signal(&self, pid: i32) {
        use std::os::fd::AsFd;
        if let Some(process) = self.kernel.table.process(pid) {
            caisson_sys::signal::send_by_pidfd(process.pidfd.as_fd(), libc::SIGCHLD, None, 0).ok();
        }
    }

    /// Have the thread begin its wait(2) anew, if it is in one.
    fn kick(&mut self, pid: i32, tid: i32) -> bool {
        match self.native_call(tid) {
            Some(NativeCall::Unknown | NativeCall::Is(libc::SYS_wait4 | libc::SYS_waitid)) => {}
            _ => return false,
        }
        if let Some(tracee) = self.by_tid.get_mut(&tid) {
            tracee.own_trap = true;
            return trace::interrupt(tid).is_ok();
        }
        if self.kicked.contains_key(&tid) {
            return true;
        }
        if self.guards.contains_key(&tid) {
            return trace::interrupt(tid).is_ok();
        }
        let seized = self.unless_executing(pid, None, || host::seize(tid, 0));
        if seized.is_err() {
            return false;
        }
        let is_first = tid == pid && self.is_our_child(pid);
        self.kicked.insert(tid, is_first);
        trace::interrupt(tid).is_ok()
    }

    pub(super) fn report_end(&mut self, tracee: &Tracee, status: i32) {
        let end = End {
            owner: tracee.owner,
            guest_tid: tracee.guest_tid,
            group: self.group_of(tracee.guest_tid),
            status,
        };
        let pid = tracee.owner.pid;
        self.waits.entry(pid).or_default().add_end(end);
        self.tell(pid);
    }

    /// What the thread `tid` of the process `pid` finds that waits for `asked`.
    pub fn waits(&mut self, tid: i32, pid: i32, asked: Asked) -> Result<Outcome, Errno> {
        let waits = self.waits.entry(pid).or_default();
        waits.sleeping.remove(&tid);
        let owes = std::mem::take(&mut waits.owes_signal);
        let outcome = self.outcome(tid, pid, asked);
        if owes {
            self.send_signal(pid);
        }
        outcome
    }

    fn outcome(&mut self, tid: i32, pid: i32, asked: Asked) -> Result<Outcome, Errno> {
        if let Some(report) = self.first_end(tid, pid, asked) {
            return Ok(Outcome::Told(report));
        }
        if let Some(report) = self.first_stop(tid, pid, asked) {
            return Ok(Outcome::Told(report));
        }
        let has_tracee = self.meant(tid, pid, asked).next().is_some();
        if has_tracee && !self.host_has(pid, asked.which) {
            if asked.at_once {
                let nothing = Report {
                    guest_tid: 0,
                    status: 0,
                    ticks: (0, 0),
                };
                return Ok(Outcome::Told(nothing));
            }
            let flags = rustix::event::EventfdFlags::CLOEXEC;
            let bell = Arc::new(rustix::event::eventfd(0, flags)?);
            let bells = &mut self.waits.entry(pid).or_default().bells;
            // Without those whose wait was interrupted.
            bells.retain(|bell| Arc::strong_count(bell) > 1);
            bells.push(bell.clone());
            return Ok(Outcome::Sleep(bell));
        }
        if !asked.at_once {
            self.waits.entry(pid).or_default().sleeping.insert(tid);
        }
        Ok(Outcome::Native)
    }

    fn first_end(&mut self, tid: i32, pid: i32, asked: Asked) -> Option<Report> {
        let ends = &mut self.waits.get_mut(&pid)?.ends;
        let found = ends.iter().position(|end| {
            (!asked.own_only || end.owner.tid == tid)
                && match asked.which {
                    Which::All => true,
                    Which::One(id) => end.guest_tid == id,
                    Which::Group(group) => end.group == group,
                }
        })?;
        let (guest_tid, status) = (ends[found].guest_tid, ends[found].status);
        if !asked.leave {
            ends.remove(found);
        }
        Some(Report {
            guest_tid,
            status,
            ticks: (0, 0),
        })
    }

    fn first_stop(&mut self, tid: i32, pid: i32, asked: Asked) -> Option<Report> {
        let first = self
            .meant(tid, pid, asked)
            .filter_map(|tracee| tracee.stop().map(|stop| (tracee.tid, stop)))
            .filter(|(_, stop)| !stop.reported)
            .min_by_key(|(_, stop)| stop.number)
            .map(|(tid, _)| tid)?;
        let ticks = self.ticks(first);
        let tracee = self.by_tid.get_mut(&first)?;
        let guest_tid = tracee.guest_tid;
        let State::Stopped(stop) = &mut tracee.state else {
            return None;
        };
        stop.reported = !asked.leave;
        Some(Report {
            guest_tid,
            status: stop.status,
            ticks,
        })
    }

    fn meant(&self, tid: i32, pid: i32, asked: Asked) -> impl Iterator<Item = &Tracee> {
        self.by_tid.values().filter(move |tracee| {
            let owner = &tracee.owner;
            owner.pid == pid
                && (!asked.own_only || owner.tid == tid)
                && !tracee.leaving
                && match asked.which {
                    Which::All => true,
                    Which::One(id) => tracee.guest_tid == id,
                    Which::Group(group) => self.group_of(tracee.guest_tid) == group,
                }
        })
    }

    /// Whether the process has a child that may be meant.
    fn host_has(&self, pid: i32, which: Which) -> bool {
        let children = crate::task::children_of_process(self.kernel.host_proc(), pid);
        match which {
            Which::One(id) => children
                .iter()
                .any(|child| self.ids(*child).is_ok_and(|ids| ids.inner_tgid == id)),
            Which::All | Which::Group(_) => !children.is_empty(),
        }
    }

    /// The process group of a thread, in the guests' namespace; 0 for one that is gone.
    fn group_of(&self, guest_tid: i32) -> i32 {
        self.guest_stat(guest_tid, 2)
            .and_then(|field| field.parse().ok())
            .unwrap_or(0)
    }

    fn ticks(&self, tid: i32) -> (u64, u64) {
        let text = read_proc(self.kernel.host_proc(), &format!("{tid}/stat")).unwrap_or_default();
        let field = |index| {
            field_of(&text, index)
                .and_then(|field| field.parse().ok())
                .unwrap_or(0)
        };
        (field(11), field(12))
    }

    fn guest_stat(&self, guest_tid: i32, index: usize) -> Option<String> {
        use std::os::fd::AsFd;
        let proc = self.kernel.guest_proc.get()?;
        let text = read_proc(proc.as_fd(), &format!("{guest_tid}/stat")).ok()?;
        field_of(&text, index).map(str::to_owned)
    }
}

/// A field of proc_pid_stat(5), counted from behind the name, which may hold anything.
fn field_of(stat: &str, index: usize) -> Option<&str> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracer_that_never_waits_keeps_the_latest_ends_only() {
        let mut waits = Waits::default();
        let many = MOST_ENDS as i32 + 10;
        for guest_tid in 0..many {
            waits.add_end(End {
                owner: Owner {
                    pid: 1,
                    tid: 1,
                    guest_pid: 1,
                    may_trace_all: false,
                },
                guest_tid,
                group: 0,
                status: 0,
            });
        }
        assert_eq!(waits.ends.len(), MOST_ENDS);
        assert_eq!(waits.ends.back().map(|end| end.guest_tid), Some(many - 1));
    }
}
