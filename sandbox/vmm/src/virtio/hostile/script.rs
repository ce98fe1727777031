//! A driver whose every step is read from bytes, so that a fuzzer learns which lead somewhere.

use virtio_bindings::virtio_mmio::{
    VIRTIO_MMIO_CONFIG, VIRTIO_MMIO_DEVICE_FEATURES, VIRTIO_MMIO_DEVICE_FEATURES_SEL,
    VIRTIO_MMIO_DRIVER_FEATURES, VIRTIO_MMIO_DRIVER_FEATURES_SEL, VIRTIO_MMIO_QUEUE_AVAIL_LOW,
    VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_NUM, VIRTIO_MMIO_QUEUE_READY,
    VIRTIO_MMIO_QUEUE_SEL, VIRTIO_MMIO_QUEUE_USED_LOW, VIRTIO_MMIO_STATUS,
};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::{BUFFERS, MEMORY_BYTES, QUEUE_SIZE, Victim, memory, ring, set, status};
use crate::bus::BusDevice;
use crate::memory::Ram;
use crate::virtio::VERSION_1;
use crate::virtio::mmio::Transport;

/// Where the parts of a queue are, from its start.
const AVAILABLE: u64 = 0x1000;
const USED: u64 = 0x2000;

/// `VIRTQ_DESC_F_NEXT`
const NEXT: u16 = 1;

/// The status of a device that works.
const RUNNING: u32 = 15;

/// What is left of the script; its end reads as zeros.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let count = N.min(self.0.len());
        let (head, tail) = self.0.split_at(count);
        bytes[..count].copy_from_slice(head);
        self.0 = tail;
        bytes
    }

    fn u8(&mut self) -> u8 {
        self.bytes::<1>()[0]
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.bytes())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    /// At most 255 bytes.
    fn some(&mut self) -> Vec<u8> {
        let count = usize::from(self.u8()).min(self.0.len());
        let (head, tail) = self.0.split_at(count);
        self.0 = tail;
        head.to_vec()
    }
}

struct Driver {
    transport: Transport,
    memory: GuestMemoryMmap,
    /// Of each queue, the index of the next entry of the available ring.
    next: Vec<u16>,
}

/// Has a driver do what the script says, and checks that the device comes back after a reset.
///
/// # Panics
/// When something does not hold, or the host has no event descriptors or memory.
pub fn run(victim: Victim<'_>, script: &[u8]) {
    let memory = memory();
    let device = victim.device().expect("the host's side of a device");
    let transport = Transport::new(device, Ram::new(memory.clone())).expect("event descriptors");
    let mut script = Script(script);
    let mut driver = Driver {
        next: vec![0; transport.kicks().len()],
        transport,
        memory,
    };
    driver.set_up(u64::from(script.u32()));
    while !script.0.is_empty() {
        driver.step(&mut script);
    }
    driver.comes_back();
}

impl Driver {
    fn step(&mut self, script: &mut Script<'_>) {
        match script.u8() % 8 {
            0 | 1 => self.submit(script),
            2 => {
                let queue = self.queue(script);
                self.transport.notified(queue);
            }
            3 => self
                .transport
                .serve(|device, guest| device.host_ready(guest)),
            4 => {
                // What lies outside is not written.
                let address = u64::from(script.u32()) % (MEMORY_BYTES + 64);
                let bytes = script.some();
                self.memory.write_slice(&bytes, GuestAddress(address)).ok();
            }
            5 => {
                let register = u32::from(script.u16()) % VIRTIO_MMIO_CONFIG;
                set(&mut self.transport, register & !3, script.u32());
            }
            6 => {
                let offset = u64::from(VIRTIO_MMIO_CONFIG) + u64::from(script.u8());
                let bytes = script.some();
                self.transport.write(offset, &bytes);
                self.transport
                    .read(offset, &mut vec![0; bytes.len().max(1)]);
            }
            _ => self.set_up(u64::from(script.u32())),
        }
    }

    fn queue(&self, script: &mut Script<'_>) -> usize {
        usize::from(script.u8()) % self.next.len()
    }

