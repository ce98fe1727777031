//! One request of the driver: a header of 16 bytes, data, one byte for the status.

use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT,
};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::virtio::{Chain, DeviceError};

pub(super) const SECTOR_BYTES: u64 = 512;

const HEADER_BYTES: usize = 16;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
    Flush,
    Identify,
    Unknown,
}

/// A piece of guest memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) address: GuestAddress,
    pub(super) length: u32,
}

/// A request whose descriptors have been read once; their memory is not checked yet.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) kind: Kind,
    pub(super) sector: u64,
    /// Read by the device when it writes the disk, written when it reads.
    pub(super) data: Vec<Piece>,
    pub(super) status: GuestAddress,
}

impl Request {
    /// Drivers need not put header and data into descriptors of their own, but all do; what else there may be is
    /// refused.
    pub(super) fn parse(
        chain: Chain<'_>,
        memory: &GuestMemoryMmap,
    ) -> Result<Request, DeviceError> {
        let mut readable = Vec::new();
        let mut writable = Vec::new();
        for descriptor in chain {
            let pieces = if descriptor.is_write_only() {
                &mut writable
            } else {
                &mut readable
            };
            pieces.push(Piece {
                address: descriptor.addr(),
                length: descriptor.len(),
            });
        }
        let header_piece = *readable.first().ok_or(DeviceError::Short {
            length: 0,
            needed: HEADER_BYTES,
        })?;
        if (header_piece.length as usize) < HEADER_BYTES {
            return Err(DeviceError::Short {
                length: header_piece.length as usize,
                needed: HEADER_BYTES,
            });
        }
        let status = writable.pop().ok_or(DeviceError::NoAnswer)?;
        if status.length != 1 {
            return Err(DeviceError::NoAnswer);
        }
        let mut header = [0; HEADER_BYTES];
        memory.read_slice(&mut header, header_piece.address)?;
        let [k0, k1, k2, k3, _, _, _, _, sector @ ..] = header;
        let kind = match u32::from_le_bytes([k0, k1, k2, k3]) {
            VIRTIO_BLK_T_IN => Kind::Read,
            VIRTIO_BLK_T_OUT => Kind::Write,
            VIRTIO_BLK_T_FLUSH => Kind::Flush,
            VIRTIO_BLK_T_GET_ID => Kind::Identify,
            _ => Kind::Unknown,
        };
        let data = if kind == Kind::Write {
            readable.split_off(1)
        } else {
            writable
        };
        Ok(Request {
            kind,
            sector: u64::from_le_bytes(sector),
            data,
            status: status.address,
        })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.data.iter().map(|piece| u64::from(piece.length)).sum()
    }
}
