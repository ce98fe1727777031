//! rt_sigaction(2) of the signals that come in the middle of a program's work, and guarding calls from them
//! (`sandbox/kernel/src/tracer/guards.rs`).

use std::sync::atomic::Ordering;

use caisson_abi::nr;
use rustix::io::Errno;

use crate::audited;
use crate::call::Call;
use crate::reply::Reply;

/// The beginning of `struct kernel_sigaction`, linux/signal_types.h: handler and flags.
type Action = [u64; 2];

/// The host does it. What the app kernel learns is whether the handler restarts calls.
pub fn rt_sigaction(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let signal = call.uint(0);
    // An address that cannot be read is for the host to judge.
    if let Ok(action) = call.read::<Action>(call.arg(1))
        && signal < u64::BITS
    {
        note(call, 1 << signal, action);
    }
    Ok(Reply::Continue(audited::signal_action()))
}

fn note(call: &Call<'_>, signal: u64, [handler, flags]: Action) {
    let unrestarting = &call.process().unrestarting;
    let is_handler = handler != libc::SIG_DFL as u64 && handler != libc::SIG_IGN as u64;
    if !is_handler || flags & libc::SA_RESTART as u64 != 0 {
        unrestarting.fetch_and(!signal, Ordering::AcqRel);
        return;
    }
    unrestarting.fetch_or(signal, Ordering::AcqRel);
    guard(call);
}

/// Calls of threads whose program or handlers are about to go, or gone: a shell's child would be guarded for nothing.
const LAST: [u32; 5] = [
    nr::rt_sigaction,
    nr::execve,
    nr::execveat,
    nr::loader_plan,
    nr::exit,
];

/// The thread may be another one than that which has set the handlers, or their heir.
pub fn guard_caller(call: &Call<'_>) {
    if call.process().is_interruptible() && !LAST.contains(&call.incoming.nr) {
        guard(call);
    }
}

/// It is about to have children, whose ends are told by signals.
pub fn guard_parent(call: &Call<'_>) {
    call.process().is_parent.store(true, Ordering::Release);
    guard(call);
}

fn guard(call: &Call<'_>) {
    let tid = call.incoming.tid;
    if !call.process().is_interruptible()
        || call.thread.is_guarded()
        || call.thread.is_sought()
        || call.kernel.tracer.holds(tid)
    {
        return;
    }
    match call.transport.guard(&call.incoming) {
        Ok(guarded) => call.thread.set_guarded(guarded),
        Err(error) => tracing::debug!(tid, %error, "signals are not guarded"),
    }
}
