//! Return values of raw syscalls.

use rustix::io::Errno;

/// What a libc wrapper or `libc::syscall` returned, as a `Result`: -1 reads `errno`.
pub(crate) fn check(value: i64) -> Result<i64, Errno> {
    if value == -1 {
        // SAFETY: `__errno_location` always returns a valid pointer to this thread's errno.
        let errno = unsafe { *libc::__errno_location() };
        Err(Errno::from_raw_os_error(errno))
    } else {
        Ok(value)
    }
}

/// `libc::syscall` with its result checked. Expands to an unsafe call: callers state why it is sound.
macro_rules! syscall {
    ($number:expr $(, $argument:expr)* $(,)?) => {
        $crate::raw::check(libc::syscall($number $(, $argument)*))
    };
}
pub(crate) use syscall;
