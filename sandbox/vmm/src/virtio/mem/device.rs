//! The device's model. The driver plugs and unplugs blocks of a region of addresses until as much is plugged as the
//! monitor asks for; what is not plugged is not there.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use virtio_bindings::virtio_ids::VIRTIO_ID_MEM;
use virtio_queue::DescriptorChain;

use crate::virtio::{Device, DeviceError, Guest, copy_config, drain};

/// What is plugged or not: as much as Linux on x86 adds and takes away at once (its memory block).
pub const BLOCK_BYTES: u64 = 128 << 20;

/// Section 5.15.3 of the specification.
const VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE: u64 = 1;

const QUEUE_SIZES: &[u16] = &[64];

const REQUEST_BYTES: usize = 24;
const RESPONSE_BYTES: usize = 10;

/// Section 5.15.6.
const PLUG: u16 = 0;
const UNPLUG: u16 = 1;
const UNPLUG_ALL: u16 = 2;
const STATE: u16 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Ack,
    /// More than is asked for.
    Nack,
    /// The host cannot, for now.
    Busy,
    /// Not blocks of the region, or not in the state that the request supposes.
    Error,
    /// All plugged, none, or some.
    State(u16),
}

const PLUGGED: u16 = 0;
const UNPLUGGED: u16 = 1;
const MIXED: u16 = 2;

/// The host's side of the memory.
pub trait Blocks: Send {
    /// Makes a block of [`BLOCK_BYTES`] at this address, which reads as zeros.
    ///
    /// # Errors
    /// When the host has none.
    fn plug(&mut self, address: u64) -> io::Result<()>;

    /// Takes it away.
    ///
    /// # Errors
    /// When the host refuses.
    fn unplug(&mut self, address: u64) -> io::Result<()>;
}

/// What the monitor asks of the device and knows of it, in bytes.
#[derive(Debug, Default)]
pub struct Size {
    /// How much is to be plugged. A multiple of [`BLOCK_BYTES`].
    pub requested: AtomicU64,
    /// How much is.
    pub plugged: AtomicU64,
}

/// Adds memory to the guest's.
pub struct Mem<B> {
    blocks: B,
    size: Arc<Size>,
    start: u64,
    /// Which blocks of the region are there.
    plugged: Vec<bool>,
}

impl<B: Blocks> Mem<B> {
    /// A region of `count` blocks at `start`, none of them plugged.
    #[must_use]
    pub fn new(blocks: B, start: u64, count: usize, size: Arc<Size>) -> Mem<B> {
        Mem {
            blocks,
            size,
            start,
            plugged: vec![false; count],
        }
    }

    fn address(&self, block: usize) -> u64 {
        self.start + block as u64 * BLOCK_BYTES
    }

    /// The numbers of `count` blocks at `address`, when there are such.
    fn range(&self, address: u64, count: u16) -> Option<std::ops::Range<usize>> {
        let offset = address.checked_sub(self.start)?;
        let first = usize::try_from(offset / BLOCK_BYTES).ok()?;
        let end = first.checked_add(count.into())?;
        let inside = count > 0 && end <= self.plugged.len();
        (inside && offset.is_multiple_of(BLOCK_BYTES)).then_some(first..end)
    }

    fn serve(&mut self, request: &[u8; REQUEST_BYTES]) -> Result<Answer, DeviceError> {
        let kind = u16::from_le_bytes([request[0], request[1]]);
        if kind == UNPLUG_ALL {
            self.unplug(0..self.plugged.len())?;
            return Ok(Answer::Ack);
        }
        let mut address = [0; 8];
        address.copy_from_slice(&request[8..16]);
        let count = u16::from_le_bytes([request[16], request[17]]);
        let Some(range) = self.range(u64::from_le_bytes(address), count) else {
            return Ok(Answer::Error);
        };
        let there = self.plugged[range.clone()].iter().filter(|is| **is).count();
        let state = match there {
            0 => UNPLUGGED,
            all if all == range.len() => PLUGGED,
            _ => MIXED,
        };
        match (kind, state) {
            (PLUG, UNPLUGGED) => Ok(self.plug(range)),
            (UNPLUG, PLUGGED) => {
                self.unplug(range)?;
                Ok(Answer::Ack)
            }
            (STATE, state) => Ok(Answer::State(state)),
            _ => Ok(Answer::Error),
        }
    }

