//! The driver does what the bytes say, while frames arrive whose length the first two say.

#![no_main]

use caisson_vmm::virtio::hostile::Victim;
use caisson_vmm::virtio::hostile::script::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((length, script)) = bytes.split_first_chunk::<2>() {
        run(Victim::Net(u16::from_le_bytes(*length).into()), script);
    }
});
