//! Making and ending processes: clone(2), fork(2), vfork(2), _exit(2); personality(2).
//!
//! The host does the work. What is kept here is who inherits from whom.

use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::audited;
use crate::call::Call;
use crate::reply::Reply;
use crate::task::{Birth, RECENT};

/// Namespaces are not a guest's to make; `CLONE_PTRACE` is of no use beside PTRACE_O_TRACECLONE.
const REFUSED: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_PTRACE) as u64;

pub fn clone(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let flags = call.arg(0) & 0xffff_ffff;
    let own_root = (libc::CLONE_NEWNS | libc::CLONE_NEWUSER) as u64;
    if flags & own_root != 0 && flags & libc::CLONE_FS as u64 != 0 {
        return Err(Errno::INVAL);
    }
    if flags & REFUSED != 0 {
        return Err(Errno::PERM);
    }
    let invalid = (flags & libc::CLONE_SIGHAND as u64 != 0 && flags & libc::CLONE_VM as u64 == 0)
        || (flags & libc::CLONE_THREAD as u64 != 0 && flags & libc::CLONE_SIGHAND as u64 == 0);
    if invalid {
        return Err(Errno::INVAL);
    }
    make(call, flags)
}

pub fn fork(call: &mut Call<'_>) -> Result<Reply, Errno> {
    make(call, 0)
}

pub fn vfork(call: &mut Call<'_>) -> Result<Reply, Errno> {
    make(call, 0)
}

fn make(call: &mut Call<'_>, flags: u64) -> Result<Reply, Errno> {
    let kernel = call.kernel;
    if kernel.births.are_many() {
        kernel.discover_everyone();
        kernel.births.forget_old(&kernel.table.processes(), RECENT);
    }
    let birth = Birth::of(&call.thread, flags & libc::CLONE_FS as u64 != 0);
    kernel.births.announce(call.process(), birth)?;
    Ok(Reply::Continue(audited::process_creation()))
}

/// personality(2), with a value other than the common ones. The host keeps it for the process and what comes of it.
pub fn personality(call: &mut Call<'_>) -> Result<Reply, Errno> {
    call.kernel
        .personalities_differ
        .store(true, Ordering::Release);
    Ok(Reply::Continue(audited::personality()))
}

/// End of a thread.
pub fn exit(call: &mut Call<'_>) -> Result<Reply, Errno> {
    if call.incoming.tid != call.process().pid {
        call.kernel.table.remove_thread(call.incoming.tid);
    }
    call.kernel
        .tracer
        .thread_gone(call.process().pid, call.incoming.tid);
    Ok(Reply::Continue(audited::exit()))
}
