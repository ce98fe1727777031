//! Classic BPF as seccomp accepts it, linux/filter.h and linux/seccomp.h.

use caisson_abi::{Action, Errno};

/// `struct sock_filter`: a program may be handed to the kernel as it is.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    /// Instructions to skip if the comparison holds.
    pub jt: u8,
    /// Instructions to skip if it does not.
    pub jf: u8,
    pub k: u32,
}

/// The kernel's limit on the length of one program, `BPF_MAXINSNS`.
pub const MAX_INSTRUCTIONS: usize = 4096;

/// How a call reaches the app kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// `SECCOMP_RET_USER_NOTIF`.
    Notify,
    /// `SECCOMP_RET_TRACE`.
    Trace,
}

/// A complete filter, at most [`MAX_INSTRUCTIONS`] long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub instructions: Vec<Instruction>,
}

pub(crate) mod code {
    /// Load a 32-bit word of `struct seccomp_data` (`BPF_LD | BPF_W | BPF_ABS`).
    pub(crate) const LOAD: u16 = 0x20;
    /// `BPF_ALU | BPF_AND | BPF_K`.
    pub(crate) const AND: u16 = 0x54;
    /// `BPF_JMP | BPF_JA`.
    pub(crate) const GOTO: u16 = 0x05;
    /// `BPF_JMP | BPF_JEQ | BPF_K`.
    pub(crate) const IF_EQUAL: u16 = 0x15;
    /// `BPF_JMP | BPF_JGT | BPF_K`, unsigned.
    pub(crate) const IF_GREATER: u16 = 0x25;
    /// `BPF_JMP | BPF_JGE | BPF_K`, unsigned.
    pub(crate) const IF_AT_LEAST: u16 = 0x35;
    /// `BPF_JMP | BPF_JSET | BPF_K`: any bit of `k` is set.
    pub(crate) const IF_ANY_BIT: u16 = 0x45;
    /// `BPF_RET | BPF_K`.
    pub(crate) const RETURN: u16 = 0x06;
}

const RET_KILL_PROCESS: u32 = 0x8000_0000;
const RET_ERRNO: u32 = 0x0005_0000;
const RET_USER_NOTIF: u32 = 0x7fc0_0000;
const RET_TRACE: u32 = 0x7ff0_0000;
const RET_ALLOW: u32 = 0x7fff_0000;
const RET_DATA: u32 = 0x0000_ffff;

/// The value a filter returns for an action.
pub(crate) const fn return_value(action: Action, delivery: Delivery) -> u32 {
    match action {
        Action::Native => RET_ALLOW,
        Action::Emulate => match delivery {
            Delivery::Notify => RET_USER_NOTIF,
            Delivery::Trace => RET_TRACE,
        },
        Action::Refuse(errno) => RET_ERRNO | (errno.raw() as u32 & RET_DATA),
        Action::Kill => RET_KILL_PROCESS,
    }
}

/// The action that a returned value stands for; `None` for values no filter of ours returns.
pub(crate) const fn action(value: u32) -> Option<Action> {
    match value & !RET_DATA {
        RET_ALLOW => Some(Action::Native),
        RET_USER_NOTIF | RET_TRACE => Some(Action::Emulate),
        RET_KILL_PROCESS => Some(Action::Kill),
        RET_ERRNO => Some(Action::Refuse(Errno::from_raw((value & RET_DATA) as i32))),
        _ => None,
    }
}
