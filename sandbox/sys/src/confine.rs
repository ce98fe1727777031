//! Restricting this process itself.

use rustix::io::Errno;

use crate::raw::syscall;

/// Put every thread of this process under a seccomp filter, for good. `instructions` are `struct sock_filter`
/// as the kernel lays them out. Needs CAP_SYS_ADMIN.
pub fn install_filter(instructions: &[libc::sock_filter]) -> Result<(), Errno> {
    const SECCOMP_SET_MODE_FILTER: u32 = 1;
    const TSYNC: u64 = 1;
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
            TSYNC,
            &raw const program
        )
    }? {
        0 => Ok(()),
        // A thread that could not be synchronised.
        _ => Err(Errno::BUSY),
    }
}
