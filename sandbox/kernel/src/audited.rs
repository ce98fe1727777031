//! The only places that may let a call continue natively.
//!
//! Each function names one kind of call and says why its meaning is wholly in registers, which the guest
//! cannot change while it waits. A call with a pointer that was looked at must never be continued.

use crate::transport::ContinueToken;

/// Proof that this module asked for a token.
#[derive(Debug)]
pub struct Audit(());

fn token() -> ContinueToken {
    ContinueToken::mint(Audit(()))
}

/// clone(2), fork(2), vfork(2) after their flags were checked: the flags are in a register, the pointers
/// (stack, tid addresses, tls) only concern the caller's own memory.
pub fn process_creation() -> ContinueToken {
    token()
}

/// exit(2): one integer.
pub fn exit() -> ContinueToken {
    token()
}

/// A call that the table lets the host run as it is: it came here only to be logged, and nothing of it was looked at
/// to decide on it.
pub fn native(row: &caisson_abi::Row) -> Option<ContinueToken> {
    (row.standard == caisson_abi::Disposition::Native).then(token)
}

/// kill(2), tkill(2), tgkill(2): integers; pids are the guest's own namespace's.
pub fn signal() -> ContinueToken {
    token()
}

/// Scheduling of one process, thread or group, which is in a register and was checked for permission. Policy,
/// parameters or processors behind a pointer were not looked at: the host judges them by the rights of a process that
/// has none.
pub fn scheduling() -> ContinueToken {
    token()
}

/// rt_sigaction(2): which signal is in a register, and its handler is the caller's own affair. The memory was looked at
/// only to learn whether calls have to be guarded from the signal; a guest that changes it meanwhile sees calls fail.
pub fn signal_action() -> ContinueToken {
    token()
}

/// wait4(2), waitid(2): whom they wait for is in registers, and the host tells of the caller's own children only. What
/// pointers say is where the answer goes in the caller's memory.
pub fn waiting() -> ContinueToken {
    token()
}

/// personality(2): one integer.
pub fn personality() -> ContinueToken {
    token()
}

/// umask(2): one integer; the host process' own mask only matters for POSIX message queues.
pub fn umask() -> ContinueToken {
    token()
}

/// prctl(2) operations that were checked to take integers only.
pub fn prctl() -> ContinueToken {
    token()
}

/// unshare(2) of descriptors, semaphore undo lists and file system state: one integer, found to hold no
/// namespace flag.
pub fn unshare_own() -> ContinueToken {
    token()
}

/// rt_sigqueueinfo(2), rt_tgsigqueueinfo(2): whom the signal reaches, and so whether it is permitted, is in
/// registers. The siginfo behind the pointer was not looked at and no decision rests on it: it is the
/// sender's to choose, and the host kernel itself refuses origins that only a kernel may claim.
pub fn queued_signal() -> ContinueToken {
    token()
}

/// sendmsg(2), sendmmsg(2) and sendto(2): the host kernel may run these whatever their arguments are, on a
/// descriptor that the guest holds. Memory is looked at only to find out whether the app kernel would do it
/// better (a path to resolve, credentials to name); a guest that changes it meanwhile gets the host's answer.
pub fn sending() -> ContinueToken {
    token()
}

/// System V IPC: which object is meant and what is wanted of it is in registers, and was checked against the
/// object's owner and mode; what is behind pointers is data of the caller.
pub fn ipc() -> ContinueToken {
    token()
}

/// mq_notify(2): the host judges it whatever its arguments are. Memory was looked at only to find out whether the
/// notification would come through a netlink socket; a guest that changes it meanwhile has none to name to the host.
pub fn queue_notification() -> ContinueToken {
    token()
}

/// io_setup(2): how many events is in a register. The pointer was not looked at: it is where the host writes the name of
/// a context that is the caller's own, like the file descriptors that it then names.
pub fn aio_context() -> ContinueToken {
    token()
}
