//! Guests that send anything. What must hold: no panic, an end, no answer longer than there is room for, and nothing
//! beside the share touched.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Three for nodes, three for what is open.
const FEW: usize = 70;
const NODES: usize = 3;

/// A request with fields that may mean something.
fn request() -> impl Strategy<Value = (u32, u64, Vec<u8>)> {
    let opcode = prop_oneof![9 => 1..54_u32, 1 => any::<u32>()];
    // FALLOCATE would fill the disk of whoever runs the tests, as it may that of a container.
    let opcode = opcode.prop_filter("not FALLOCATE", |opcode| *opcode != op::FALLOCATE);
    let node = prop_oneof![8 => 0..12_u64, 1 => any::<u64>()];
    let name = prop::sample::select(vec![
        "a",
        "b",
        "link",
        "up",
        "pipe",
        "d",
        "..",
        ".",
        "../secret",
        "s",
        "",
    ]);
    let number = prop_oneof![6 => 0..12_u64, 2 => Just(0o100_644), 1 => any::<u64>()];
    let body = (vec(number, 0..8), vec(name, 0..3), vec(any::<u8>(), 0..40)).prop_map(
        |(numbers, names, noise)| {
            let mut body: Vec<u8> = numbers
                .iter()
                .flat_map(|number| number.to_ne_bytes())
                .collect();
            for name in names {
                body.extend_from_slice(&zero_ended(name));
            }
            body.extend_from_slice(&noise);
            body
        },
    );
    (opcode, node, body)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn requests_that_nearly_are_some(
        requests in vec((request(), prop_oneof![0..64_u32, Just(70_000)]), 1..60),
    ) {
        // So few that each of them is let go of at some time.
        let scene = Scene::with_descriptors(FEW);
        let secret = scene.folder.path().join("secret");
        fs::write(scene.share().join("a"), "a").expect("a file");
        std::os::unix::fs::symlink(&secret, scene.share().join("link")).expect("a link");
        std::os::unix::fs::symlink("..", scene.share().join("up")).expect("a link");
        scene.root();
        for ((opcode, node, body), room) in requests {
            let packet = packet(3, room, opcode, node, &body);
            let answer = scene.server.serve(&packet, Vec::new()).expect("an answer");
            prop_assert!(answer.len() <= AnswerHeader::BYTES + room as usize);
            prop_assert!(scene.server.nodes.held() <= NODES);
        }
        prop_assert_eq!(fs::read_to_string(&secret).expect("the secret"), "secret");
        let beside = fs::read_dir(scene.folder.path()).expect("the folder").count();
        prop_assert_eq!(beside, 2, "the share and the secret");
    }

    #[test]
    fn packets_that_are_noise(bytes in vec(any::<u8>(), 0..200)) {
        let scene = Scene::new();
        if let Some(answer) = scene.server.serve(&bytes, Vec::new()) {
            prop_assert!(bytes.len() >= RequestHeader::BYTES);
            prop_assert!(answer.len() >= AnswerHeader::BYTES);
        }
    }
}
