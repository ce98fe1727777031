//! What is said to and by `caisson-share`, the process that serves files of the host to a micro-VM.
//!
//! Two sockets, both `AF_UNIX` `SOCK_SEQPACKET`, which it has as standard input and standard output:
//!
//! * *files*, to the monitor: one FUSE request a packet, behind a [`RequestHeader`], and for each of them exactly
//!   one answer behind an [`AnswerHeader`], in any order. A request that FUSE does not answer (`FORGET`) is
//!   answered by a header alone, so that the monitor knows when its buffer is free;
//! * *control*, to whoever started it: [`Order`] down, [`Answer`] up, as the other messages of this crate.
//!
//! Numbers are little endian.

use serde::{Deserialize, Serialize};

/// The most data that one request reads or writes, in bytes: 32 pages, which is also what the guest's kernel puts into
/// one request unless more is negotiated. Packets of that size fit into a socket buffer of the default size.
pub const MAX_DATA_BYTES: usize = 128 << 10;

/// The longest FUSE message of either direction: data, headers, names.
pub const MAX_FUSE_BYTES: usize = MAX_DATA_BYTES + 4096;

/// What stands before a FUSE request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The monitor's number of the request, which the answer repeats.
    pub tag: u64,
    /// How many bytes the FUSE answer may have.
    pub room: u32,
}

impl RequestHeader {
    pub const BYTES: usize = 16;

    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.tag.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.room.to_le_bytes());
        bytes
    }

    /// The header of a packet and the FUSE request behind it.
    pub fn split(packet: &[u8]) -> Option<(RequestHeader, &[u8])> {
        let (header, rest) = packet.split_first_chunk::<{ Self::BYTES }>()?;
        let (tag, rest_of_header) = header.split_first_chunk::<8>()?;
        let (room, _) = rest_of_header.split_first_chunk::<4>()?;
        let header = RequestHeader {
            tag: u64::from_le_bytes(*tag),
            room: u32::from_le_bytes(*room),
        };
        Some((header, rest))
    }
}

/// What stands before a FUSE answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerHeader {
    /// Of the request.
    pub tag: u64,
}

impl AnswerHeader {
    pub const BYTES: usize = 8;

    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        self.tag.to_le_bytes()
    }

    /// The header of a packet and the FUSE answer behind it.
    pub fn split(packet: &[u8]) -> Option<(AnswerHeader, &[u8])> {
        let (tag, rest) = packet.split_first_chunk::<{ Self::BYTES }>()?;
        let tag = u64::from_le_bytes(*tag);
        Some((AnswerHeader { tag }, rest))
    }
}

/// Who else changes what is shared, and so how long the guest may believe what it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coherence {
    /// The host as well: the guest asks again each time.
    Live,
    /// As a rule nobody but the guest; a change of the host's is seen within a second.
    Own,
}

/// To the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Show what the descriptor beside this message is the root of, a detached mount of open_tree(2), as `name` in the
    /// root of the guest's file system.
    Add { name: String, coherence: Coherence },
    /// Show it no more; what is open stays open.
    Remove { name: String },
}

/// From the server, one to each order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Done,
    Failed { message: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_way() {
        let request = RequestHeader { tag: 7, room: 99 };
        let packet = [request.to_bytes().as_slice(), b"fuse"].concat();
        assert_eq!(
            RequestHeader::split(&packet),
            Some((request, b"fuse".as_slice()))
        );
        assert_eq!(RequestHeader::split(&packet[..15]), None);
        let answer = AnswerHeader { tag: u64::MAX };
        let packet = answer.to_bytes();
        assert_eq!(AnswerHeader::split(&packet), Some((answer, [].as_slice())));
        assert_eq!(AnswerHeader::split(&packet[..7]), None);
    }
}
