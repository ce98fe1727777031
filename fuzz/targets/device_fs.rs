//! The driver does what the bytes say, while the server answers as the first ones say.

#![no_main]

use caisson_vmm::virtio::hostile::Victim;
use caisson_vmm::virtio::hostile::script::run;
use libfuzzer_sys::fuzz_target;

/// Of the server, each a tag and a length.
const ANSWERS: usize = 6;

fuzz_target!(|bytes: &[u8]| {
    if let Some((answers, script)) = bytes.split_at_checked(ANSWERS * 3) {
        let answers = answers.chunks(3).map(|answer| {
            let length = u16::from_le_bytes([answer[1], answer[2]]);
            (u64::from(answer[0]), usize::from(length))
        });
        run(Victim::Fs(&answers.collect::<Vec<_>>()), script);
    }
});
