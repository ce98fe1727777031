//! Who may look into a process: ptrace_may_access(PTRACE_MODE_READ_FSCREDS) for guests.

use nix::errno::Errno;

use crate::proc::context::Context;
use crate::proc::host;
use crate::proc::tree::{Caller, Opener, Own};
use crate::proc::view::{Ids, ProcessFacts, Rights};

const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;

/// How far up the process tree a process is looked for that the app kernel knows.
const ANCESTORS: usize = 64;

/// The value of a line `Name:\tvalue` of a status file.
fn status_number(status: &str, name: &str) -> Option<u32> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"))?
        .trim()
        .parse()
        .ok()
}

/// What `of` tells about the process that `pid` (or thread) belongs to. A child that has made no call yet is unknown to the
/// app kernel and is still what its parent is.
fn known<T>(
    context: &Context,
    pid: u32,
    of: impl Fn(u32) -> Option<T>,
) -> Result<Option<T>, Errno> {
    let mut next = pid;
    for _ in 0..ANCESTORS {
        if let Some(found) = of(next) {
            return Ok(Some(found));
        }
        let proc = context.guest_proc()?;
        let status = match host::text(&*proc, &format!("{next}/status")) {
            Ok(status) => status,
            Err(_) if next == pid => return Err(Errno::ENOENT),
            Err(_) => break,
        };
        let leader = status_number(&status, "Tgid").unwrap_or(next);
        next = if leader == next {
            status_number(&status, "PPid").unwrap_or(0)
        } else {
            leader
        };
        if next == 0 {
            break;
        }
    }
    Ok(None)
}

/// As thread `tid` sees them.
pub(super) fn facts(context: &Context, pid: u32, tid: u32) -> Result<ProcessFacts, Errno> {
    let unknown = || ProcessFacts {
        dumpable: true,
        root: b"/".to_vec(),
        cwd: b"/".to_vec(),
        ..ProcessFacts::default()
    };
    let of = |known: u32| {
        let tid = if known == pid { tid } else { known };
        context.guests.facts(known, tid)
    };
    Ok(known(context, pid, of)?.unwrap_or_else(unknown))
}

pub(super) fn rights(context: &Context, pid: u32) -> Result<Rights, Errno> {
    let unknown = Rights {
        dumpable: true,
        ..Rights::default()
    };
    Ok(known(context, pid, |pid| context.guests.rights(pid))?.unwrap_or(unknown))
}

/// The process that thread `tid` belongs to.
pub(super) fn leader(context: &Context, opener: &Opener, tid: u32) -> Result<u32, Errno> {
    match tid {
        _ if opener.pid == tid => Ok(tid),
        _ if opener.tid == tid => Ok(opener.pid),
        _ => {
            let status = host::text(&*context.guest_proc()?, &format!("{tid}/status"))?;
            Ok(status_number(&status, "Tgid").unwrap_or(tid))
        }
    }
}

pub(crate) fn opener(context: &Context, caller: &Caller) -> Opener {
    let pid = caller.walker.as_ref().map_or(0, |walker| walker.pid());
    let capabilities = match pid {
        0 => 0,
        _ => rights(context, pid).map_or(0, |rights| rights.effective),
    };
    let tid = caller.walker.as_ref().map_or(0, |walker| walker.tid());
    Opener {
        pid,
        tid,
        uid: caller.uid,
        gid: caller.gid,
        capabilities,
        own: None,
    }
}

/// The opener of a file about process `pid`, which it may itself be.
pub(super) fn about(context: &Context, opener: Opener, pid: u32) -> Opener {
    let own = if opener.pid == pid {
        own(context, pid)
    } else {
        None
    };
    Opener { own, ..opener }
}

fn own(context: &Context, pid: u32) -> Option<Own> {
    let rights = context.guests.rights(pid)?;
    Some(Own {
        serial: rights.serial,
        uid: rights.uid,
        gid: rights.gid,
        permitted: rights.permitted,
    })
}

pub(crate) fn may_administrate(opener: &Opener) -> bool {
    opener.capabilities & 1 << CAP_SYS_ADMIN != 0
}

/// The rights are those at the time of opening, the target is as it is now: a descriptor kept or handed on shows nothing
/// of a process that has gained rights since.
pub(super) fn may_inspect(context: &Context, opener: &Opener, pid: u32) -> bool {
    // The app kernel and the runtime open files for themselves as root.
    if opener.pid == 0 {
        return opener.uid == 0;
    }
    if opener.own.is_some() && opener.own == own(context, pid) {
        return true;
    }
    if opener.capabilities & 1 << CAP_SYS_PTRACE != 0 {
        return true;
    }
    let Ok(target) = rights(context, pid) else {
        return false;
    };
    let same = |id: u32, ids: &Ids| {
        [ids.real, ids.effective, ids.saved]
            .iter()
            .all(|&one| one == id)
    };
    let covered = target.permitted & !opener.capabilities == 0;
    same(opener.uid, &target.uid) && same(opener.gid, &target.gid) && covered && target.dumpable
}

pub(super) fn inspect(context: &Context, opener: &Opener, pid: u32) -> Result<(), Errno> {
    if may_inspect(context, opener, pid) {
        Ok(())
    } else {
        Err(Errno::EACCES)
    }
}
