//! The app kernel under its own seccomp profile (seccomp-profiles/kernel.json).

use rustix::io::Errno;

/// Take away what serving guests never needs, from all threads: no exec, no new process, no mount, no other
/// namespace, no kernel interface that guests are refused as well.
pub fn confine() -> Result<(), Errno> {
    let program = include_bytes!(concat!(env!("OUT_DIR"), "/profile.bpf"));
    let instructions: Vec<libc::sock_filter> = program
        .as_chunks::<8>()
        .0
        .iter()
        .map(|[c0, c1, jt, jf, k @ ..]| libc::sock_filter {
            code: u16::from_ne_bytes([*c0, *c1]),
            jt: *jt,
            jf: *jf,
            k: u32::from_ne_bytes(*k),
        })
        .collect();
    caisson_sys::confine::install_filter(&instructions)
}
