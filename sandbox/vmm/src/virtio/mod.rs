//! The virtio devices (version 1.x) and their transport.
//!
//! A device implements [`Device`] and sees the guest through [`Guest`] only: its memory, its queues and its
//! interrupt. Neither needs KVM, so that every device is tested without one. One folder a device:
//! `device.rs` is its model.

pub mod balloon;
pub mod block;
mod error;
pub mod fs;
#[cfg(any(test, feature = "fuzzing"))]
pub mod hostile;
mod interrupt;
pub mod mem;
pub(crate) mod mmio;
pub mod net;
pub mod rng;
pub mod vsock;

use std::os::fd::RawFd;
use std::sync::Arc;

use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::eventfd::EventFd;

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
    /// The notifications of the queues.
    pub kicks: &'a [Arc<EventFd>],
}

impl<'a> Guest<'a> {
    /// Queue `index`, if the driver has set it up.
    pub(crate) fn queue(&mut self, index: usize) -> Result<&mut Queue, DeviceError> {
        self.queues
            .get_mut(index)
            .filter(|queue| queue.ready())
            .ok_or(DeviceError::NoQueue { index })
    }

    /// The next chain of a queue, if there is one.
    pub(crate) fn next(&mut self, index: usize) -> Result<Option<Chain<'a>>, DeviceError> {
        let memory = self.memory;
        Ok(self.queue(index)?.iter(memory)?.next())
    }

    /// Interrupts the guest after chains of a queue were used, if it wants that.
    pub(crate) fn tell(&mut self, index: usize) -> Result<(), DeviceError> {
        let memory = self.memory;
        if self.queue(index)?.needs_notification(memory)? {
            self.interrupt.used_buffers();
        }
        Ok(())
    }

    /// Has the queue served once more, after others have had their turn.
    pub(crate) fn again(&self, index: usize) {
        if let Some(kick) = self.kicks.get(index) {
            // Full means that it is notified already.
            kick.write(1).ok();
        }
    }
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

/// So many chains are served at a time, so that no guest keeps the thread of the devices for itself: neither by
/// filling a queue as fast as it is emptied, nor with rings that lie over each other.
pub(crate) const BUDGET: usize = 1024;

/// Serves queue `index` until the guest has nothing more in it: `serve` gets each chain and returns how many bytes
/// it has written to it. The guest is told when it wants to be.
pub(crate) fn drain<'a>(
    index: usize,
    guest: &mut Guest<'a>,
    mut serve: impl FnMut(Chain<'a>) -> Result<u32, DeviceError>,
) -> Result<(), DeviceError> {
    let memory = guest.memory;
    let mut served = 0;
    loop {
        guest.queue(index)?.disable_notification(memory)?;
        while served < BUDGET
            && let Some(chain) = guest.next(index)?
        {
            let head = chain.head_index();
            let written = serve(chain)?;
            guest.queue(index)?.add_used(memory, head, written)?;
            served += 1;
        }
        if served >= BUDGET {
            guest.again(index);
            break;
        }
        if !guest.queue(index)?.enable_notification(memory)? {
            break;
        }
    }
    if served > 0 {
        guest.tell(index)?;
    }
    Ok(())
}
