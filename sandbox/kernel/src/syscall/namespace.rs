//! unshare(2) and setns(2). A container's namespaces are fixed, but for mount namespaces, which guests with the right to
//! mount make for themselves. None is ever entered.

use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};

use caisson_sys::file::statfs_of;
use rustix::io::Errno;

use crate::audited;
use crate::call::Call;
use crate::reply::Reply;
use crate::task::{Capability, lock};

/// Flags that unshare(2) takes without making a namespace.
const PLAIN: u64 = (libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SYSVSEM
    | libc::CLONE_THREAD
    | libc::CLONE_SIGHAND
    | libc::CLONE_VM) as u64;

const NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u64
    | CLONE_NEWTIME;

/// linux/sched.h; libc has it as part of the exit signal's bits.
const CLONE_NEWTIME: u64 = 0x80;

/// File system state is the app kernel's; descriptors and semaphore undo lists are the host's.
pub fn unshare(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let flags = call.arg(0);
    if flags & !(PLAIN | NAMESPACES) != 0 {
        return Err(Errno::INVAL);
    }
    let new = flags & NAMESPACES;
    if new != 0 {
        // The host could not do the rest without trying to make the namespaces.
        let alone = flags & !new & !(libc::CLONE_FS as u64) == 0;
        let possible = new & !(libc::CLONE_NEWNS | libc::CLONE_NEWUTS) as u64 == 0;
        if !alone || !possible || !call.credentials().can(Capability::SysAdmin) {
            return Err(Errno::PERM);
        }
        if new & libc::CLONE_NEWNS as u64 != 0 {
            super::mount::unshare(call)?;
        }
        if new & libc::CLONE_NEWUTS as u64 != 0 {
            let names = lock(&call.kernel.names_of(call.process())).clone();
            *lock(&call.process().names) = Some(Arc::new(Mutex::new(names)));
        }
        return Ok(Reply::ZERO);
    }
    if flags & libc::CLONE_FS as u64 != 0 {
        call.process().unshare_fs();
    }
    Ok(Reply::Continue(audited::unshare_own()))
}

/// `NSFS_MAGIC`, linux/magic.h.
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// What would be entered is a namespace of /proc/PID/ns, of the kind that is asked for, or those of a process.
pub fn setns(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let fd = call.fd(call.int(0))?;
    let kinds = call.int(1);
    if statfs_of(fd.as_fd())?.f_type == NSFS_MAGIC {
        let kind = caisson_sys::namespace::kind_of(fd.as_fd())?;
        return Err(if kinds == 0 || kinds == kind {
            Errno::PERM
        } else {
            Errno::INVAL
        });
    }
    if kinds == 0 || kinds as u64 & !NAMESPACES != 0 {
        return Err(Errno::INVAL);
    }
    match super::signal::process_of_pidfd(call, &fd) {
        Ok(_) => Err(Errno::PERM),
        Err(_) => Err(Errno::INVAL),
    }
}
