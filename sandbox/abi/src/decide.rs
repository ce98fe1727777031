//! The reference semantic of the table: what happens to one call.
//!
//! The BPF compiler is tested against [`decide`]; nothing calls it to serve a guest.

use crate::errno::Errno;
use crate::row::{Disposition, LOADER_PLAN_NR, Otherwise, nr, row};

/// `AUDIT_ARCH_X86_64`: how seccomp names the 64-bit entry (and x32, told apart by the number).
pub const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;

/// Set in the syscall numbers of the x32 ABI.
pub const X32_SYSCALL_BIT: u32 = 0x4000_0000;

/// The last number that the x32 bit makes an x32 call of. Above it lie the negative numbers, which
/// Linux answers with `ENOSYS` (tracers put -1 there to skip a call).
pub const X32_LAST: u32 = 0x7fff_ffff;

/// How much a guest may do natively.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// The data plane is native.
    Standard,
    /// The data plane is emulated too. The table has the rows; handlers for them are to come.
    Strict,
}

/// `struct seccomp_data`: what a filter sees of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub number: u32,
    pub architecture: u32,
    pub instruction_pointer: u64,
    pub arguments: [u64; 6],
}

impl Call {
    /// A call through the 64-bit entry.
    #[must_use]
    pub const fn new(number: u32, arguments: [u64; 6]) -> Self {
        Self {
            number,
            architecture: AUDIT_ARCH_X86_64,
            instruction_pointer: 0,
            arguments,
        }
    }
}

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The host kernel runs it.
    Native,
    /// The app kernel is notified.
    Emulate,
    /// It fails at once.
    Refuse(Errno),
    /// The process dies.
    Kill,
}

/// What happens to `call` in a sandbox of this level and secret.
#[must_use]
pub fn decide(level: Level, secret: u64, call: &Call) -> Action {
    if call.architecture != AUDIT_ARCH_X86_64 {
        return Action::Kill;
    }
    if (X32_SYSCALL_BIT..=X32_LAST).contains(&call.number) {
        return Action::Kill;
    }
    match row(call.number) {
        Some(row) => row.disposition(level).decide(&call.arguments, secret),
        None => Action::Refuse(Errno::ENOSYS),
    }
}

/// Refused calls that the filter itself answers, because programs make them as a matter of course: C libraries ask
/// for clone3 at each new process and thread. Others are delivered to the app kernel, which answers with the table's
/// error and counts them.
pub const QUIETLY_REFUSED: &[u32] = &[nr::clone3];

/// Whether a call that the table refuses, or does not know, is delivered to the app kernel all the same.
#[must_use]
pub fn is_counted(number: u32) -> bool {
    number < LOADER_PLAN_NR && !QUIETLY_REFUSED.contains(&number)
}

/// What the guest's filter does with `call`: as [`decide`], but what is to be counted is delivered.
#[must_use]
pub fn deliver(level: Level, secret: u64, call: &Call) -> Action {
    match decide(level, secret, call) {
        Action::Refuse(_) if is_counted(call.number) => Action::Emulate,
        action => action,
    }
}

/// The error of a call that was delivered for being counted; `None` if a handler or the host serves it.
#[must_use]
pub fn refusal(level: Level, number: u32, arguments: &[u64; 6]) -> Option<Errno> {
    let Some(row) = row(number) else {
        return Some(Errno::ENOSYS);
    };
    match row.disposition(level) {
        Disposition::Refuse(errno) => Some(*errno),
        Disposition::NativeWhen(rule, Otherwise::Refuse(errno)) if !rule.holds(arguments, 0) => {
            Some(*errno)
        }
        _ => None,
    }
}

impl Disposition {
    /// What happens to a call with this disposition and these argument registers.
    #[must_use]
    pub fn decide(&self, arguments: &[u64; 6], secret: u64) -> Action {
        match self {
            Self::Native => Action::Native,
            Self::NativeWhen(rule, _) if rule.holds(arguments, secret) => Action::Native,
            Self::NativeWhen(_, otherwise) => otherwise.action(),
            Self::Emulate(_) => Action::Emulate,
            Self::Refuse(errno) => Action::Refuse(*errno),
        }
    }
}

impl Otherwise {
    /// What happens to a call that is not native.
    #[must_use]
    pub const fn action(&self) -> Action {
        match *self {
            Self::Emulate(_) => Action::Emulate,
            Self::Refuse(errno) => Action::Refuse(errno),
        }
    }
}
