//! The driver does what the bytes say; the host listens on port 0 and asks for port 1 of the guest.

#![no_main]

use std::os::unix::net::UnixListener;

use caisson_fuzz::Scratch;
use caisson_vmm::virtio::hostile::Victim;
use caisson_vmm::virtio::hostile::script::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| {
    let scratch = Scratch::new("vsock");
    // The name that belongs to port 0 of the socket that the device makes.
    let listener = UnixListener::bind(scratch.path().join("vsock_0")).expect("a socket");
    run(Victim::Vsock(scratch.path()), script);
    drop(listener);
});
