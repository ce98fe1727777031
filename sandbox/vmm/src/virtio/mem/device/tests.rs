//! The device against a host that sometimes has no memory, and a driver that asks for anything.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const START: u64 = 4 << 30;
const COUNT: usize = 8;

/// Which blocks are there; refuses each `refuse`th.
#[derive(Default)]
struct Host {
    there: HashSet<u64>,
    asked: usize,
    refuse: usize,
}

impl Blocks for Host {
    fn plug(&mut self, address: u64) -> io::Result<()> {
        self.asked += 1;
        if self.refuse != 0 && self.asked.is_multiple_of(self.refuse) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        assert!(self.there.insert(address), "plugged twice");
        Ok(())
    }

    fn unplug(&mut self, address: u64) -> io::Result<()> {
        assert!(self.there.remove(&address), "unplugged twice");
        Ok(())
    }
}

fn device(requested_blocks: u64, refuse: usize) -> Mem<Host> {
    let size = Arc::new(Size::default());
    let bytes = requested_blocks * BLOCK_BYTES;
    size.requested.store(bytes, Ordering::Relaxed);
    let host = Host {
        refuse,
        ..Host::default()
    };
    Mem::new(host, START, COUNT, size)
}

fn request(kind: u16, address: u64, count: u16) -> [u8; REQUEST_BYTES] {
    let mut bytes = [0; REQUEST_BYTES];
    bytes[..2].copy_from_slice(&kind.to_le_bytes());
    bytes[8..16].copy_from_slice(&address.to_le_bytes());
    bytes[16..18].copy_from_slice(&count.to_le_bytes());
    bytes
}

/// The answer to a request about `count` blocks from block `first` on.
fn ask(device: &mut Mem<Host>, kind: u16, first: u64, count: u16) -> Answer {
    let request = request(kind, START + first * BLOCK_BYTES, count);
    device.serve(&request).expect("the host takes blocks back")
}

#[test]
fn blocks_come_and_go_up_to_what_is_asked_for() {
    let mut device = device(3, 0);
    assert_eq!(ask(&mut device, PLUG, 0, 2), Answer::Ack);
    assert_eq!(ask(&mut device, PLUG, 2, 2), Answer::Nack);
    assert_eq!(ask(&mut device, PLUG, 1, 1), Answer::Error);
    assert_eq!(ask(&mut device, STATE, 0, 2), Answer::State(PLUGGED));
    assert_eq!(ask(&mut device, STATE, 1, 2), Answer::State(MIXED));
    assert_eq!(ask(&mut device, UNPLUG, 1, 2), Answer::Error);
    assert_eq!(ask(&mut device, UNPLUG, 0, 1), Answer::Ack);
    assert_eq!(device.size.plugged.load(Ordering::Relaxed), BLOCK_BYTES);
    assert_eq!(ask(&mut device, UNPLUG_ALL, 0, 0), Answer::Ack);
    assert!(device.blocks.there.is_empty());
}

#[test]
fn what_is_no_block_of_the_region_is_refused() {
    let mut device = device(8, 0);
    assert_eq!(ask(&mut device, PLUG, 7, 2), Answer::Error);
    assert_eq!(ask(&mut device, PLUG, 0, 0), Answer::Error);
    assert_eq!(ask(&mut device, 4, 0, 1), Answer::Error);
    for address in [0, START - BLOCK_BYTES, START + 4096, u64::MAX] {
        let answer = device.serve(&request(PLUG, address, 1));
        assert_eq!(answer.expect("an answer"), Answer::Error, "{address:#x}");
    }
}

#[test]
fn a_host_without_memory_leaves_nothing_half_done() {
    let mut device = device(8, 3);
    assert_eq!(ask(&mut device, PLUG, 0, 4), Answer::Busy);
    assert!(device.blocks.there.is_empty());
    assert_eq!(ask(&mut device, PLUG, 0, 2), Answer::Ack);
}

#[test]
fn the_driver_reads_what_is_asked_for() {
    let device = device(2, 0);
    let mut config = [0; 56];
    device.read_config(0, &mut config);
    let word = |at: usize| u64::from_le_bytes(config[at..at + 8].try_into().expect("8 bytes"));
    assert_eq!((word(0), word(16)), (BLOCK_BYTES, START));
    assert_eq!((word(24), word(48)), (8 * BLOCK_BYTES, 2 * BLOCK_BYTES));
}

proptest! {
    #[test]
    fn the_host_and_the_device_agree_whatever_is_asked(
        requests in prop::collection::vec((0..5_u16, 0..10_u64, 0..4_u16, 0..3_u64), 1..60),
        requested in 0..=COUNT as u64,
        refuse in 0..4_usize,
    ) {
        let mut device = device(requested, refuse);
        for (kind, first, count, odd) in requests {
            let address = START + first * BLOCK_BYTES + odd / 2;
            device.serve(&request(kind, address, count)).expect("an answer");
            let known = device.plugged.iter().filter(|is| **is).count();
            prop_assert_eq!(known, device.blocks.there.len());
            let bytes = known as u64 * BLOCK_BYTES;
            prop_assert_eq!(device.size.plugged.load(Ordering::Relaxed), bytes);
            prop_assert!(known as u64 <= requested);
        }
    }
}
