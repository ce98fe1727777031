//! The device's model.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use virtio_bindings::virtio_ids::VIRTIO_ID_BALLOON;
use virtio_queue::DescriptorChain;
use vm_memory::GuestAddress;

use crate::memory;
use crate::virtio::{Device, DeviceError, Guest, copy_config, drain};

/// Section 5.5.3 of the specification.
const VIRTIO_BALLOON_F_DEFLATE_ON_OOM: u64 = 2;
const VIRTIO_BALLOON_F_REPORTING: u64 = 5;

const INFLATE: usize = 0;
const DEFLATE: usize = 1;
const QUEUE_SIZES: &[u16] = &[128, 128, 128];

/// The size of a balloon's pages, whatever the processor's.
const PAGE_BYTES: u64 = 4096;

/// A driver lists no more pages in one request.
const MAX_PAGES: usize = 1024;

/// What the monitor asks of the balloon and knows of it.
#[derive(Debug, Default)]
pub struct Size {
    /// Pages that the host wants to have.
    pub target: AtomicU32,
    /// Pages that the guest says it has given.
    pub actual: AtomicU32,
    /// Bytes given back in all, by the balloon and by reports of free pages.
    pub discarded: AtomicU64,
}

/// Gives memory back to the host.
#[derive(Debug)]
pub struct Balloon {
    size: Arc<Size>,
}

impl Balloon {
    /// A balloon whose size is set and read through `size`.
    #[must_use]
    pub fn new(size: Arc<Size>) -> Balloon {
        Balloon { size }
    }

    /// The guest lists page numbers: it will not use those pages until it deflates.
    fn inflate(&self, guest: &mut Guest<'_>) -> Result<(), DeviceError> {
        let memory = guest.memory;
        drain(INFLATE, guest, |chain| {
            let mut reader = DescriptorChain::reader(chain, memory)?;
            let count = (reader.available_bytes() / 4).min(MAX_PAGES);
            for _ in 0..count {
                let mut number = [0; 4];
                reader.read_exact(&mut number)?;
                let address = u64::from(u32::from_le_bytes(number)) * PAGE_BYTES;
                self.discard(memory, address, PAGE_BYTES)?;
            }
            Ok(0)
        })
    }

    /// The guest lists free memory by descriptors: its content may be lost.
    fn reported(&self, index: usize, guest: &mut Guest<'_>) -> Result<(), DeviceError> {
        let memory = guest.memory;
        drain(index, guest, |chain| {
            for descriptor in chain.writable() {
                let (address, length) = (descriptor.addr(), descriptor.len());
                self.discard(memory, address.0, length.into())?;
            }
            Ok(0)
        })
    }

    fn discard(
        &self,
        memory: &vm_memory::GuestMemoryMmap,
        address: u64,
        length: u64,
    ) -> Result<(), DeviceError> {
        memory::discard(memory, GuestAddress(address), length)?;
        self.size.discarded.fetch_add(length, Ordering::Relaxed);
        Ok(())
    }
}

impl Device for Balloon {
    fn kind(&self) -> u32 {
        VIRTIO_ID_BALLOON
    }

    fn queue_sizes(&self) -> &'static [u16] {
        QUEUE_SIZES
    }

    fn features(&self) -> u64 {
        1 << VIRTIO_BALLOON_F_DEFLATE_ON_OOM | 1 << VIRTIO_BALLOON_F_REPORTING
    }

    /// `struct virtio_balloon_config` up to `actual`.
    fn read_config(&self, offset: usize, data: &mut [u8]) {
        let mut config = [0; 8];
        let load = |field: &AtomicU32| field.load(Ordering::Relaxed).to_le_bytes();
        config[..4].copy_from_slice(&load(&self.size.target));
        config[4..].copy_from_slice(&load(&self.size.actual));
        copy_config(&config, offset, data);
    }

    fn write_config(&mut self, offset: usize, data: &[u8]) {
        if let (4, Ok(actual)) = (offset, data.try_into()) {
            let actual = u32::from_le_bytes(actual);
            self.size.actual.store(actual, Ordering::Relaxed);
        }
    }

    fn reset(&mut self) {
        self.size.actual.store(0, Ordering::Relaxed);
    }

    fn notified(&mut self, index: usize, guest: &mut Guest<'_>) -> Result<(), DeviceError> {
        match index {
            INFLATE => self.inflate(guest),
            // The pages come back by themselves when the guest touches them.
            DEFLATE => drain(index, guest, |_| Ok(0)),
            _ => self.reported(index, guest),
        }
    }
}