    /// Makes a chain of up to four descriptors available, and notifies the device.
    fn submit(&mut self, script: &mut Script<'_>) {
        let queue = self.queue(script);
        let start = ring(queue as u32);
        let count = script.u8() % 4 + 1;
        let slot = self.next[queue] % QUEUE_SIZE;
        for step in 0..count {
            let index = (slot + u16::from(step)) % QUEUE_SIZE;
            let address = BUFFERS + u64::from(script.u16()) * 8;
            let length = match script.u8() {
                length @ 0..0xf0 => length.into(),
                0xf0..0xf8 => u32::from(script.u16()),
                _ => script.u32(),
            };
            let mut flags = u16::from(script.u8() & 6);
            if step + 1 < count {
                flags |= NEXT;
            }
            let next = (index + 1) % QUEUE_SIZE;
            let mut descriptor = address.to_le_bytes().to_vec();
            descriptor.extend_from_slice(&length.to_le_bytes());
            descriptor.extend_from_slice(&flags.to_le_bytes());
            descriptor.extend_from_slice(&next.to_le_bytes());
            self.put(start + u64::from(index) * 16, &descriptor);
            self.put(address, &script.some());
        }
        self.next[queue] = self.next[queue].wrapping_add(1);
        self.put(
            start + AVAILABLE + 4 + u64::from(slot) * 2,
            &slot.to_le_bytes(),
        );
        self.put(start + AVAILABLE + 2, &self.next[queue].to_le_bytes());
        self.transport.notified(queue);
    }

    /// What lies outside of memory is not written.
    fn put(&self, address: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(address)).ok();
    }

    fn set_up(&mut self, features: u64) {
        let transport = &mut self.transport;
        let mut offered = [0; 4];
        set(transport, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
        transport.read(VIRTIO_MMIO_DEVICE_FEATURES.into(), &mut offered);
        // With others it would not be set up; they are tried by plain writes to the registers.
        let features = features & u64::from(u32::from_le_bytes(offered));
        set(transport, VIRTIO_MMIO_STATUS, 0);
        set(transport, VIRTIO_MMIO_STATUS, 3);
        for page in 0..2 {
            set(transport, VIRTIO_MMIO_DRIVER_FEATURES_SEL, page);
            let bits = (features | VERSION_1) >> (32 * page);
            set(transport, VIRTIO_MMIO_DRIVER_FEATURES, bits as u32);
        }
        set(transport, VIRTIO_MMIO_STATUS, 11);
        for index in 0..self.next.len() as u32 {
            let start = ring(index) as u32;
            set(transport, VIRTIO_MMIO_QUEUE_SEL, index);
            set(transport, VIRTIO_MMIO_QUEUE_NUM, QUEUE_SIZE.into());
            set(transport, VIRTIO_MMIO_QUEUE_DESC_LOW, start);
            set(
                transport,
                VIRTIO_MMIO_QUEUE_AVAIL_LOW,
                start + AVAILABLE as u32,
            );
            set(transport, VIRTIO_MMIO_QUEUE_USED_LOW, start + USED as u32);
            set(transport, VIRTIO_MMIO_QUEUE_READY, 1);
        }
        set(transport, VIRTIO_MMIO_STATUS, RUNNING);
        self.next.fill(0);
    }

    fn comes_back(&mut self) {
        for queue in 0..self.next.len() as u32 {
            self.put(ring(queue), &[0; 0x3000]);
        }
        self.set_up(0);
        assert_eq!(
            status(&mut self.transport),
            RUNNING,
            "it does not come back"
        );
        for queue in 0..self.next.len() {
            self.transport.notified(queue);
        }
        let after = status(&mut self.transport);
        assert_eq!(after, RUNNING, "an empty queue broke it");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn scripts_of_noise(script in prop::collection::vec(any::<u8>(), 0..600)) {
            let folder = tempfile::tempdir().expect("a folder");
            for victim in [
                Victim::Balloon,
                Victim::Block,
                Victim::Fs(&[(3, 100), (1, 8), (0, 20)]),
                Victim::Mem,
                Victim::Net(100),
                Victim::Rng,
                Victim::Vsock(folder.path()),
            ] {
                run(victim, &script);
            }
        }
    }
}
