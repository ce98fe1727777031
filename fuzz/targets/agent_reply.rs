//! What a guest says where the agent should: any bytes on the connection.

#![no_main]

use std::hint::black_box;

use caisson_wire::agent::{MAX_UP_BYTES, Report, read, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok(report) = read::<Report>(&mut rest, MAX_UP_BYTES) {
        if let Report::Ended(ended) = report {
            black_box(ended.is_possible());
        }
        let mut again = Vec::new();
        if write(&mut again, &report).is_ok() {
            let read = read::<Report>(&mut &*again, usize::MAX).ok();
            assert_eq!(read, Some(report));
        }
    }
});
