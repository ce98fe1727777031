//! Making and ending processes: clone(2), fork(2), vfork(2), _exit(2); personality(2).
//!
//! The host does the work. What is kept here is who inherits from whom.

use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::audited;
use crate::call::Call;
use crate::reply::Reply;
use crate::syscall::{namespace, signal};
use crate::task::{Apart, Birth, InheritedFs, RECENT, lock};
use crate::transport::Replaced;

/// Namespaces that are not a guest's to make; `CLONE_PTRACE` is of no use beside PTRACE_O_TRACECLONE.
const REFUSED: u64 = (libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_PTRACE) as u64;

pub fn clone(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let flags = call.arg(0) & 0xffff_ffff;
    let own_root = (libc::CLONE_NEWNS | libc::CLONE_NEWUSER) as u64;
    let invalid = (flags & own_root != 0 && flags & libc::CLONE_FS as u64 != 0)
        || (flags & libc::CLONE_SIGHAND as u64 != 0 && flags & libc::CLONE_VM as u64 == 0)
        || (flags & libc::CLONE_THREAD as u64 != 0 && flags & libc::CLONE_SIGHAND as u64 == 0);
    if invalid {
        return Err(Errno::INVAL);
    }
    if flags & REFUSED != 0 {
        return Err(Errno::PERM);
    }
    if flags & namespace::MADE != 0 {
        return make_apart(call, flags);
    }
    make(call, flags)
}

/// A process in namespaces of its own. The host is asked for one without any: what is made here the child is born with.
fn make_apart(call: &mut Call<'_>, flags: u64) -> Result<Reply, Errno> {
    if flags & libc::CLONE_THREAD as u64 != 0 {
        return Err(Errno::PERM);
    }
    let new = namespace::new(call, flags & namespace::MADE)?;
    let mut birth = Birth::of(&call.thread, flags & libc::CLONE_FS as u64 != 0);
    if let Some(fs) = new.fs {
        birth.fs = InheritedFs::Copied(fs);
    }
    birth.uts = new.uts.or(birth.uts);
    birth.net = new.net.or(birth.net);
    let flags = flags & !namespace::MADE;
    let births = &call.kernel.births;
    let number = births.announce_once(call.process(), birth)?;
    let apart = Apart {
        tid: call.incoming.tid,
        flags,
        number,
    };
    *lock(&call.process().apart) = Some(apart);
    let replaced = call.transport.clone_with(&call.incoming, flags);
    if replaced != Ok(Replaced::Delivered) {
        lock(&call.process().apart).take();
    }
    match replaced {
        Ok(_) => Ok(Reply::Answered),
        Err(error) => {
            births.forget(number);
            match error {
                // The thread was killed; nobody waits for an answer.
                Errno::SRCH | Errno::NOENT => Ok(Reply::Answered),
                error => Err(error),
            }
        }
    }
}

/// Whether this is what [`make_apart`] has put in a clone's place.
fn is_apart(call: &Call<'_>, flags: u64) -> Option<u64> {
    let mut apart = lock(&call.process().apart);
    let is_it = |one: &Apart| one.tid == call.incoming.tid && one.flags == flags;
    apart.take_if(|one| is_it(one)).map(|one| one.number)
}

pub fn fork(call: &mut Call<'_>) -> Result<Reply, Errno> {
    make(call, libc::SIGCHLD as u64)
}

pub fn vfork(call: &mut Call<'_>) -> Result<Reply, Errno> {
    make(call, 0)
}

fn make(call: &mut Call<'_>, flags: u64) -> Result<Reply, Errno> {
    let kernel = call.kernel;
    signal::guard_parent(call);
    if let Some(number) = is_apart(call, flags) {
        kernel.births.announce_again(call.process(), number)?;
        return Ok(Reply::Continue(audited::process_creation()));
    }
    if kernel.births.are_many() {
        kernel.forget_births(RECENT);
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
