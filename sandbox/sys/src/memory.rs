//! A guest's memory, read and written through process_vm_readv(2) and process_vm_writev(2).
//!
//! Writes through these calls respect the guest's page protections, unlike writes to
//! `/proc/PID/mem`, which must not be used.

use rustix::io::Errno;

use crate::raw::check;

/// Copy from `address` in the process of `tid`. Returns how many bytes could be read: fewer than asked
/// for when a later page is not mapped; `EFAULT` when the first one is not.
pub fn read(tid: i32, address: u64, into: &mut [u8]) -> Result<usize, Errno> {
    if into.is_empty() {
        return Ok(0);
    }
    let local = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    let remote = libc::iovec {
        iov_base: address as *mut libc::c_void,
        iov_len: into.len(),
    };
    // SAFETY: `local` describes exactly the exclusive slice `into`; the remote side is checked by the
    // kernel against the other process' address space.
    let count =
        check(
            unsafe { libc::process_vm_readv(tid, &raw const local, 1, &raw const remote, 1, 0) }
                as i64,
        )?;
    Ok(count as usize)
}

/// Copy `bytes` to `address` in the process of `tid`, whole or `EFAULT`.
pub fn write(tid: i32, address: u64, bytes: &[u8]) -> Result<(), Errno> {
    if write_some(tid, address, bytes)? == bytes.len() {
        Ok(())
    } else {
        Err(Errno::FAULT)
    }
}

/// Copy as much of `bytes` as there is room for; `EFAULT` when that is nothing.
pub fn write_some(tid: i32, address: u64, bytes: &[u8]) -> Result<usize, Errno> {
    if bytes.is_empty() {
        return Ok(0);
    }
    let local = libc::iovec {
        iov_base: bytes.as_ptr() as *mut libc::c_void,
        iov_len: bytes.len(),
    };
    let remote = libc::iovec {
        iov_base: address as *mut libc::c_void,
        iov_len: bytes.len(),
    };
    // SAFETY: process_vm_writev only reads the local side, which is the live slice `bytes`; the remote
    // side is checked by the kernel.
    let count =
        check(
            unsafe { libc::process_vm_writev(tid, &raw const local, 1, &raw const remote, 1, 0) }
                as i64,
        )?;
    Ok(count as usize)
}
