//! Whom a signal is for: from pids of the guest's pid namespace to processes of the table.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Dir, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::call::Call;
use crate::task::{Process, read_proc};

pub(super) enum Target {
    Alive(Arc<Process>),
    /// Ended, but not waited for: it still has its pid.
    Dead,
}

/// The process that `pid`, a process' or thread's id in the guest's namespace, stands for. `ESRCH`.
pub(super) fn find(call: &Call<'_>, pid: i32) -> Result<Target, Errno> {
    if let Some(process) = known(call, pid) {
        return Ok(Target::Alive(process));
    }
    let status = read_proc(guest_proc(call)?, &format!("{pid}/status")).map_err(|_| Errno::SRCH)?;
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    if field("State:").is_some_and(|state| state.starts_with(['Z', 'X'])) {
        return Ok(Target::Dead);
    }
    let leader = field("Tgid:")
        .and_then(|tgid| tgid.parse().ok())
        .ok_or(Errno::SRCH)?;
    if let Some(process) = known(call, leader) {
        return Ok(Target::Alive(process));
    }
    // It has not made a call of its own yet.
    call.kernel.discover_everyone();
    known(call, leader).map(Target::Alive).ok_or(Errno::PERM)
}

/// A living process by its id in the guest's namespace. `ESRCH` for one that ended.
pub fn find_process(call: &Call<'_>, pid: i32) -> Result<Arc<Process>, Errno> {
    match find(call, pid)? {
        Target::Alive(process) => Ok(process),
        Target::Dead => Err(Errno::SRCH),
    }
}

/// An entry may outlive its process for a moment, and the pid may be given to another meanwhile.
fn known(call: &Call<'_>, guest_pid: i32) -> Option<Arc<Process>> {
    call.kernel
        .table
        .process_by_guest_pid(guest_pid)
        .filter(|process| !has_ended(process.pidfd.as_fd()))
}

fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    matches!(poll(&mut fds, Some(&now)), Ok(1))
}

fn guest_proc<'a>(call: &'a Call<'_>) -> Result<BorrowedFd<'a>, Errno> {
    call.kernel
        .guest_proc
        .get()
        .map(|fd| fd.as_fd())
        .ok_or(Errno::SRCH)
}

/// Whom kill(2) with a pid of 0 (own group), -1 (everybody but the caller and the first process) or below
/// (that group) means.
pub fn group(call: &Call<'_>, pid: i32) -> Result<Vec<Arc<Process>>, Errno> {
    let own = call.process().guest_pid;
    let wanted_group = match pid {
        0 => Some(ids(call, own)?.group),
        -1 => None,
        _ => Some(-pid),
    };
    let mut members = Vec::new();
    for candidate in pids(guest_proc(call)?)? {
        let means = match wanted_group {
            Some(group) => ids(call, candidate).is_ok_and(|ids| ids.group == group),
            None => candidate > 1 && candidate != own,
        };
        if means && let Ok(Target::Alive(process)) = find(call, candidate) {
            members.push(process);
        }
    }
    Ok(members)
}

fn pids(guest_proc: BorrowedFd<'_>) -> Result<Vec<i32>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let entries = Dir::new(openat(guest_proc, c".", flags, Mode::empty())?)?;
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str().ok()?.parse().ok())
        .collect())
}

/// The process group of a process, both in the guest's namespace.
pub fn group_of(call: &Call<'_>, guest_pid: i32) -> Result<i32, Errno> {
    ids(call, guest_pid).map(|ids| ids.group)
}

struct Ids {
    group: i32,
    session: i32,
}

/// Process group and session, in the guest's namespace.
fn ids(call: &Call<'_>, guest_pid: i32) -> Result<Ids, Errno> {
    let stat =
        read_proc(guest_proc(call)?, &format!("{guest_pid}/stat")).map_err(|_| Errno::SRCH)?;
    parse_ids(&stat).ok_or(Errno::SRCH)
}

/// Fields 5 and 6 of proc_pid_stat(5). The name, field 2, may hold anything, parentheses included.
fn parse_ids(stat: &str) -> Option<Ids> {
    let mut fields = stat
        .get(stat.rfind(')')? + 1..)?
        .split_ascii_whitespace()
        .skip(2);
    Some(Ids {
        group: fields.next()?.parse().ok()?,
        session: fields.next()?.parse().ok()?,
    })
}

pub(super) fn same_session(call: &Call<'_>, one: &Process, other: &Process) -> bool {
    match (ids(call, one.guest_pid), ids(call, other.guest_pid)) {
        (Ok(one), Ok(other)) => one.session == other.session,
        _ => false,
    }
}

/// The host pid behind a pidfd that this process holds as `fd`. `EBADF` if it is none, `ESRCH` if the
/// process is gone.
pub fn process_of_pidfd(call: &Call<'_>, fd: &OwnedFd) -> Result<i32, Errno> {
    let info = read_proc(
        call.kernel.host_proc(),
        &format!("thread-self/fdinfo/{}", fd.as_raw_fd()),
    )?;
    parse_fdinfo(&info)
        .ok_or(Errno::BADF)
        .and_then(|pid| if pid > 0 { Ok(pid) } else { Err(Errno::SRCH) })
}

/// The process of a descriptor of /proc/PID, `None` for any other descriptor. `ESRCH` if it has ended.
pub(super) fn process_of_directory(
    call: &Call<'_>,
    fd: &OwnedFd,
) -> Result<Option<Arc<Process>>, Errno> {
    // Of one that has ended the server of /proc knows nothing.
    let stat = rustix::fs::fstat(fd).map_err(|error| match error {
        Errno::NOENT => Errno::SRCH,
        other => other,
    })?;
    let is_proc = call.kernel.synthetic_magic(stat.st_dev) == Some(libc::PROC_SUPER_MAGIC);
    match crate::proc::process_of_node(stat.st_ino).filter(|_| is_proc) {
        Some(pid) => find_process(call, pid).map(Some),
        None => Ok(None),
    }
}

fn parse_fdinfo(info: &str) -> Option<i32> {
    info.lines()
        .find_map(|line| line.strip_prefix("Pid:"))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_shift_the_fields() {
        let ids = parse_ids("12 (a) S 1 9 9) S 4 7 8 0 -1").expect("well-formed");
        assert_eq!((ids.group, ids.session), (7, 8));
        assert!(parse_ids("12 (a").is_none());
        assert!(parse_ids("12 (a) S 4").is_none());
    }

    #[test]
    fn only_a_pidfd_has_a_pid() {
        assert_eq!(
            parse_fdinfo("pos:\t0\nflags:\t02\nPid:\t4711\nNSpid:\t4711\t5\n"),
            Some(4711)
        );
        assert_eq!(parse_fdinfo("Pid:\t-1\n"), Some(-1));
        assert_eq!(parse_fdinfo("pos:\t0\n"), None);
    }
}
