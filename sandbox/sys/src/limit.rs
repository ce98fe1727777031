//! Resource limits of other processes, prlimit(2).

use rustix::io::Errno;

use crate::raw::syscall;

/// Soft and hard limit of `resource` (`RLIMIT_*`) of process `pid`.
pub fn get(pid: i32, resource: u32) -> Result<(u64, u64), Errno> {
    let mut old = [0u64; 2];
    // SAFETY: prlimit64 writes two u64 at the old pointer, which is live; the new one is null.
    unsafe {
        syscall!(
            libc::SYS_prlimit64,
            pid,
            resource,
            std::ptr::null::<u64>(),
            old.as_mut_ptr()
        )
    }?;
    Ok((old[0], old[1]))
}

/// Set both limits. `EPERM` when the hard limit would rise and the caller lacks CAP_SYS_RESOURCE.
pub fn set(pid: i32, resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let new = [soft, hard];
    // SAFETY: prlimit64 reads two u64 at the new pointer, which is live; the old one is null.
    unsafe {
        syscall!(
            libc::SYS_prlimit64,
            pid,
            resource,
            new.as_ptr(),
            std::ptr::null_mut::<u64>()
        )
    }?;
    Ok(())
}
