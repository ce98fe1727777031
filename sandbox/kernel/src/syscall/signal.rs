//! Sending signals: kill(2), tkill(2), tgkill(2), rt_sigqueueinfo(2), rt_tgsigqueueinfo(2),
//! pidfd_send_signal(2).
//!
//! To the host all processes of a container belong to one user, so who may signal whom is decided here, by
//! guest credentials. A permitted signal is then sent by the host as the guest asked: the call continues.

mod action;
mod permission;
mod target;

use std::os::fd::AsFd;
use std::sync::Arc;

use caisson_sys::layout::zeroed;
use caisson_sys::signal as host;
use rustix::io::Errno;

use crate::audited;
use crate::call::Call;
use crate::reply::Reply;
use crate::task::Process;
use crate::transport::ContinueToken;

pub use action::{guard_caller, guard_parent, rt_sigaction};
use target::Target;
pub use target::{find_process, group as members_of_group, group_of, process_of_pidfd};

pub fn kill(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let (pid, signal) = (call.int(0), call.int(1));
    if permission::unlimited(call, signal) {
        return Ok(Reply::Continue(audited::signal()));
    }
    match pid {
        // Linux says so, because the number has no opposite.
        i32::MIN => Err(Errno::SRCH),
        1.. => to_process(call, pid, signal, audited::signal),
        _ => to_group(call, pid, signal),
    }
}

pub fn tkill(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let (tid, signal) = (call.int(0), call.int(1));
    if tid <= 0 {
        return Err(Errno::INVAL);
    }
    to_process(call, tid, signal, audited::signal)
}

pub fn tgkill(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let (pid, tid, signal) = (call.int(0), call.int(1), call.int(2));
    if pid <= 0 || tid <= 0 {
        return Err(Errno::INVAL);
    }
    // The host finds out whether the thread is one of that process: `ESRCH` if not.
    to_process(call, pid, signal, audited::signal)
}

pub fn rt_sigqueueinfo(call: &mut Call<'_>) -> Result<Reply, Errno> {
    to_process(call, call.int(0), call.int(1), audited::queued_signal)
}

pub fn rt_tgsigqueueinfo(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let (pid, tid, signal) = (call.int(0), call.int(1), call.int(2));
    if pid <= 0 || tid <= 0 {
        return Err(Errno::INVAL);
    }
    to_process(call, pid, signal, audited::queued_signal)
}

/// Continue a call that signals one process (or one thread of it), if that is permitted.
fn to_process(
    call: &Call<'_>,
    pid: i32,
    signal: i32,
    token: fn() -> ContinueToken,
) -> Result<Reply, Errno> {
    if pid == call.process().guest_pid
        || pid == call.thread.guest_tid
        || permission::unlimited(call, signal)
    {
        return Ok(Reply::Continue(token()));
    }
    match target::find(call, pid)? {
        // Nobody can be harmed any more.
        Target::Dead => Ok(Reply::Continue(token())),
        Target::Alive(process) if permission::may_signal(call, &process, signal) => {
            Ok(Reply::Continue(token()))
        }
        Target::Alive(_) => Err(Errno::PERM),
    }
}

/// kill(2) of a process group, or with -1 of everybody: who is permitted gets it, `EPERM` if nobody is.
fn to_group(call: &Call<'_>, pid: i32, signal: i32) -> Result<Reply, Errno> {
    let members = target::group(call, pid)?;
    if members.is_empty() {
        return Err(Errno::SRCH);
    }
    let (permitted, others): (Vec<_>, Vec<_>) = members
        .into_iter()
        .partition(|process| permission::may_signal(call, process, signal));
    match (permitted.is_empty(), others.is_empty()) {
        (false, true) => Ok(Reply::Continue(audited::signal())),
        (true, _) => Err(Errno::PERM),
        (false, false) => send_to_each(&permitted, signal),
    }
}

/// The app kernel sends in the guest's place, because the host would signal the whole group. The receivers
/// see no sender's pid.
fn send_to_each(processes: &[Arc<Process>], signal: i32) -> Result<Reply, Errno> {
    for process in processes {
        // To the first process of a pid namespace, KILL and STOP from outside are not what they are from
        // inside, where they have no effect.
        if process.guest_pid == 1 && matches!(signal, libc::SIGKILL | libc::SIGSTOP) {
            continue;
        }
        match host::send_by_pidfd(process.pidfd.as_fd(), signal, None, 0) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Reply::ZERO)
}

/// The descriptor could be replaced by one of another process once it was looked at, so unless everything
/// is permitted the app kernel sends the signal itself.
pub fn pidfd_send_signal(call: &mut Call<'_>) -> Result<Reply, Errno> {
    const PIDFD_SIGNAL_THREAD: u32 = 1;
    const PIDFD_SIGNAL_THREAD_GROUP: u32 = 2;
    let (signal, info_at, flags) = (call.int(1), call.arg(2), call.uint(3));
    if !matches!(flags, 0 | PIDFD_SIGNAL_THREAD | PIDFD_SIGNAL_THREAD_GROUP) {
        return Err(Errno::INVAL);
    }
    let pidfd = call.fd(call.int(0))?;
    if let Some(process) = target::process_of_directory(call, &pidfd)? {
        return to_process_by_directory(call, &process, signal);
    }
    if permission::unlimited(call, signal) {
        return Ok(Reply::Continue(audited::queued_signal()));
    }
    let host_pid = process_of_pidfd(call, &pidfd)?;
    let process = call
        .kernel
        .thread(host_pid)
        .map_err(|_| Errno::SRCH)?
        .process
        .clone();
    if !permission::may_signal(call, &process, signal) {
        return Err(Errno::PERM);
    }
    if info_at == 0 {
        if process.guest_pid == 1 && matches!(signal, libc::SIGKILL | libc::SIGSTOP) {
            return Ok(Reply::ZERO);
        }
        host::send_by_pidfd(pidfd.as_fd(), signal, None, flags)?;
        return Ok(Reply::ZERO);
    }
    let info = information(call, info_at, signal)?;
    host::send_by_pidfd(pidfd.as_fd(), signal, Some(&info), flags)?;
    Ok(Reply::ZERO)
}

/// `EFAULT`, and `EINVAL` where it is of another signal.
fn information(call: &Call<'_>, at: u64, signal: i32) -> Result<libc::siginfo_t, Errno> {
    let mut info: libc::siginfo_t = zeroed();
    call.read_bytes(at, caisson_sys::layout::bytes_of_mut(&mut info))?;
    if info.si_signo == signal {
        Ok(info)
    } else {
        Err(Errno::INVAL)
    }
}

/// A descriptor of /proc/PID will do for one of the process. Of origins, Linux leaves to the caller only those that no
/// kernel claims, unless it signals itself.
fn to_process_by_directory(
    call: &Call<'_>,
    process: &Arc<Process>,
    signal: i32,
) -> Result<Reply, Errno> {
    let info = match call.arg(2) {
        0 => None,
        at => Some(information(call, at, signal)?),
    };
    let own = Arc::ptr_eq(process, call.process());
    if info.is_some_and(|info| !own && (info.si_code >= 0 || info.si_code == libc::SI_TKILL)) {
        return Err(Errno::PERM);
    }
    if !permission::may_signal(call, process, signal) {
        return Err(Errno::PERM);
    }
    if process.guest_pid == 1 && matches!(signal, libc::SIGKILL | libc::SIGSTOP) {
        return Ok(Reply::ZERO);
    }
    host::send_by_pidfd(process.pidfd.as_fd(), signal, info.as_ref(), call.uint(3))?;
    Ok(Reply::ZERO)
}
