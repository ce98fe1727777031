//! Resource limits: getrlimit(2), setrlimit(2), prlimit(2).
//!
//! Limits are kept by the host kernel, which enforces them, all but two (module `task::limits`); what
//! is decided here is who may change whose.

use std::sync::Arc;

use rustix::io::Errno;

use crate::call::Call;
use crate::reply::Reply;
use crate::task::{Capability, MARK_RESOURCE, PROCESSES_RESOURCE, Process, lock};

/// `RLIM_NLIMITS`.
const LIMITS: u32 = 16;

pub fn getrlimit(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let resource = resource(call.uint(0))?;
    let (soft, hard) = read(call.process(), resource)?;
    call.write(call.arg(1), &[soft, hard])?;
    Ok(Reply::ZERO)
}

pub fn setrlimit(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let resource = resource(call.uint(0))?;
    let new: [u64; 2] = call.read(call.arg(1))?;
    let process = call.process().clone();
    change(call, &process, resource, new)?;
    Ok(Reply::ZERO)
}

pub fn prlimit64(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let resource = resource(call.uint(1))?;
    let new: Option<[u64; 2]> = if call.arg(2) == 0 {
        None
    } else {
        Some(call.read(call.arg(2))?)
    };
    let process = target(call, call.int(0))?;
    let (soft, hard) = read(&process, resource)?;
    if let Some(new) = new {
        change(call, &process, resource, new)?;
    }
    if call.arg(3) != 0 {
        call.write(call.arg(3), &[soft, hard])?;
    }
    Ok(Reply::ZERO)
}

/// Soft and hard limit.
fn read(process: &Process, resource: u32) -> Result<(u64, u64), Errno> {
    let kept = lock(&process.limits).of(resource);
    kept.map_or_else(|| caisson_sys::limit::get(process.pid, resource), Ok)
}

fn resource(number: u32) -> Result<u32, Errno> {
    if number < LIMITS {
        Ok(number)
    } else {
        Err(Errno::INVAL)
    }
}

/// The process meant by `pid`, whose limits the caller may see and change (check_prlimit_permission).
fn target(call: &Call<'_>, pid: i32) -> Result<Arc<Process>, Errno> {
    let own = call.process();
    if pid == 0 || pid == own.guest_pid {
        return Ok(own.clone());
    }
    let process = call.kernel.process_by_guest_pid(pid).ok_or(Errno::SRCH)?;
    let caller = call.credentials();
    let thread = call
        .kernel
        .table
        .thread_of(process.pid)
        .ok_or(Errno::SRCH)?;
    let other = thread.credentials();
    let same = [other.euid, other.suid, other.ruid]
        .iter()
        .all(|uid| *uid == caller.ruid)
        && [other.egid, other.sgid, other.rgid]
            .iter()
            .all(|gid| *gid == caller.rgid);
    if same || caller.can(Capability::SysResource) {
        Ok(process)
    } else {
        Err(Errno::PERM)
    }
}

fn change(
    call: &Call<'_>,
    process: &Process,
    resource: u32,
    [soft, hard]: [u64; 2],
) -> Result<(), Errno> {
    if soft > hard {
        return Err(Errno::INVAL);
    }
    let (_, now) = read(process, resource)?;
    if hard > now && !call.credentials().can(Capability::SysResource) {
        return Err(Errno::PERM);
    }
    match resource {
        MARK_RESOURCE => {
            lock(&process.limits).file_locks = (soft, hard);
            Ok(())
        }
        PROCESSES_RESOURCE => {
            let leader = call.kernel.table.thread(process.pid);
            let owner = leader.map_or_else(|| call.credentials(), |thread| thread.credentials());
            let free = owner.exceeds_processes(call.kernel.ids.are_the_hosts());
            process.limit_processes((soft, hard), free)
        }
        _ => caisson_sys::limit::set(process.pid, resource, soft, hard),
    }
}
