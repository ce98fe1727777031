//! Drivers that write anything, in cases made at random. What must hold: no panic, an end, no write outside of memory
//! (which the mapping would not survive), and a device that was broken works again after a reset.

use proptest::collection::vec;
use proptest::prelude::*;
use virtio_bindings::virtio_mmio::{
    VIRTIO_MMIO_DRIVER_FEATURES, VIRTIO_MMIO_DRIVER_FEATURES_SEL, VIRTIO_MMIO_QUEUE_AVAIL_LOW,
    VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_NUM, VIRTIO_MMIO_QUEUE_READY,
    VIRTIO_MMIO_QUEUE_SEL, VIRTIO_MMIO_QUEUE_USED_LOW,
};
use virtio_bindings::virtio_net::VIRTIO_NET_F_MRG_RXBUF;
use vm_memory::Bytes;

use super::*;
use crate::memory::Ram;
use crate::virtio::{EVENT_INDEX, INDIRECT, VERSION_1};

#[derive(Debug, Clone)]
struct Descriptor {
    address: u64,
    length: u32,
    flags: u16,
    next: u16,
}

/// What the driver puts into one queue.
#[derive(Debug, Clone)]
struct Rings {
    descriptors: Vec<Descriptor>,
    available: Vec<u16>,
    available_index: u16,
    used_event: u16,
    /// The used ring lies over the available one.
    overlap: bool,
}

fn descriptor() -> impl Strategy<Value = Descriptor> {
    let address = prop_oneof![
        8 => (0..0x4000_u64).prop_map(|offset| BUFFERS + offset * 16),
        1 => 0..MEMORY_BYTES + 0x1000,
        1 => any::<u64>(),
    ];
    let length = prop_oneof![
        4 => prop::sample::select(vec![0_u32, 1, 4, 12, 16, 44, 45, 512, 4096]),
        1 => 0..0x2_0000_u32,
        1 => any::<u32>(),
    ];
    let flags = prop_oneof![8 => 0..4_u16, 1 => 0..8_u16, 1 => any::<u16>()];
    (address, length, flags, 0..QUEUE_SIZE + 2).prop_map(|(address, length, flags, next)| {
        Descriptor {
            address,
            length,
            flags,
            next,
        }
    })
}

fn rings() -> impl Strategy<Value = Rings> {
    (
        vec(descriptor(), usize::from(QUEUE_SIZE)),
        vec(0..QUEUE_SIZE + 2, usize::from(QUEUE_SIZE)),
        prop_oneof![9 => 0..=QUEUE_SIZE, 1 => any::<u16>()],
        any::<u16>(),
        prop::bool::weighted(0.1),
    )
        .prop_map(
            |(descriptors, available, available_index, used_event, overlap)| Rings {
                descriptors,
                available,
                available_index,
                used_event,
                overlap,
            },
        )
}

/// Resets the device and sets it up as a driver does.
fn set_up(transport: &mut Transport, rings: &[Rings], features: u64) {
    set(transport, VIRTIO_MMIO_STATUS, 0);
    set(transport, VIRTIO_MMIO_STATUS, 3);
    for page in 0..2 {
        set(transport, VIRTIO_MMIO_DRIVER_FEATURES_SEL, page);
        let bits = (features | VERSION_1) >> (32 * page);
        set(transport, VIRTIO_MMIO_DRIVER_FEATURES, bits as u32);
    }
    set(transport, VIRTIO_MMIO_STATUS, 11);
    for (index, rings) in (0..).zip(rings) {
        let start = ring(index) as u32;
        let used = if rings.overlap { 0x1000 } else { 0x2000 };
        set(transport, VIRTIO_MMIO_QUEUE_SEL, index);
        set(transport, VIRTIO_MMIO_QUEUE_NUM, QUEUE_SIZE.into());
        set(transport, VIRTIO_MMIO_QUEUE_DESC_LOW, start);
        set(transport, VIRTIO_MMIO_QUEUE_AVAIL_LOW, start + 0x1000);
        set(transport, VIRTIO_MMIO_QUEUE_USED_LOW, start + used);
        set(transport, VIRTIO_MMIO_QUEUE_READY, 1);
    }
    set(transport, VIRTIO_MMIO_STATUS, 15);
}

