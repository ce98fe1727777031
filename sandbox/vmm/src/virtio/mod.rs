//! The virtio devices (version 1.x) and their transport.
//!
//! A device implements [`Device`] and sees the guest through [`Guest`] only: its memory, its queues and its
//! interrupt. Neither needs KVM, so that every device is tested without one. One folder a device:
//! `device.rs` is its model.

pub mod block;
mod error;
mod interrupt;
pub(crate) mod mmio;
pub mod rng;
pub mod vsock;

use std::os::fd::RawFd;

use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};
use vm_memory::GuestMemoryMmap;

pub use error::DeviceError;
pub use interrupt::Interrupt;

/// `VIRTIO_F_VERSION_1`, which every device offers and every driver must accept.
pub(crate) const VERSION_1: u64 = 1 << virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;

/// `VIRTIO_RING_F_INDIRECT_DESC`.
pub(crate) const INDIRECT: u64 = 1 << virtio_bindings::virtio_ring::VIRTIO_RING_F_INDIRECT_DESC;

/// `VIRTIO_RING_F_EVENT_IDX`.
pub(crate) const EVENT_INDEX: u64 = 1 << virtio_bindings::virtio_ring::VIRTIO_RING_F_EVENT_IDX;

/// A chain of descriptors that the guest has made available.
pub(crate) type Chain<'a> = DescriptorChain<&'a GuestMemoryMmap>;

/// What a device sees of the guest.
pub struct Guest<'a> {
    /// All of its memory.
    pub memory: &'a GuestMemoryMmap,
    /// The device's queues, all of them set up.
    pub queues: &'a mut [Queue],
    /// The device's interrupt.
    pub interrupt: &'a Interrupt,
}

/// A device model.
pub trait Device: Send {
    /// Its number in the specification, section 5.
    fn kind(&self) -> u32;

    /// The largest size of each of its queues.
    fn queue_sizes(&self) -> &'static [u16];

    /// What it offers, without the features of the ring and the transport.
    fn features(&self) -> u64;

    /// Its configuration space; what lies behind the end of it stays as it is.
    fn read_config(&self, offset: usize, data: &mut [u8]);

    /// Most devices have nothing there for the driver to write.
    fn write_config(&mut self, _offset: usize, _data: &[u8]) {}

    /// The driver has set it up, with these features of those it offered.
    fn activate(&mut self, _features: u64) {}

    /// Back to how it was made.
    fn reset(&mut self) {}

    /// The driver has made something available in queue `index`.
    fn notified(&mut self, index: usize, guest: &mut Guest<'_>) -> Result<(), DeviceError>;

    /// A descriptor of the host that the device waits for, edge triggered.
    fn host_descriptor(&self) -> Option<RawFd> {
        None
    }

    /// The host's descriptor has become readable.
    fn host_ready(&mut self, _guest: &mut Guest<'_>) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// Copies from `config`, the configuration space as bytes, what is at `offset`.
pub(crate) fn copy_config(config: &[u8], offset: usize, data: &mut [u8]) {
    let available = config.get(offset..).unwrap_or_default();
    let count = available.len().min(data.len());
    data[..count].copy_from_slice(&available[..count]);
}

/// Serves a queue until the guest has nothing more in it: `serve` gets each chain and returns how many bytes
/// it has written to it. The guest is told when it wants to be.
pub(crate) fn drain<'a>(
    memory: &'a GuestMemoryMmap,
    queue: &mut Queue,
    interrupt: &Interrupt,
    mut serve: impl FnMut(Chain<'a>) -> Result<u32, DeviceError>,
) -> Result<(), DeviceError> {
    let mut used = false;
    let outcome = loop {
        queue.disable_notification(memory)?;
        while let Some(chain) = next(queue, memory)? {
            let head = chain.head_index();
            let written = serve(chain)?;
            queue.add_used(memory, head, written)?;
            used = true;
        }
        if !queue.enable_notification(memory)? {
            break Ok(());
        }
    };
    if used && queue.needs_notification(memory)? {
        interrupt.used_buffers();
    }
    outcome
}

/// The next chain, if there is one.
pub(crate) fn next<'a>(
    queue: &mut Queue,
    memory: &'a GuestMemoryMmap,
) -> Result<Option<Chain<'a>>, DeviceError> {
    Ok(queue.iter(memory)?.next())
}
