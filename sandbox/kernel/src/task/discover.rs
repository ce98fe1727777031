//! Finding out who a thread is that made its first notified call.
//!
//! fork and clone are seen when they are made, but the host does not say there which process comes of
//! them. A new process is recognised later, by its first own call or when another process means it, and has
//! what was written down at its birth (module `birth`).

use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use caisson_sys::descriptor::pidfd_open;
use caisson_sys::namespace::{PidNamespace, ThreadIds};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::{Births, Credentials, InheritedFs, Process, Spaces, Table, Thread, lock};

/// Where is asked who a thread is.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    /// The host's procfs.
    pub proc: BorrowedFd<'a>,
    /// The guests' pid namespace, where the host kernel translates ids: that takes 1 us, procfs 15.
    pub guest_pids: Option<&'a PidNamespace>,
}

/// The thread `tid`, found out about and entered into the table when it is new. `ESRCH` when it is gone,
/// or when it is no descendant of a known process.
pub fn thread(
    table: &Table,
    births: &Births,
    host: Host<'_>,
    tid: i32,
) -> Result<Arc<Thread>, Errno> {
    if let Some(known) = table.thread(tid) {
        return Ok(known);
    }
    let ids = ids_of(host, tid)?;
    if let Some(process) = table
        .process(ids.tgid)
        .filter(|process| !process.has_ended())
    {
        let credentials = unseen(table, &process);
        return Ok(table.insert(Arc::new(Thread::new(
            tid,
            ids.inner_tid,
            process,
            credentials,
        ))));
    }
    // Before its mark is read, so that the mark is this process' and not that of a later one of this number.
    let pidfd = pidfd_open(ids.tgid)?;
    let birth = match births.of(ids.tgid) {
        Ok(birth) => birth,
        // Another thread may have been faster and found it.
        Err(error) => return table.thread(tid).ok_or(error),
    };
    let fs = match &birth.fs {
        InheritedFs::Shared(fs) => fs.clone(),
        InheritedFs::Copied(fs) => Arc::new(Mutex::new(fs.clone())),
    };
    let exe = birth.exe.clone();
    let credentials = birth.credentials.clone();
    let process = Process::new(
        ids.tgid,
        ids.inner_tgid,
        pidfd,
        fs,
        credentials.clone(),
        exe,
    );
    process
        .no_new_privs
        .store(credentials.no_new_privs, Ordering::Release);
    process.dumpable.store(birth.dumpable, Ordering::Release);
    process
        .unrestarting
        .store(birth.unrestarting, Ordering::Release);
    process.set_spaces(Spaces {
        uts: birth.uts.clone(),
        net: birth.net.clone(),
    });
    *lock(&process.limits) = birth.limits;
    let thread = table.insert(Arc::new(Thread::new(
        tid,
        ids.inner_tid,
        Arc::new(process),
        credentials,
    )));
    births.spend(&birth);
    Ok(thread)
}

/// What a living thread is called among guests; `ESRCH`.
pub fn ids_of(host: Host<'_>, tid: i32) -> Result<ThreadIds, Errno> {
    match host.guest_pids {
        Some(namespace) => namespace.ids(tid),
        None => ids_by_status(host.proc, tid),
    }
}

/// Credentials of a thread of `process` that has made no call yet: those of the first thread, which that one cannot
/// have changed without a call.
///
/// Which thread has made it was not seen: where one has renounced new privileges it may have been that.
fn unseen(table: &Table, process: &Process) -> Arc<Credentials> {
    let credentials = match table.thread(process.pid) {
        Some(leader) if leader.process.pid == process.pid => leader.credentials(),
        _ => process.birth.clone(),
    };
    if credentials.no_new_privs || !process.no_new_privs() {
        return credentials;
    }
    Arc::new(Credentials {
        no_new_privs: true,
        ..(*credentials).clone()
    })
}

/// Enter every living process into the table. Returns the new ones. A process is a child of a known one: to have
/// children it must have made a call, and orphans go to a process that was there before.
pub fn everyone(table: &Table, births: &Births, host: Host<'_>) -> Vec<Arc<Thread>> {
    let mut found = Vec::new();
    for process in table.processes() {
        for child in children_of_process(host.proc, process.pid) {
            if table.process(child).is_none() {
                found.extend(thread(table, births, host, child));
            }
        }
    }
    found
}

/// Host pids of the children of all threads of a process, also of those that have ended and were not waited for.
pub fn children_of_process(host_proc: BorrowedFd<'_>, pid: i32) -> Vec<i32> {
    threads_of(host_proc, pid)
        .into_iter()
        .flat_map(|tid| children_of(host_proc, pid, tid))
        .collect()
}

/// Processes that one thread has made, or was given when another thread of its process ended.
pub fn children_of(host_proc: BorrowedFd<'_>, pid: i32, tid: i32) -> Vec<i32> {
    let text = read(host_proc, &format!("{pid}/task/{tid}/children")).unwrap_or_default();
    text.split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Host ids of the threads of a process.
pub fn threads_of(host_proc: BorrowedFd<'_>, pid: i32) -> Vec<i32> {
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

fn ids_by_status(host_proc: BorrowedFd<'_>, tid: i32) -> Result<ThreadIds, Errno> {
    parse(&read(host_proc, &format!("{tid}/status"))?).ok_or(Errno::SRCH)
}

fn parse(status: &str) -> Option<ThreadIds> {
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::split_ascii_whitespace)
    };
    Some(ThreadIds {
        tgid: field("Tgid:")?.next()?.parse().ok()?,
        inner_tgid: field("NStgid:")?.next_back()?.parse().ok()?,
        inner_tid: field("NSpid:")?.next_back()?.parse().ok()?,
    })
}

pub fn read(host_proc: BorrowedFd<'_>, path: &str) -> Result<String, Errno> {
    String::from_utf8(read_bytes(host_proc, path)?).map_err(|_| Errno::SRCH)
}

/// A file of the host's procfs that may hold anything.
pub fn read_bytes(host_proc: BorrowedFd<'_>, path: &str) -> Result<Vec<u8>, Errno> {
    let fd = openat(
        host_proc,
        path,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut text = Vec::with_capacity(2048);
    loop {
        text.reserve(1024);
        if rustix::io::read(&fd, rustix::buffer::spare_capacity(&mut text))? == 0 {
            return Ok(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_ids_are_taken() {
        let text = "Name:\tsh\nTgid:\t4711\nPid:\t4712\nPPid:\t4700\nNStgid:\t4711\t12\nNSpid:\t4712\t13\n";
        assert_eq!(
            parse(text),
            Some(ThreadIds {
                tgid: 4711,
                inner_tgid: 12,
                inner_tid: 13
            })
        );
    }

    #[test]
    fn a_truncated_status_is_no_status() {
        assert_eq!(parse("Tgid:\t1\nPPid:\n"), None);
    }
}
