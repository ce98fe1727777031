//! The device's model.

use rustix::rand::{GetRandomFlags, getrandom};
use virtio_bindings::virtio_ids::VIRTIO_ID_RNG;
use vm_memory::Bytes;

use crate::virtio::{Device, DeviceError, Guest, drain};

const QUEUE_SIZES: &[u16] = &[64];

/// No request gets more, so that a guest cannot keep the device's thread busy with one.
const MAX_BYTES: usize = 4096;

/// Gives the guest random bytes.
#[derive(Debug, Default)]
pub struct Rng;

impl Device for Rng {
    fn kind(&self) -> u32 {
        VIRTIO_ID_RNG
    }

    fn queue_sizes(&self) -> &'static [u16] {
        QUEUE_SIZES
    }

    fn features(&self) -> u64 {
        0
    }

    fn read_config(&self, _offset: usize, _data: &mut [u8]) {}

    fn notified(&mut self, index: usize, guest: &mut Guest<'_>) -> Result<(), DeviceError> {
        let memory = guest.memory;
        drain(index, guest, |chain| {
            let mut random = [0; MAX_BYTES];
            let mut written = 0;
            for descriptor in chain.writable() {
                let count = (descriptor.len() as usize).min(MAX_BYTES - written);
                let bytes = &mut random[..count];
                getrandom(&mut *bytes, GetRandomFlags::empty()).map_err(std::io::Error::from)?;
                memory.write_slice(bytes, descriptor.addr())?;
                written += count;
            }
            Ok(written as u32)
        })
    }
}
