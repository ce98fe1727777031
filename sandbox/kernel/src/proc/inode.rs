//! Node numbers of /proc, from which a node is found again without any memory of it.
//!
//! ```text
//! 63..56 kind   55..48 entry   47..44 0      43..22 pid    21..0 tid     static: 55..0 index + 1
//! 63..56 kind   55 fdinfo      54..53 0      52..31 pid    30..0 fd
//! ```

use super::wire::ROOT_ID;

/// Linux's PID_MAX_LIMIT is 2^22.
const PID_BITS: u32 = 22;
const PID_MASK: u64 = (1 << PID_BITS) - 1;
const FD_BITS: u32 = 31;

const STATIC: u64 = 0;
const PROCESS: u64 = 1;
const DESCRIPTOR: u64 = 2;
const HOST: u64 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    /// A fixed name: index into the table of fixed nodes, 0 is the root.
    Static(u32),
    /// Something below /proc/PID or, if `tid` is not 0, below /proc/PID/task/TID.
    Process { pid: u32, tid: u32, entry: u8 },
    /// Something below /proc/PID/fd or fdinfo; the pid may be a thread's.
    Descriptor { pid: u32, fd: u32, info: bool },
    /// A file or directory of the host's procfs that is shown as it is: index into the table of names.
    Host(u32),
}

impl Node {
    pub(super) fn number(self) -> u64 {
        match self {
            Node::Static(index) => ROOT_ID + u64::from(index),
            Node::Process { pid, tid, entry } => {
                PROCESS << 56 | u64::from(entry) << 48 | u64::from(pid) << PID_BITS | u64::from(tid)
            }
            Node::Descriptor { pid, fd, info } => {
                DESCRIPTOR << 56 | u64::from(info) << 55 | u64::from(pid) << FD_BITS | u64::from(fd)
            }
            Node::Host(index) => HOST << 56 | u64::from(index),
        }
    }

    /// `None` for a number that was never given out.
    pub(super) fn from_number(number: u64) -> Option<Node> {
        let (kind, rest) = (number >> 56, number & ((1 << 56) - 1));
        match kind {
            STATIC => Some(Node::Static(
                u32::try_from(rest.checked_sub(ROOT_ID)?).ok()?,
            )),
            PROCESS => Some(Node::Process {
                pid: (rest >> PID_BITS & PID_MASK) as u32,
                tid: (rest & PID_MASK) as u32,
                entry: (rest >> 48) as u8,
            }),
            DESCRIPTOR => Some(Node::Descriptor {
                pid: (rest >> FD_BITS & PID_MASK) as u32,
                fd: (rest & ((1 << FD_BITS) - 1)) as u32,
                info: rest >> 55 != 0,
            }),
            HOST => Some(Node::Host(u32::try_from(rest).ok()?)),
            _ => None,
        }
    }
}

/// The pid of the node that is /proc/PID itself.
pub(crate) fn process_of_node(number: u64) -> Option<i32> {
    match Node::from_number(number)? {
        Node::Process {
            pid,
            tid: 0,
            entry: 0,
        } => i32::try_from(pid).ok(),
        _ => None,
    }
}

/// A pid or descriptor number as procfs accepts it: digits without a leading zero or sign.
pub(super) fn decimal(name: &str, limit: u32) -> Option<u32> {
    let plain =
        name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    name.parse().ok().filter(|&number| plain && number <= limit)
}

pub(super) fn pid(name: &str) -> Option<u32> {
    decimal(name, PID_MASK as u32).filter(|&pid| pid != 0)
}

pub(super) fn fd(name: &str) -> Option<u32> {
    decimal(name, (1 << FD_BITS) - 1)
}
