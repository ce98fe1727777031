//! Comparing what processes share.

use rustix::io::Errno;

use crate::raw::syscall;

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
