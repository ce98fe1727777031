//! Sound inputs of each decoder, to be damaged.

use caisson_kernel::fuzzing::Target;

fn words(values: &[u64]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// One sound input at least.
#[must_use]
pub fn seeds(target: Target) -> Vec<Vec<u8>> {
    match target {
        Target::Elf => vec![elf()],
        Target::Script => vec![
            b"#!/bin/sh -e\necho\n".to_vec(),
            b"#! /usr/bin/env python3\n".to_vec(),
        ],
        Target::FileCapabilities => vec![
            // VFS_CAP_REVISION_2 with the effective bit, and revision 3 with a root id.
            words(&[0x0000_2000_0200_0001, 0x0000_0000_0000_0000, 0]),
            words(&[0x0000_2000_0300_0001, 0, 1000]),
        ],
        Target::Netlink => vec![route_dump(), [route_dump(), unix_diag()].concat()],
        Target::Fuse => vec![
            // LOOKUP of "self", READ, INIT.
            [words(&[(1 << 32) | 45, 1, 1, 0, 7]), b"self\0".to_vec()].concat(),
            words(&[(15 << 32) | 80, 2, 1, 0, 7, 3, 0, 4096, 0, 0]),
            words(&[(26 << 32) | 56, 3, 0, 0, 7, 7 | (31 << 32), 131_072]),
        ],
        Target::Message => vec![
            // A header of a message; SCM_RIGHTS with one descriptor, and SCM_CREDENTIALS.
            words(&[0x1000, 16, 0x1010, 1, 0x1020, 24, 0]),
            words(&[20, 1 | (1 << 32), 5, 28, 1 | (2 << 32), 1, 0]),
        ],
        Target::Door => vec![{
            let mut page = vec![0; 192];
            page[104] = 24;
            page[160] = 20;
            page[168] = 1;
            page[172] = 1;
            page[176] = 5;
            page
        }],
        Target::Strace => vec![
            // openat(AT_FDCWD, "/etc/passwd", …), execve with an argv in the page.
            [
                words(&[257, u64::MAX - 99, 0x1000, 0o2_000_000, 0, 0, 0]),
                b"/etc/passwd\0".to_vec(),
            ]
            .concat(),
            [
                words(&[59, 0x1010, 0x1000, 0x1008, 0, 0, 0, 0x1010, 0]),
                b"/bin/sh\0".to_vec(),
            ]
            .concat(),
        ],
    }
}

fn elf() -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(64 + 2 * 56, 0);
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(16, &3u16.to_le_bytes());
    put(18, &62u16.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(54, &56u16.to_le_bytes());
    put(56, &2u16.to_le_bytes());
    // PT_INTERP, then PT_LOAD.
    put(64, &3u32.to_le_bytes());
    put(72, &176u64.to_le_bytes());
    put(96, &28u64.to_le_bytes());
    put(120, &1u32.to_le_bytes());
    bytes
}

/// RTM_GETLINK for a dump.
fn route_dump() -> Vec<u8> {
    let mut bytes = vec![0; 32];
    bytes[0] = 32;
    bytes[4] = 18;
    bytes[6..8].copy_from_slice(&0x301u16.to_le_bytes());
    bytes[8] = 1;
    bytes
}

/// SOCK_DIAG_BY_FAMILY for AF_UNIX.
fn unix_diag() -> Vec<u8> {
    let mut bytes = vec![0; 40];
    bytes[0] = 40;
    bytes[4] = 20;
    bytes[6..8].copy_from_slice(&0x301u16.to_le_bytes());
    bytes[16] = 1;
    bytes[20..24].copy_from_slice(&[0xff; 4]);
    bytes
}
