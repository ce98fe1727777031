//! The app kernel under its own seccomp profile (seccomp-profiles/kernel.json).

use rustix::io::Errno;

/// Take away what serving guests never needs, from all threads: no exec, no new process, no mount, no other
/// namespace, no kernel interface that guests are refused as well.
///
/// Mounts stay possible where guests may make some (seccomp-profiles/kernel-mounts.json).
pub fn confine(with_mounts: bool) -> Result<(), Errno> {
    let program: &[u8] = if with_mounts {
        include_bytes!(concat!(env!("OUT_DIR"), "/profile-mounts.bpf"))
    } else {
        include_bytes!(concat!(env!("OUT_DIR"), "/profile.bpf"))
    };
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
