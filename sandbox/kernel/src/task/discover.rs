//! Finding out who a thread is that made its first notified call.
//!
//! fork and clone are seen when they are made, but the host does not say there which process comes of
//! them. A new process is recognised later, by its first own call, or when its parent is about to change
//! (or lose) the state that the child inherited at its birth.

use std::io::Read;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use caisson_sys::descriptor::pidfd_open;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::{Process, Table, Thread, lock};

/// What the host's procfs says of a thread.
#[derive(Debug, PartialEq, Eq)]
struct HostStatus {
    tgid: i32,
    ppid: i32,
    /// In the innermost pid namespace.
    guest_tgid: i32,
    guest_tid: i32,
}

/// The thread `tid`, found out about and entered into the table when it is new. `ESRCH` when it is gone,
/// or when it is no descendant of a known process.
pub fn thread(table: &Table, host_proc: BorrowedFd<'_>, tid: i32) -> Result<Arc<Thread>, Errno> {
    if let Some(known) = table.thread(tid) {
        return Ok(known);
    }
    let status = host_status(host_proc, tid)?;
    if let Some(sibling) = table.thread_of(status.tgid) {
        let process = sibling.process.clone();
        return Ok(table.insert(Arc::new(Thread::new(
            tid,
            status.guest_tid,
            process,
            sibling.credentials(),
        ))));
    }
    let parent = parent_of(table, host_proc, &status)?;
    enter(table, tid, &status, &parent)
}

/// Enter a new process, made by the thread `parent`.
fn enter(
    table: &Table,
    tid: i32,
    status: &HostStatus,
    parent: &Thread,
) -> Result<Arc<Thread>, Errno> {
    let from = &parent.process;
    let fs = if from.clone_flags.load(Ordering::Acquire) & libc::CLONE_FS as u64 != 0 {
        from.fs()
    } else {
        let copy = lock(&from.fs()).clone();
        Arc::new(Mutex::new(copy))
    };
    let pidfd = pidfd_open(status.tgid)?;
    let exe = lock(&from.exe).clone();
    let process = Arc::new(Process::new(status.tgid, status.guest_tgid, pidfd, fs, exe));
    process
        .no_new_privs
        .store(from.no_new_privs.load(Ordering::Acquire), Ordering::Release);
    process
        .dumpable
        .store(from.dumpable.load(Ordering::Acquire), Ordering::Release);
    Ok(table.insert(Arc::new(Thread::new(
        tid,
        status.guest_tid,
        process,
        parent.credentials(),
    ))))
}

/// Enter all children of `process` into the table, because the state that they inherited is about to
/// change or go. Returns the new ones.
pub fn children(table: &Table, host_proc: BorrowedFd<'_>, process: &Process) -> Vec<Arc<Thread>> {
    if !process.unresolved_children.swap(false, Ordering::AcqRel) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for tid in threads_of(host_proc, process.pid) {
        for child in children_of(host_proc, process.pid, tid) {
            if table.thread_of(child).is_some() {
                continue;
            }
            // A thread that is unknown itself has its process' credentials.
            let maker = table
                .thread(tid)
                .filter(|thread| thread.process.pid == process.pid);
            let entered = match maker {
                Some(maker) => host_status(host_proc, child)
                    .and_then(|status| enter(table, child, &status, &maker)),
                None => thread(table, host_proc, child),
            };
            found.extend(entered);
        }
    }
    found
}

/// Processes that one thread has made, or was given when another thread of its process ended.
fn children_of(host_proc: BorrowedFd<'_>, pid: i32, tid: i32) -> Vec<i32> {
    let text = read(host_proc, &format!("{pid}/task/{tid}/children")).unwrap_or_default();
    text.split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// The thread of `leader`'s process that made `child`. Which one matters only where their credentials differ.
fn maker_of(
    table: &Table,
    host_proc: BorrowedFd<'_>,
    leader: Arc<Thread>,
    child: &HostStatus,
) -> Arc<Thread> {
    if !leader.process.mixed_credentials.load(Ordering::Acquire) {
        return leader;
    }
    let threads = table.threads_of(leader.process.pid);
    let credentials = leader.credentials();
    if threads
        .iter()
        .all(|thread| thread.credentials() == credentials)
    {
        return leader;
    }
    threads
        .into_iter()
        .find(|thread| children_of(host_proc, thread.process.pid, thread.tid).contains(&child.tgid))
        .unwrap_or(leader)
}

/// The thread whose credentials and state a new process inherited.
fn parent_of(
    table: &Table,
    host_proc: BorrowedFd<'_>,
    child: &HostStatus,
) -> Result<Arc<Thread>, Errno> {
    if let Some(parent) = table.thread_of(child.ppid) {
        if parent.process.guest_pid != 1 || !orphaned(table, host_proc, child) {
            return Ok(maker_of(table, host_proc, parent, child));
        }
    }
    // The parent has ended before the child made a call: choose the least privileged of those who
    // might have been it.
    table
        .departed()
        .into_iter()
        .min_by_key(|thread| thread.credentials().caps.permitted.count_ones())
        .or_else(|| table.thread_of(child.ppid))
        .ok_or(Errno::SRCH)
}

/// Whether a child of the init process was adopted by it: init itself has no unresolved children.
fn orphaned(table: &Table, _: BorrowedFd<'_>, child: &HostStatus) -> bool {
    let init_forks = table
        .process(child.ppid)
        .is_some_and(|init| init.unresolved_children.load(Ordering::Acquire));
    !init_forks && !table.departed().is_empty()
}

fn threads_of(host_proc: BorrowedFd<'_>, pid: i32) -> Vec<i32> {
    let Ok(directory) = openat(
        host_proc,
        format!("{pid}/task"),
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    ) else {
        return Vec::new();
    };
    let Ok(entries) = rustix::fs::Dir::new(directory) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()
                .ok()
                .and_then(|name| name.parse().ok())
        })
        .collect()
}

fn host_status(host_proc: BorrowedFd<'_>, tid: i32) -> Result<HostStatus, Errno> {
    parse(&read(host_proc, &format!("{tid}/status"))?).ok_or(Errno::SRCH)
}

fn parse(status: &str) -> Option<HostStatus> {
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::split_ascii_whitespace)
    };
    Some(HostStatus {
        tgid: field("Tgid:")?.next()?.parse().ok()?,
        ppid: field("PPid:")?.next()?.parse().ok()?,
        guest_tgid: field("NStgid:")?.next_back()?.parse().ok()?,
        guest_tid: field("NSpid:")?.next_back()?.parse().ok()?,
    })
}

pub fn read(host_proc: BorrowedFd<'_>, path: &str) -> Result<String, Errno> {
    let fd = openat(
        host_proc,
        path,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut text = String::with_capacity(2048);
    std::fs::File::from(fd)
        .read_to_string(&mut text)
        .map_err(|_| Errno::SRCH)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_ids_are_taken() {
        let text = "Name:\tsh\nTgid:\t4711\nPid:\t4712\nPPid:\t4700\nNStgid:\t4711\t12\nNSpid:\t4712\t13\n";
        assert_eq!(
            parse(text),
            Some(HostStatus {
                tgid: 4711,
                ppid: 4700,
                guest_tgid: 12,
                guest_tid: 13
            })
        );
    }

    #[test]
    fn a_truncated_status_is_no_status() {
        assert_eq!(parse("Tgid:\t1\nPPid:\n"), None);
    }
}
