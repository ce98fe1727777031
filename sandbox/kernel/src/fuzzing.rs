//! The decoders of what a guest writes, for tests/fuzz: each takes any bytes, and must neither panic nor run long.
//!
//! Not for any other use: what they return is thrown away here.

use std::hint::black_box;

use caisson_abi::TABLE;
use rustix::io::Errno;

use crate::{exec, net, proc, strace, syscall, task, transport};

/// A decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Header and program headers of an executable.
    Elf,
    /// Its first line.
    Script,
    /// `security.capability` of an executable.
    FileCapabilities,
    /// Requests of netlink sockets, and answers on their way to a guest.
    Netlink,
    /// What the host's FUSE sends on behalf of a guest.
    Fuse,
    /// The header of a message and its control messages.
    Message,
    /// The answer of a guest to the donation of a descriptor.
    Door,
    /// Arguments of any call and the memory behind them, in a log.
    Strace,
}

pub const TARGETS: &[Target] = &[
    Target::Elf,
    Target::Script,
    Target::FileCapabilities,
    Target::Netlink,
    Target::Fuse,
    Target::Message,
    Target::Door,
    Target::Strace,
];

pub fn decode(target: Target, bytes: &[u8]) {
    match target {
        Target::Elf => exec::decode_elf(bytes),
        Target::Script => exec::decode_script(bytes),
        Target::FileCapabilities => {
            black_box(task::parse_file_capabilities(bytes));
        }
        Target::Netlink => net::decode(bytes),
        Target::Fuse => proc::decode_request(bytes),
        Target::Message => syscall::socket::decode(bytes),
        Target::Door => transport::decode_answer(bytes),
        Target::Strace => decode_call(bytes),
    }
}

/// Number and arguments from the start of the bytes, memory from the rest: a page at 0x1000.
fn decode_call(bytes: &[u8]) {
    let (head, memory) = bytes.split_at(bytes.len().min(56));
    let word = |at: usize| {
        let mut word = [0u8; 8];
        let part = head.get(at..).unwrap_or_default();
        let length = part.len().min(8);
        word[..length].copy_from_slice(&part[..length]);
        u64::from_ne_bytes(word)
    };
    let row = &TABLE[word(0) as usize % TABLE.len()];
    let arguments: [u64; 6] = std::array::from_fn(|index| word(8 + 8 * index));
    let read = |address: u64, into: &mut [u8]| {
        let start = address.checked_sub(0x1000).ok_or(Errno::FAULT)?;
        let rest = usize::try_from(start)
            .ok()
            .and_then(|start| memory.get(start..))
            .filter(|rest| !rest.is_empty())
            .ok_or(Errno::FAULT)?;
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    };
    let text = strace::describe(row.number, 1, &arguments, &read);
    // A guest's arguments do not make a line without end.
    assert!(text.len() < 16 << 10, "{} bytes", text.len());
}