    /// All or none.
    fn plug(&mut self, range: std::ops::Range<usize>) -> Answer {
        let plugged = self.size.plugged.load(Ordering::Relaxed);
        let more = range.len() as u64 * BLOCK_BYTES;
        if plugged.saturating_add(more) > self.size.requested.load(Ordering::Relaxed) {
            return Answer::Nack;
        }
        for block in range.clone() {
            if self.blocks.plug(self.address(block)).is_err() {
                // What cannot be taken back stays there, unknown to the driver, until it asks for it again.
                let undone = self.unplug(range.start..block);
                return undone.map_or(Answer::Error, |()| Answer::Busy);
            }
            self.set(block, true);
        }
        Answer::Ack
    }

    fn unplug(&mut self, range: std::ops::Range<usize>) -> Result<(), DeviceError> {
        for block in range {
            if self.plugged[block] {
                self.blocks.unplug(self.address(block))?;
                self.set(block, false);
            }
        }
        Ok(())
    }

    fn set(&mut self, block: usize, plugged: bool) {
        self.plugged[block] = plugged;
        let bytes = &self.size.plugged;
        if plugged {
            bytes.fetch_add(BLOCK_BYTES, Ordering::Relaxed);
        } else {
            bytes.fetch_sub(BLOCK_BYTES, Ordering::Relaxed);
        }
    }
}

impl Answer {
    fn bytes(self) -> [u8; RESPONSE_BYTES] {
        let (kind, state) = match self {
            Answer::Ack => (0_u16, 0),
            Answer::Nack => (1, 0),
            Answer::Busy => (2, 0),
            Answer::Error => (3, 0),
            Answer::State(state) => (0, state),
        };
        let mut bytes = [0; RESPONSE_BYTES];
        bytes[..2].copy_from_slice(&kind.to_le_bytes());
        bytes[8..].copy_from_slice(&state.to_le_bytes());
        bytes
    }
}

impl<B: Blocks> Device for Mem<B> {
    fn kind(&self) -> u32 {
        VIRTIO_ID_MEM
    }

    fn queue_sizes(&self) -> &'static [u16] {
        QUEUE_SIZES
    }

    fn features(&self) -> u64 {
        1 << VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE
    }

    /// `struct virtio_mem_config`; all of the region is usable.
    fn read_config(&self, offset: usize, data: &mut [u8]) {
        let region = self.plugged.len() as u64 * BLOCK_BYTES;
        const NODE_AND_PADDING: u64 = 0;
        let words = [
            BLOCK_BYTES,
            NODE_AND_PADDING,
            self.start,
            region,
            region,
            self.size.plugged.load(Ordering::Relaxed),
            self.size.requested.load(Ordering::Relaxed),
        ];
        let config: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        copy_config(&config, offset, data);
    }

    // No `reset`: what is plugged stays until the driver unplugs it.

    fn notified(&mut self, index: usize, guest: &mut Guest<'_>) -> Result<(), DeviceError> {
        let memory = guest.memory;
        drain(index, guest, |chain| {
            let mut reader = DescriptorChain::reader(chain.clone(), memory)?;
            let mut writer = DescriptorChain::writer(chain, memory)?;
            let length = reader.available_bytes();
            if length < REQUEST_BYTES {
                return Err(DeviceError::Short {
                    length,
                    needed: REQUEST_BYTES,
                });
            }
            if writer.available_bytes() < RESPONSE_BYTES {
                return Err(DeviceError::NoAnswer);
            }
            let mut request = [0; REQUEST_BYTES];
            reader.read_exact(&mut request)?;
            // The answer's place is in the memory as it was before; it may be gone now, with what was unplugged.
            let answer = self.serve(&request)?;
            writer.write_all(&answer.bytes())?;
            Ok(RESPONSE_BYTES as u32)
        })
    }
}

#[cfg(test)]
mod tests;
