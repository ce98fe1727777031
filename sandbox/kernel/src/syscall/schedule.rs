//! Scheduling of other processes and threads: sched_setscheduler(2), sched_setparam(2), sched_setattr(2),
//! sched_setaffinity(2), setpriority(2), ioprio_set(2).
//!
//! To the host all guests are one user. Whose scheduling a guest may change is decided here; a permitted call
//! continues, with what it asks for unseen: that is for the host to judge, by the rights of a process without any.

use rustix::io::Errno;

use super::signal;
use crate::audited;
use crate::call::Call;
use crate::reply::Reply;
use crate::task::{Capability, Credentials};

/// `PRIO_*` of linux/resource.h.
const PRIO_PROCESS: i32 = 0;
const PRIO_PGRP: i32 = 1;
/// `IOPRIO_WHO_*` of linux/ioprio.h.
const IOPRIO_WHO_PROCESS: i32 = 1;
const IOPRIO_WHO_PGRP: i32 = 2;

/// Which of the other's ids must be which of the caller's.
type Rule = fn(&Credentials, &Credentials) -> bool;

pub fn sched_setscheduler(call: &mut Call<'_>) -> Result<Reply, Errno> {
    of_one(call, call.int(0), same_owner)
}

pub fn sched_setparam(call: &mut Call<'_>) -> Result<Reply, Errno> {
    of_one(call, call.int(0), same_owner)
}

pub fn sched_setattr(call: &mut Call<'_>) -> Result<Reply, Errno> {
    of_one(call, call.int(0), same_owner)
}

pub fn sched_setaffinity(call: &mut Call<'_>) -> Result<Reply, Errno> {
    of_one(call, call.int(0), same_owner)
}

pub fn setpriority(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let who = call.int(1);
    match call.int(0) {
        PRIO_PROCESS => of_one(call, who, same_owner),
        PRIO_PGRP => of_group(call, who, same_owner),
        _ => Ok(Reply::Continue(audited::scheduling())),
    }
}

pub fn ioprio_set(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let who = call.int(1);
    match call.int(0) {
        IOPRIO_WHO_PROCESS => of_one(call, who, same_real),
        IOPRIO_WHO_PGRP => of_group(call, who, same_real),
        _ => Ok(Reply::Continue(audited::scheduling())),
    }
}

/// `check_same_owner` of kernel/sched, and `set_one_prio_perm` of kernel/sys.c.
fn same_owner(caller: &Credentials, other: &Credentials) -> bool {
    caller.euid == other.euid || caller.euid == other.ruid
}

/// `set_task_ioprio` of block/ioprio.c.
fn same_real(caller: &Credentials, other: &Credentials) -> bool {
    caller.euid == other.ruid || caller.ruid == other.ruid
}

/// `pid` is a process' or a thread's. The host says `ESRCH`, and `EINVAL` for a negative one.
fn of_one(call: &Call<'_>, pid: i32, rule: Rule) -> Result<Reply, Errno> {
    let go_on = Ok(Reply::Continue(audited::scheduling()));
    if pid <= 0 || pid == call.process().guest_pid || pid == call.thread.guest_tid {
        return go_on;
    }
    match signal::find_process(call, pid) {
        Ok(process) if !permitted(call, process.pid, rule) => Err(Errno::PERM),
        Ok(_) | Err(Errno::SRCH) => go_on,
        Err(error) => Err(error),
    }
}

/// The host would change all members of the group: `EPERM`, with nothing changed, unless that is permitted.
fn of_group(call: &Call<'_>, group: i32, rule: Rule) -> Result<Reply, Errno> {
    // As kill(2) takes it: negative for a group, 0 for the caller's.
    let members = signal::members_of_group(call, group.wrapping_neg())?;
    if members
        .iter()
        .all(|process| permitted(call, process.pid, rule))
    {
        Ok(Reply::Continue(audited::scheduling()))
    } else {
        Err(Errno::PERM)
    }
}

fn permitted(call: &Call<'_>, host_pid: i32, rule: Rule) -> bool {
    let caller = call.credentials();
    if caller.can(Capability::SysNice) {
        return true;
    }
    // It has ended meanwhile: the host will find nobody.
    let Some(thread) = call.kernel.table.thread_of(host_pid) else {
        return true;
    };
    rule(&caller, &thread.credentials())
}
