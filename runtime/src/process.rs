//! Host processes named by pid *and* start time, so that a pid used again is never mistaken for ours.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use caisson_sys::descriptor;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// A process that may have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: i32,
    /// Field 22 of /proc/PID/stat, in clock ticks since boot.
    pub start_ticks: u64,
}

/// All processes in the pid namespace of process `pid` that the caller may look at.
pub fn in_pid_namespace_of(pid: i32) -> Vec<i32> {
    let namespace = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(wanted) = namespace(pid) else {
        return Vec::new();
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| namespace(*pid).as_ref() == Some(&wanted))
        .collect()
}

impl ProcessId {
    /// The process that has this pid now.
    pub fn of(pid: i32) -> Option<ProcessId> {
        stat(pid).ok().flatten().map(|stat| ProcessId {
            pid,
            start_ticks: stat.start_ticks,
        })
    }

    pub fn current() -> Option<ProcessId> {
        ProcessId::of(std::process::id() as i32)
    }

    /// Neither ended nor a zombie. Who has no descriptor left to look with may not conclude that it has ended: a
    /// container that runs would be taken for one that has stopped.
    pub fn is_alive(self) -> bool {
        match stat(self.pid) {
            Ok(stat) => stat.is_some_and(|stat| {
                stat.start_ticks == self.start_ticks && !"ZX".contains(stat.state)
            }),
            Err(_) => true,
        }
    }

    /// A descriptor for exactly this process; `None` once it has ended.
    pub fn open(self) -> Result<Option<OwnedFd>, Errno> {
        let fd = match descriptor::pidfd_open(self.pid) {
            Ok(fd) => fd,
            // No process may have the pid 0, which is that of a container of an earlier boot.
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        // Checked after opening: the descriptor cannot change its process any more.
        Ok(self.is_alive().then_some(fd))
    }

    /// Send a signal; `false` if the process has ended.
    pub fn signal(self, signal: i32) -> Result<bool, Errno> {
        let Some(fd) = self.open()? else {
            return Ok(false);
        };
        match descriptor::pidfd_send_signal(fd.as_fd(), signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Wait until the process has ended; `false` when it has not within `timeout`, or cannot be waited for.
    pub fn wait_end(self, timeout: Duration) -> bool {
        let fd = match self.open() {
            Ok(Some(fd)) => fd,
            Ok(None) => return true,
            Err(_) => return !self.is_alive(),
        };
        let limit = Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: timeout.subsec_nanos().into(),
        };
        loop {
            match rustix::event::poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit)) {
                Err(Errno::INTR) => {}
                Ok(ready) => return ready > 0,
                Err(_) => return !self.is_alive(),
            }
        }
    }
}

struct Stat {
    state: char,
    start_ticks: u64,
}

/// `None` if there is no such process.
fn stat(pid: i32) -> std::io::Result<Option<Stat>> {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => Ok(parse(&text)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The name in parentheses may hold spaces and parentheses itself, proc(5).
fn parse(text: &str) -> Option<Stat> {
    let mut fields = text[text.rfind(')')? + 1..].split_whitespace();
    let state = fields.next()?.chars().next()?;
    let start_ticks = fields.nth(18)?.parse().ok()?;
    Some(Stat { state, start_ticks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_do_not_confuse() {
        let text = "7 (a) R b) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        let stat = parse(text).expect("parsed");
        assert_eq!((stat.state, stat.start_ticks), ('S', 4711));
        assert!(parse("").is_none());
    }

    #[test]
    fn a_pid_with_another_start_time_is_not_alive() {
        let me = ProcessId::current().expect("self");
        assert!(me.is_alive());
        let other = ProcessId {
            start_ticks: me.start_ticks + 1,
            ..me
        };
        assert!(!other.is_alive());
        assert_eq!(other.signal(0), Ok(false));
        assert!(other.wait_end(Duration::ZERO));
    }
}
