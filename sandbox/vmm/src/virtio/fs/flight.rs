//! Requests that the server has not answered yet.

use std::collections::HashMap;

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::virtio::{Chain, DeviceError};

/// A piece of guest memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    address: GuestAddress,
    length: u32,
}

/// Where the answer of a request goes.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The queue and the chain's first descriptor in it.
    pub(super) queue: usize,
    pub(super) head: u16,
    pieces: Vec<Piece>,
}

impl Waiting {
    /// A chain's writable buffers; they have been read once and are not looked at in the guest again.
    pub(super) fn of(queue: usize, chain: Chain<'_>) -> Waiting {
        let head = chain.head_index();
        let pieces = chain.writable().map(|descriptor| Piece {
            address: descriptor.addr(),
            length: descriptor.len(),
        });
        Waiting {
            queue,
            head,
            pieces: pieces.collect(),
        }
    }

    /// How many bytes the answer may have.
    pub(super) fn room(&self) -> usize {
        let lengths = self.pieces.iter().map(|piece| piece.length as usize);
        lengths.fold(0, usize::saturating_add)
    }

    /// Writes the answer into the guest's buffers.
    ///
    /// # Errors
    /// When one of them lies outside of memory, or they are too small.
    pub(super) fn write(
        &self,
        mut answer: &[u8],
        memory: &GuestMemoryMmap,
    ) -> Result<(), DeviceError> {
        for piece in &self.pieces {
            let length = answer.len().min(piece.length as usize);
            let (now, later) = answer.split_at(length);
            memory.write_slice(now, piece.address)?;
            answer = later;
        }
        if answer.is_empty() {
            Ok(())
        } else {
            Err(DeviceError::NoAnswer)
        }
    }
}

/// What is under way, by tags that are never used again.
#[derive(Debug, Default)]
pub(super) struct Flight {
    waiting: HashMap<u64, Waiting>,
    next_tag: u64,
    /// Tags below are of requests that a reset has made void.
    first_tag: u64,
}

impl Flight {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn add(&mut self, waiting: Waiting) -> u64 {
        let tag = self.next_tag;
        self.next_tag += 1;
        self.waiting.insert(tag, waiting);
        tag
    }

    /// The request that an answer is for.
    pub(super) fn take(&mut self, tag: u64) -> Answered {
        match self.waiting.remove(&tag) {
            Some(waiting) => Answered::Waiting(waiting),
            None if tag < self.first_tag => Answered::Void,
            None => Answered::Unknown,
        }
    }

    /// Nobody waits any more.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.first_tag = self.next_tag;
    }
}

/// What an answer is to.
pub(super) enum Answered {
    Waiting(Waiting),
    /// To a request that nobody remembers.
    Void,
    /// To none: the server is out of its mind.
    Unknown,
}
