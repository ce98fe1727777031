//! Restricting this process itself.

use rustix::io::Errno;

use crate::raw::syscall;

/// Put every thread of this process under a seccomp filter, for good. `instructions` are `struct sock_filter`
/// as the kernel lays them out. Needs CAP_SYS_ADMIN, or no_new_privs.
pub fn install_filter(instructions: &[libc::sock_filter]) -> Result<(), Errno> {
    const TSYNC: u64 = 1;
    install(instructions, TSYNC)
}

/// As [`install_filter`], for the calling thread and those that it makes from now on.
pub fn install_thread_filter(instructions: &[libc::sock_filter]) -> Result<(), Errno> {
    install(instructions, 0)
}

/// A program that a build script compiled: instructions as bytes in this machine's order.
#[must_use]
pub fn program(bytes: &[u8]) -> Vec<libc::sock_filter> {
    bytes
        .as_chunks::<8>()
        .0
        .iter()
        .map(|[c0, c1, jt, jf, k @ ..]| libc::sock_filter {
            code: u16::from_ne_bytes([*c0, *c1]),
            jt: *jt,
            jf: *jf,
            k: u32::from_ne_bytes(*k),
        })
        .collect()
}

fn install(instructions: &[libc::sock_filter], flags: u64) -> Result<(), Errno> {
    const SECCOMP_SET_MODE_FILTER: u32 = 1;
    let length = u16::try_from(instructions.len()).map_err(|_| Errno::INVAL)?;
    let program = libc::sock_fprog {
        len: length,
        filter: instructions.as_ptr().cast_mut(),
    };
    // SAFETY: `program` describes the live slice, which the kernel only reads.
    match unsafe {
        syscall!(
            libc::SYS_seccomp,
            SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program
        )
    }? {
        0 => Ok(()),
        // A thread that could not be synchronised.
        _ => Err(Errno::BUSY),
    }
}
