//! rt_sigaction(2) of the signals that come in the middle of a program's work, and guarding calls from them
//! (`sandbox/kernel/src/tracer/guards.rs`).

use std::sync::atomic::Ordering;

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
    // Children end only where there are some: most shells execute a program and have none.
    if signal != 1 << libc::SIGCHLD {
        guard(call);
    }
}

/// Guard the calling thread, if its process has handlers that do not restart calls.
pub fn guard(call: &Call<'_>) {
    if call.process().unrestarting.load(Ordering::Acquire) == 0 || call.thread.is_guarded() {
        return;
    }
    match call.transport.guard(&call.incoming) {
        Ok(guarded) => call.thread.set_guarded(guarded),
        Err(error) => tracing::debug!(tid = call.incoming.tid, %error, "signals are not guarded"),
    }
}
