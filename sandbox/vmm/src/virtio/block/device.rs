//! The device's model.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};

use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK,
    VIRTIO_BLK_S_UNSUPP,
};
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;
use vm_memory::{Bytes, GuestMemoryError, GuestMemoryMmap};

use super::request::{Kind, Request, SECTOR_BYTES};
use crate::virtio::{Device, DeviceError, Guest, copy_config, drain};

const QUEUE_SIZES: &[u16] = &[256];

/// So many descriptors of data in one request.
const SEGMENTS: u32 = 254;

const SERIAL_BYTES: usize = 20;

/// A file as a disk.
#[derive(Debug)]
pub struct Block {
    file: File,
    sectors: u64,
    read_only: bool,
    serial: [u8; SERIAL_BYTES],
}

impl Block {
    /// A disk of the file's size, rounded down to sectors of 512 bytes; `serial` is cut at 20 bytes.
    ///
    /// # Errors
    /// When the file's size cannot be had.
    pub fn new(mut file: File, read_only: bool, serial: &str) -> io::Result<Block> {
        // Also right for a block device of the host.
        let bytes = file.seek(SeekFrom::End(0))?;
        let mut padded = [0; SERIAL_BYTES];
        for (to, from) in padded.iter_mut().zip(serial.bytes()) {
            *to = from;
        }
        Ok(Block {
            file,
            sectors: bytes / SECTOR_BYTES,
            read_only,
            serial: padded,
        })
    }

    /// Serves one request; returns its status and how many bytes of data were written to the guest.
    fn execute(&mut self, request: &Request, memory: &GuestMemoryMmap) -> (u32, u32) {
        let outcome = match request.kind {
            Kind::Read => self.read(request, memory),
            Kind::Write => self.write(request, memory),
            Kind::Flush => self.file.sync_data().map(|()| 0),
            Kind::Identify => self.identify(request, memory),
            Kind::Unknown => return (VIRTIO_BLK_S_UNSUPP, 0),
        };
        match outcome {
            Ok(written) => (VIRTIO_BLK_S_OK, written),
            Err(_) => (VIRTIO_BLK_S_IOERR, 0),
        }
    }

    /// Positions the file at a request that lies within the disk.
    fn seek(&mut self, request: &Request) -> io::Result<()> {
        let bytes = request.bytes();
        let end = request.sector.checked_add(bytes / SECTOR_BYTES);
        if !bytes.is_multiple_of(SECTOR_BYTES) || end.is_none_or(|end| end > self.sectors) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.file
            .seek(SeekFrom::Start(request.sector * SECTOR_BYTES))?;
        Ok(())
    }

    fn read(&mut self, request: &Request, memory: &GuestMemoryMmap) -> io::Result<u32> {
        self.seek(request)?;
        let mut written = 0_u32;
        for piece in &request.data {
            memory
                .read_exact_volatile_from(piece.address, &mut self.file, piece.length as usize)
                .map_err(into_io)?;
            written = written.saturating_add(piece.length);
        }
        Ok(written)
    }

    fn write(&mut self, request: &Request, memory: &GuestMemoryMmap) -> io::Result<u32> {
        if self.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        self.seek(request)?;
        for piece in &request.data {
            memory
                .write_all_volatile_to(piece.address, &mut self.file, piece.length as usize)
                .map_err(into_io)?;
        }
        Ok(0)
    }

    fn identify(&self, request: &Request, memory: &GuestMemoryMmap) -> io::Result<u32> {
        let piece = request.data.first().ok_or(io::ErrorKind::InvalidInput)?;
        let count = SERIAL_BYTES.min(piece.length as usize);
        memory
            .write_slice(&self.serial[..count], piece.address)
            .map_err(into_io)?;
        Ok(count as u32)
    }
}

fn into_io(error: GuestMemoryError) -> io::Error {
    io::Error::other(error)
}

impl Device for Block {
    fn kind(&self) -> u32 {
        VIRTIO_ID_BLOCK
    }

    fn queue_sizes(&self) -> &'static [u16] {
        QUEUE_SIZES
    }

    fn features(&self) -> u64 {
        let read_only = u64::from(self.read_only) << VIRTIO_BLK_F_RO;
        1 << VIRTIO_BLK_F_FLUSH | 1 << VIRTIO_BLK_F_SEG_MAX | read_only
    }

    /// `struct virtio_blk_config` up to `seg_max`.
    fn read_config(&self, offset: usize, data: &mut [u8]) {
        let mut config = [0; 16];
        config[..8].copy_from_slice(&self.sectors.to_le_bytes());
        config[12..].copy_from_slice(&SEGMENTS.to_le_bytes());
        copy_config(&config, offset, data);
    }

    fn notified(&mut self, index: usize, guest: &mut Guest<'_>) -> Result<(), DeviceError> {
        let memory = guest.memory;
        drain(index, guest, |chain| {
            let request = Request::parse(chain, memory)?;
            let (status, written) = self.execute(&request, memory);
            memory.write_obj(status as u8, request.status)?;
            Ok(written.saturating_add(1))
        })
    }
}