fn fill(memory: &GuestMemoryMmap, index: u32, rings: &Rings) {
    let start = ring(index);
    let mut table = Vec::new();
    for descriptor in &rings.descriptors {
        table.extend_from_slice(&descriptor.address.to_le_bytes());
        table.extend_from_slice(&descriptor.length.to_le_bytes());
        table.extend_from_slice(&descriptor.flags.to_le_bytes());
        table.extend_from_slice(&descriptor.next.to_le_bytes());
    }
    let mut available = vec![0, 0];
    for word in [rings.available_index]
        .iter()
        .chain(&rings.available)
        .chain([&rings.used_event])
    {
        available.extend_from_slice(&word.to_le_bytes());
    }
    for (address, bytes) in [(start, &table), (start + 0x1000, &available)] {
        memory
            .write_slice(bytes, GuestAddress(address))
            .expect("in memory");
    }
}

/// Lets the driver loose on a device, then checks that it can be set up again.
fn attack(device: Box<dyn Device>, queues: &[Rings], content: &[u8], writes: &[(u32, u32)]) {
    attack_with(device, 0, queues, content, writes);
}

/// The same with features of the device's.
fn attack_with(
    device: Box<dyn Device>,
    features: u64,
    queues: &[Rings],
    content: &[u8],
    writes: &[(u32, u32)],
) {
    let memory = memory();
    let mut transport =
        Transport::new(device, Ram::new(memory.clone())).expect("event descriptors");
    let count = transport.kicks().len() as u32;
    let queues: Vec<Rings> = queues
        .iter()
        .cycle()
        .take(count as usize)
        .cloned()
        .collect();
    for address in (BUFFERS..MEMORY_BYTES - content.len() as u64).step_by(content.len().max(16)) {
        memory
            .write_slice(content, GuestAddress(address))
            .expect("in memory");
    }
    set_up(&mut transport, &queues, features | INDIRECT | EVENT_INDEX);
    for round in 0..3 {
        for index in 0..count {
            fill(&memory, index, &queues[index as usize]);
            transport.notified(index as usize);
            transport.serve(|device, guest| device.host_ready(guest));
        }
        if let Some((register, value)) = writes.get(round) {
            set(&mut transport, *register, *value);
        }
    }
    transport.write(0x100, content);
    transport.read(
        0x100 + u64::from(content.first().copied().unwrap_or(0)),
        &mut [0; 8],
    );

    let empty = Rings {
        descriptors: Vec::new(),
        available: Vec::new(),
        available_index: 0,
        used_event: 0,
        overlap: false,
    };
    let queues = vec![empty; count as usize];
    for index in 0..count {
        memory
            .write_slice(&[0; 0x3000], GuestAddress(ring(index)))
            .expect("in memory");
    }
    set_up(&mut transport, &queues, 0);
    assert_eq!(status(&mut transport), 15, "the device does not come back");
    for index in 0..count {
        transport.notified(index as usize);
    }
    assert_eq!(
        status(&mut transport),
        15,
        "an empty queue broke the device"
    );
}

fn answer() -> impl Strategy<Value = (u64, usize)> {
    let tag = prop_oneof![9 => 0..30_u64, 1 => any::<u64>()];
    let length = prop_oneof![6 => 8..100_usize, 1 => 0..8_usize, 1 => 0..200_000_usize];
    (tag, length)
}

/// Headers of requests and packets as well as noise.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let block = (0..6_u32, 0..200_u64).prop_map(|(kind, sector)| {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&sector.to_le_bytes());
        bytes
    });
    let packet = (
        2..4_u64,
        0..3_u32,
        0..70_000_u32,
        0..9_u16,
        any::<[u32; 3]>(),
    )
        .prop_map(
            |(source, port, length, operation, [flags, buffer, forwarded])| {
                let mut bytes = source.to_le_bytes().to_vec();
                bytes.extend_from_slice(&2_u64.to_le_bytes());
                for word in [port, port, length] {
                    bytes.extend_from_slice(&word.to_le_bytes());
                }
                bytes.extend_from_slice(&1_u16.to_le_bytes());
                bytes.extend_from_slice(&operation.to_le_bytes());
                for word in [flags & 3, buffer, forwarded] {
                    bytes.extend_from_slice(&word.to_le_bytes());
                }
                bytes.resize(64, 0);
                bytes
            },
        );
    let memory = (0..5_u16, 0..6_u64, 0..5_u16).prop_map(|(kind, block, count)| {
        let mut bytes = u64::from(kind).to_le_bytes().to_vec();
        let address = (1 << 32) + block * mem::BLOCK_BYTES;
        bytes.extend_from_slice(&address.to_le_bytes());
        bytes.extend_from_slice(&u64::from(count).to_le_bytes());
        bytes
    });
    prop_oneof![block, packet, memory, vec(any::<u8>(), 16..64)]
}

