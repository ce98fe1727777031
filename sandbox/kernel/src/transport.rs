//! How a guest's system calls reach the app kernel and how answers go back.
//!
//! Nothing above this module knows which transport is in use. There are two, seccomp user notification and ptrace;
//! the methods are what a shared-memory stub would have to offer as well.

mod notify;
mod ptrace;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use caisson_sys::mqueue::Notice;
use caisson_sys::notify::Cloexec;
use caisson_sys::surgery::ExecRegisters;
use rustix::io::Errno;

use caisson_wire::TransportKind;

use crate::kernel::Kernel;

use notify::Notify;
use ptrace::Ptrace;

/// How the guest processes that the runtime makes come to be served.
#[derive(Debug)]
pub enum Gateway {
    /// Each brings a listener of its own, which its descendants share.
    Notify,
    /// One tracing thread for all, made for the first.
    Ptrace(OnceLock<Arc<Ptrace>>),
}

impl Gateway {
    pub fn new(kind: TransportKind) -> Gateway {
        match kind {
            TransportKind::Notify => Gateway::Notify,
            TransportKind::Ptrace => Gateway::Ptrace(OnceLock::new()),
        }
    }

    pub fn kind(&self) -> TransportKind {
        match self {
            Gateway::Notify => TransportKind::Notify,
            Gateway::Ptrace(_) => TransportKind::Ptrace,
        }
    }

    /// Take in the process `pid`, which waits in its first exec, the sandbox's first process before all others. What is
    /// returned is to be served. `EINVAL` if it comes with a listener and needs none, or the other way round.
    pub fn take_in(
        &self,
        pid: i32,
        listener: Option<OwnedFd>,
        kernel: &Arc<Kernel>,
    ) -> Result<Option<Arc<dyn Transport>>, Errno> {
        match (self, listener) {
            (Gateway::Notify, Some(listener)) => {
                let transport = Notify::new(listener, Arc::downgrade(kernel));
                Ok(Some(Arc::new(transport)))
            }
            (Gateway::Ptrace(tracer), None) => {
                if let Some(tracer) = tracer.get() {
                    return tracer.adopt(pid).map(|()| None);
                }
                let host_proc = kernel.host_proc.try_clone().map_err(|_| Errno::MFILE)?;
                let new = tracer.get_or_init(|| Arc::new(Ptrace::new(pid, host_proc)));
                Ok(Some(new.clone()))
            }
            _ => Err(Errno::INVAL),
        }
    }

    /// Sockets, by number and inode, that the transport keeps in the process of host pid `pid`.
    pub fn kept_sockets(&self, pid: i32) -> Vec<(u32, u64)> {
        match self {
            Gateway::Notify => Vec::new(),
            Gateway::Ptrace(tracer) => tracer
                .get()
                .map(|tracer| tracer.kept_sockets(pid))
                .unwrap_or_default(),
        }
    }

    /// The wait status of the sandbox's first process, if the transport has collected it in its parent's place.
    pub fn collected(&self) -> Option<i32> {
        match self {
            Gateway::Notify => None,
            Gateway::Ptrace(tracer) => tracer.get()?.init_status(),
        }
    }
}

/// A system call that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub struct Incoming {
    /// Names this one call to its transport.
    pub id: u64,
    /// Host thread id of the caller.
    pub tid: i32,
    pub nr: u32,
    pub args: [u64; 6],
}

/// Permission to let the host kernel run a call as the guest made it. Only [`crate::audited`] makes
/// them, for calls whose meaning is wholly in registers.
#[derive(Debug)]
pub struct ContinueToken(pub(in crate::transport) ());

impl ContinueToken {
    /// For [`crate::audited`] alone: its functions say for each call why continuing it is sound.
    pub(crate) fn mint(_: crate::audited::Audit) -> ContinueToken {
        ContinueToken(())
    }
}

/// What becomes of a call that replaces another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// It comes as a call of its own.
    Delivered,
    /// The host runs it.
    Made,
}

pub trait Transport: Send + Sync {
    /// The next call; `None` when the last process that could make one is gone.
    fn receive(&self) -> Result<Option<Incoming>, Errno>;
    /// Whether another thread is to receive calls as well, until [`Transport::assist`] tells it to end. Asked after each
    /// call; who is told so starts one.
    fn wants_assistant(&self) -> bool {
        false
    }
    /// The thread that was wanted could not be started.
    fn no_assistant(&self) {}
    /// [`Transport::receive`] for that thread: `None` as well when it is not needed any more.
    fn assist(&self) -> Result<Option<Incoming>, Errno> {
        Ok(None)
    }
    fn answer_value(&self, call: &Incoming, value: i64) -> Result<(), Errno>;
    fn answer_error(&self, call: &Incoming, errno: Errno) -> Result<(), Errno>;
    fn answer_continue(&self, call: &Incoming, token: ContinueToken) -> Result<(), Errno>;
    /// Put a descriptor into the guest; the call still waits, also after an error.
    fn donate(&self, call: &Incoming, fd: BorrowedFd<'_>, cloexec: Cloexec) -> Result<i32, Errno>;
    /// Answer with a descriptor of `O_PATH`, which [`Transport::donate`] cannot put into every guest. Returns what the call
    /// has returned, negative for an error. After an error of this function the call still waits; `ENOENT` if its thread
    /// was killed.
    fn answer_path(&self, call: &Incoming, fd: OwnedFd, cloexec: Cloexec) -> Result<i64, Errno>;
    /// Answer mq_notify(2) with what the host says to this notice, whose socket the guest has and is not to keep. Returns and
    /// fails as [`Transport::answer_path`].
    fn answer_notice(&self, call: &Incoming, notice: Notice) -> Result<i64, Errno>;
    /// Replace the waiting clone(2) by the same with these flags.
    fn clone_with(&self, call: &Incoming, flags: u64) -> Result<Replaced, Errno>;
    /// Replace the waiting call by the execution of the loader.
    fn exec(&self, call: &Incoming, registers: ExecRegisters) -> Result<(), Errno>;
    /// Answer an open with the descriptor `fd` of a terminal, which the guest has, and have the caller try to make
    /// it its controlling terminal before it goes on.
    fn answer_terminal(&self, call: &Incoming, fd: i32) -> Result<(), Errno>;
    /// Answer the loader's last call: the program starts at `entry`, with its stack at `stack`. `ENOSYS`, and the call
    /// still waits, if nobody traces the thread, which then goes there by itself.
    fn start_program(&self, call: &Incoming, entry: u64, stack: u64) -> Result<(), Errno> {
        let _ = (call, entry, stack);
        Err(Errno::NOSYS)
    }
    /// End the waiting call because a signal is due: it restarts or fails with EINTR by Linux's rules.
    fn interrupt(&self, call: &Incoming) -> Result<(), Errno>;
    /// See to it that no signal makes a call of this thread fail before it is received, where that can happen.
    fn guard(&self, call: &Incoming) -> Result<bool, Errno> {
        let _ = call;
        Ok(true)
    }
    /// Whether the call still waits, and so its thread id still means that thread.
    fn still_waits(&self, call: &Incoming) -> bool;
}

/// Where a transport keeps a page of its own in guests, which is no part of the program.
pub(crate) const OWN_PAGE: u64 = ptrace::OWN_PAGE;

/// For [`crate::fuzzing`].
pub(crate) fn decode_answer(bytes: &[u8]) {
    ptrace::decode_answer(bytes);
}
