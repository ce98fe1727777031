//! The driver of a device does what the bytes say.

#![no_main]

use caisson_vmm::virtio::hostile::Victim;
use caisson_vmm::virtio::hostile::script::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| run(Victim::Rng, script));
