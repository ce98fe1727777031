//! The app kernel under its own seccomp profile (seccomp-profiles/kernel.json).

use rustix::io::Errno;

/// Take away what serving guests never needs, from all threads: no exec, no new process, no mount, no other
/// namespace, no kernel interface that guests are refused as well.
///
/// Mounts stay possible where guests may make some (seccomp-profiles/kernel-mounts.json).
pub fn confine(with_mounts: bool) -> Result<(), Errno> {
    let program: &[u8] = if with_mounts {
        include_bytes!(concat!(env!("OUT_DIR"), "/kernel-with-mounts.bpf"))
    } else {
        include_bytes!(concat!(env!("OUT_DIR"), "/kernel.bpf"))
    };
    let instructions = caisson_sys::confine::program(program);
    caisson_sys::confine::install_filter(&instructions)
}
