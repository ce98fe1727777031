//! A guest that asks the server of files for anything. Each request is an opcode, a node, room for the answer, a length and
//! that many bytes.

#![no_main]

use std::path::Path;

use caisson_fuzz::{Scratch, limit_files};
use caisson_share::Server;
use caisson_wire::share::{AnswerHeader, Coherence, Order, RequestHeader};
use libfuzzer_sys::fuzz_target;
use rustix::fs::{Mode, OFlags};

/// So that no request fills the disk, nor takes long.
const LARGEST_FILE: u64 = 1 << 20;

fuzz_target!(init: prepare(), |bytes: &[u8]| {
    let scratch = Scratch::new("share");
    let share = scratch.path().join("share");
    std::fs::create_dir(&share).expect("a directory");
    std::fs::write(share.join("a"), "a").expect("a file");
    std::os::unix::fs::symlink("../secret", share.join("link")).expect("a link");
    std::fs::write(scratch.path().join("secret"), "secret").expect("a file");
    // Requests change the user of the thread that serves them.
    std::thread::scope(|scope| scope.spawn(|| serve(&share, bytes)).join().expect("no panic"));
    let secret = std::fs::read(scratch.path().join("secret")).expect("the secret");
    assert_eq!(secret, b"secret");
    let beside = std::fs::read_dir(scratch.path()).expect("the folder").count();
    assert_eq!(beside, 2, "something was made beside the share");
});

fn prepare() {
    std::env::set_current_dir("/proc/self/fd").expect("/proc");
    caisson_sys::credentials::keep_capabilities_across_setuid().ok();
    limit_files(LARGEST_FILE);
}

fn serve(share: &Path, mut bytes: &[u8]) {
    let root = rustix::fs::open(share, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let server = Server::new(512);
    let order = Order::Add {
        name: "s".into(),
        coherence: Coherence::Live,
    };
    server.obey(order, root.ok()).expect("a share");
    while let Some((head, rest)) = bytes.split_first_chunk::<6>() {
        let [opcode, node, room, user, length, _] = *head;
        let (body, rest) = rest.split_at(usize::from(length).min(rest.len()));
        bytes = rest;
        let room = u32::from(room) * 64;
        let packet = packet(opcode, node, room, user & 1, body);
        let answer = server.serve(&packet, Vec::new()).expect("an answer");
        assert!(answer.len() <= AnswerHeader::BYTES + room as usize);
    }
}

/// A FUSE request behind the monitor's header.
fn packet(opcode: u8, node: u8, room: u32, user: u8, body: &[u8]) -> Vec<u8> {
    const HEADER_BYTES: u32 = 40;
    let mut packet = RequestHeader { tag: 1, room }.to_bytes().to_vec();
    packet.extend_from_slice(&(HEADER_BYTES + body.len() as u32).to_ne_bytes());
    packet.extend_from_slice(&u32::from(opcode).to_ne_bytes());
    packet.extend_from_slice(&1_u64.to_ne_bytes());
    packet.extend_from_slice(&u64::from(node).to_ne_bytes());
    for word in [u32::from(user), u32::from(user), 1, 0] {
        packet.extend_from_slice(&word.to_ne_bytes());
    }
    packet.extend_from_slice(body);
    packet
}
