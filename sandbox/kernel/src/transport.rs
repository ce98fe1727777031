//! How a guest's system calls reach the app kernel and how answers go back.
//!
//! Nothing above this module knows which transport is in use. Today there is one, seccomp user
//! notification; the methods are what ptrace or a shared-memory stub would have to offer as well.

mod notify;

use std::os::fd::BorrowedFd;

use caisson_sys::notify::Cloexec;
use caisson_sys::surgery::ExecRegisters;
use rustix::io::Errno;

pub use notify::Notify;

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

pub trait Transport: Send + Sync {
    /// The next call; `None` when the last process that could make one is gone.
    fn receive(&self) -> Result<Option<Incoming>, Errno>;
    fn answer_value(&self, call: &Incoming, value: i64) -> Result<(), Errno>;
    fn answer_error(&self, call: &Incoming, errno: Errno) -> Result<(), Errno>;
    fn answer_continue(&self, call: &Incoming, token: ContinueToken) -> Result<(), Errno>;
    /// Put a descriptor into the guest; the call still waits, also after an error.
    fn donate(&self, call: &Incoming, fd: BorrowedFd<'_>, cloexec: Cloexec) -> Result<i32, Errno>;
    /// Replace the waiting call by the execution of the loader.
    fn exec(&self, call: &Incoming, registers: ExecRegisters) -> Result<(), Errno>;
    /// Answer an open with the descriptor `fd` of a terminal, which the guest has, and have the caller try to make
    /// it its controlling terminal before it goes on.
    fn answer_terminal(&self, call: &Incoming, fd: i32) -> Result<(), Errno>;
    /// End the waiting call because a signal is due: it restarts or fails with EINTR by Linux's rules.
    fn interrupt(&self, call: &Incoming) -> Result<(), Errno>;
    /// Whether the call still waits, and so its thread id still means that thread.
    fn still_waits(&self, call: &Incoming) -> bool;
}
