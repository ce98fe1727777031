//! Descriptors of other processes.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::raw::syscall;

/// A handle on process `pid`, pidfd_open(2). Becomes readable when the process ends.
pub fn pidfd_open(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: takes integers; the descriptor returned is new and ours alone.
    unsafe { syscall!(libc::SYS_pidfd_open, pid, 0).map(|fd| OwnedFd::from_raw_fd(fd as i32)) }
}

/// A handle on one thread, `PIDFD_THREAD` (Linux 6.9; `EINVAL` before).
pub fn pidfd_open_thread(tid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: as for pidfd_open.
    unsafe {
        syscall!(libc::SYS_pidfd_open, tid, libc::O_EXCL).map(|fd| OwnedFd::from_raw_fd(fd as i32))
    }
}

/// A duplicate of descriptor `number` of the process, pidfd_getfd(2). `EBADF` when it is not open there.
pub fn pidfd_getfd(process: BorrowedFd<'_>, number: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: as for pidfd_open.
    unsafe {
        syscall!(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0)
            .map(|fd| OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Send a signal to the process, pidfd_send_signal(2).
pub fn pidfd_send_signal(process: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo asks the kernel to make one up as kill(2) does.
    unsafe {
        syscall!(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            signal,
            none,
            0
        )
    }?;
    Ok(())
}

/// An anonymous executable file with these contents, sealed against every change.
pub fn sealed_executable(name: &std::ffi::CStr, contents: &[u8]) -> Result<OwnedFd, Errno> {
    use rustix::fs::{MemfdFlags, Mode, SealFlags};
    let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut written = 0;
    while written < contents.len() {
        written += rustix::io::write(&fd, &contents[written..])?;
    }
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o555))?;
    rustix::fs::fcntl_add_seals(
        &fd,
        SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE,
    )?;
    Ok(fd)
}

/// Give the calling thread a descriptor table of its own that holds the standard streams and `keep`, under the
/// numbers that they have now. What this thread opens from now on is closed when it (and the threads it starts)
/// ends, even while other threads of the process live on.
///
/// Descriptors of other threads mean nothing to it any more, and it must not drop what owns them.
pub fn own_table(keep: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    // SAFETY: CLONE_FILES only separates this thread's table from the others'; every number stays valid.
    unsafe { syscall!(libc::SYS_unshare, libc::CLONE_FILES) }?;
    let mut kept: Vec<u32> = keep.iter().map(|fd| fd.as_raw_fd() as u32).collect();
    kept.extend([0, 1, 2]);
    kept.sort_unstable();
    kept.push(u32::MAX);
    let mut first = 0;
    for number in kept {
        if number > first {
            // SAFETY: closes copies that this thread's table got just now; the originals stay open in the table
            // of those who own them.
            unsafe { syscall!(libc::SYS_close_range, first, number - 1, 0) }?;
        }
        first = number.saturating_add(1);
    }
    Ok(())
}