/// Any registers of the transport and the queues.
fn writes() -> impl Strategy<Value = Vec<(u32, u32)>> {
    vec((0..0x110_u32, any::<u32>()), 3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn block(queues in vec(rings(), 1), content in content(), writes in writes(), read_only: bool) {
        let block = Block::new(disk(), read_only, "serial").expect("a disk");
        attack(Box::new(block), &queues, &content, &writes);
    }

    #[test]
    fn rng(queues in vec(rings(), 1), content in content(), writes in writes()) {
        attack(Box::new(Rng), &queues, &content, &writes);
    }

    #[test]
    fn net(
        queues in vec(rings(), 2),
        content in content(),
        writes in writes(),
        length in prop::sample::select(vec![2, 13, 100, 5000, usize::MAX]),
        merges: bool,
    ) {
        let net = Net::new(Endless(length), Mac([2; 6]), 1500);
        let features = u64::from(merges) << VIRTIO_NET_F_MRG_RXBUF;
        attack_with(Box::new(net), features, &queues, &content, &writes);
    }

    #[test]
    fn fs(queues in vec(rings(), 2), content in content(), writes in writes(), mut answers in vec(answer(), 0..20)) {
        let server = Scripted { sent: 0, answers: { answers.reverse(); answers } };
        attack(Box::new(Fs::new(server, "tag", Box::new(|_| {}))), &queues, &content, &writes);
    }

    #[test]
    fn balloon(queues in vec(rings(), 3), content in content(), writes in writes()) {
        attack(Box::new(Balloon::new(Arc::default())), &queues, &content, &writes);
    }

    #[test]
    fn mem(queues in vec(rings(), 1), content in content(), writes in writes(), blocks in 0..4_u64) {
        let size = mem::Size::default();
        size.requested.store(blocks * mem::BLOCK_BYTES, Ordering::Relaxed);
        let device = mem::Mem::new(Nothing, 1 << 32, 4, Arc::new(size));
        attack(Box::new(device), &queues, &content, &writes);
    }

    #[test]
    fn vsock(queues in vec(rings(), 3), content in content(), writes in writes()) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("vsock");
        // Somebody listens on port 0, and somebody asks for port 1 of the guest.
        let mut port = path.clone().into_os_string();
        port.push("_0");
        let _listener = std::os::unix::net::UnixListener::bind(port).expect("a socket");
        let socket = Socket::new(3, &path).expect("a socket");
        let mut host = std::os::unix::net::UnixStream::connect(&path).expect("it listens");
        io::Write::write_all(&mut host, b"CONNECT 1\n").expect("it reads");
        attack(Box::new(socket), &queues, &content, &writes);
    }
}

#[test]
fn a_frame_takes_as_many_small_buffers_as_it_needs() {
    const BUFFER_BYTES: u32 = 512;
    let memory = memory();
    let net = Net::new(Endless(5000), Mac([2; 6]), 1500);
    let mut transport =
        Transport::new(Box::new(net), Ram::new(memory.clone())).expect("event descriptors");
    let descriptors = (0..u64::from(QUEUE_SIZE)).map(|number| Descriptor {
        address: BUFFERS + number * u64::from(BUFFER_BYTES),
        length: BUFFER_BYTES,
        // Written by the device.
        flags: 2,
        next: 0,
    });
    let queue = Rings {
        descriptors: descriptors.collect(),
        available: (0..QUEUE_SIZE).collect(),
        available_index: QUEUE_SIZE,
        used_event: 0,
        overlap: false,
    };
    let empty = Rings {
        available_index: 0,
        ..queue.clone()
    };
    let queues = [queue, empty];
    set_up(&mut transport, &queues, 1 << VIRTIO_NET_F_MRG_RXBUF);
    fill(&memory, 0, &queues[0]);
    transport.notified(0);
    assert_eq!(status(&mut transport), 15);
    // The second frame waits for more buffers than are left.
    let used = ring(0) + 0x2000;
    let index: u16 = memory.read_obj(GuestAddress(used + 2)).expect("in memory");
    assert_eq!(u32::from(index), 5000_u32.div_ceil(BUFFER_BYTES));
    let count: u16 = memory
        .read_obj(GuestAddress(BUFFERS + 10))
        .expect("in memory");
    assert_eq!(count, index);
    let lengths = (0..u64::from(index)).map(|number| -> u32 {
        let entry = GuestAddress(used + 4 + number * 8 + 4);
        memory.read_obj(entry).expect("in memory")
    });
    assert_eq!(lengths.sum::<u32>(), 5000);
}
