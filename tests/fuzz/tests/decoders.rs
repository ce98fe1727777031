//! No bytes make a decoder panic, or break what it promises of its result.

use caisson_fuzz_tests::seeds;
use caisson_kernel::fuzzing::{TARGETS, Target, decode};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

const CASES: u32 = 4_000;

fn cases() -> u32 {
    match std::env::var("CAISSON_FUZZ_CASES") {
        Ok(number) => number.parse().expect("CAISSON_FUZZ_CASES is a number"),
        Err(_) => CASES,
    }
}

/// One change to a sound input.
#[derive(Clone, Debug)]
enum Damage {
    Set(prop::sample::Index, u8),
    /// A value on the edge of what lengths and counts may be, at a multiple of four.
    Edge(prop::sample::Index, u64),
    Cut(prop::sample::Index),
    Repeat(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let edges = prop::sample::select(vec![
        0,
        1,
        2,
        3,
        4,
        7,
        8,
        15,
        16,
        17,
        28,
        0x7f,
        0xff,
        0x100,
        0x1000,
        0xffff,
        0x7fff_ffff,
        0xffff_ffff,
        0xffff_fffc,
        1 << 32,
        1 << 62,
        u64::MAX - 3,
        u64::MAX,
    ]);
    prop_oneof![
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (any::<prop::sample::Index>(), edges).prop_map(|(at, value)| Damage::Edge(at, value)),
        any::<prop::sample::Index>().prop_map(Damage::Cut),
        any::<prop::sample::Index>().prop_map(Damage::Repeat),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    match damage {
        Damage::Set(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Damage::Edge(at, value) => {
            let at = at.index(bytes.len()) & !3;
            for (slot, byte) in bytes[at..].iter_mut().zip(value.to_le_bytes()) {
                *slot = byte;
            }
        }
        Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Damage::Repeat(at) => {
            let tail = bytes[at.index(bytes.len())..].to_vec();
            if bytes.len() < 8192 {
                bytes.extend(tail);
            }
        }
    }
}

fn inputs(target: Target) -> impl Strategy<Value = Vec<u8>> {
    let damaged =
        (prop::sample::select(seeds(target)), vec(damage(), 0..8)).prop_map(|(mut bytes, list)| {
            list.iter().for_each(|damage| apply(&mut bytes, damage));
            bytes
        });
    prop_oneof![3 => damaged, 1 => vec(any::<u8>(), 0..512)]
}

fn survives(target: Target) {
    let config = ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&inputs(target), |bytes| {
            decode(target, &bytes);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{target:?}: {error}"));
}

macro_rules! targets {
    ($($name:ident $target:ident,)*) => {
        $(#[test]
        fn $name() {
            survives(Target::$target);
        })*

        #[test]
        fn every_target_is_run() {
            assert_eq!(TARGETS, [$(Target::$target),*]);
        }
    };
}

targets! {
    elf Elf,
    script Script,
    file_capabilities FileCapabilities,
    netlink Netlink,
    fuse Fuse,
    message Message,
    door Door,
    strace Strace,
}

#[test]
fn sound_inputs_are_decoded() {
    for target in TARGETS {
        for seed in seeds(*target) {
            decode(*target, &seed);
        }
    }
}
