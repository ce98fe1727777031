//! Comparing what processes share, and where their lists of held futexes are.

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

/// Address and size of the head of a thread's list of robust futexes: get_robust_list(2). `ESRCH`, `EPERM`.
pub fn robust_list(tid: i32) -> Result<[u64; 2], Errno> {
    let (mut head, mut size) = (0u64, 0u64);
    // SAFETY: both places are live and as large as a pointer and a size_t.
    unsafe { syscall!(libc::SYS_get_robust_list, tid, &raw mut head, &raw mut size) }?;
    Ok([head, size])
}
