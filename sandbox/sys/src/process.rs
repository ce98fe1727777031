//! Comparing what processes share, and where their lists of held futexes are.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::raw::{check, syscall};

/// kcmp(2) for kinds that take descriptor numbers or nothing. 0 if they share it, else an order.
pub fn compare(pids: [i32; 2], kind: u32, indexes: [u64; 2]) -> Result<i64, Errno> {
    // SAFETY: takes integers only; the one kind whose last argument is a pointer (KCMP_EPOLL_TFD) reads memory of ours
    // and is refused by callers, who are asked for integers.
    unsafe {
        syscall!(
            libc::SYS_kcmp,
            pids[0],
            pids[1],
            kind,
            indexes[0],
            indexes[1]
        )
    }
}

/// kcmp(2) of `KCMP_EPOLL_TFD`: a descriptor of the first process with the file that an epoll instance of the second
/// watches, the `offset`-th under that number.
pub fn compare_watched(
    pids: [i32; 2],
    descriptor: u64,
    [epoll, watched, offset]: [u32; 3],
) -> Result<i64, Errno> {
    const KCMP_EPOLL_TFD: u32 = 7;
    let slot = [epoll, watched, offset];
    // SAFETY: the last argument points to a struct kcmp_epoll_slot, three u32, that is live and only read.
    unsafe {
        syscall!(
            libc::SYS_kcmp,
            pids[0],
            pids[1],
            KCMP_EPOLL_TFD,
            descriptor,
            slot.as_ptr()
        )
    }
}

/// `PIDFD_GET_INFO` of a pidfd: `request` holds the size of `info`, a `struct pidfd_info` whose mask says what is wanted.
/// `ESRCH` when the process is gone, `ENOTTY` on other descriptors and before Linux 6.13.
pub fn information(pidfd: BorrowedFd<'_>, request: u32, info: &mut [u8]) -> Result<(), Errno> {
    if (request >> 16 & 0x3fff) as usize != info.len() {
        return Err(Errno::INVAL);
    }
    // SAFETY: the request writes as many bytes as its number says, which `info` has.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), request.into(), info.as_mut_ptr()) };
    check(result.into()).map(drop)
}

/// Address and size of the head of a thread's list of robust futexes: get_robust_list(2). `ESRCH`, `EPERM`.
pub fn robust_list(tid: i32) -> Result<[u64; 2], Errno> {
    let (mut head, mut size) = (0u64, 0u64);
    // SAFETY: both places are live and as large as a pointer and a size_t.
    unsafe { syscall!(libc::SYS_get_robust_list, tid, &raw mut head, &raw mut size) }?;
    Ok([head, size])
}
