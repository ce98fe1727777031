//! Signals among the threads of this process.

use crate::raw::syscall;

/// The signal that ends a blocking call of a worker thread with `EINTR`. One that nobody sends to processes
/// and that the app kernel does not block, as it blocks those that users and terminals send.
const WAKE: i32 = libc::SIGURG;

extern "C" fn nothing(_: i32) {}

/// Install the handler that makes [`wake_thread`] harmless. Call once, early.
pub fn prepare_wake() {
    // SAFETY: all-zero is a valid sigaction: no flags (so that calls are not restarted), empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as *const () as usize;
    // SAFETY: `action` is live, the handler is async-signal-safe (it does nothing).
    unsafe { libc::sigaction(WAKE, &raw const action, std::ptr::null_mut()) };
}

/// Hold back what [`wake_thread`] sends to the calling thread, and to the threads that it starts, or no longer.
pub fn block_wake(held_back: bool) {
    let how = if held_back {
        libc::SIG_BLOCK
    } else {
        libc::SIG_UNBLOCK
    };
    let set = 1u64 << (WAKE - 1);
    // SAFETY: the kernel's sigset_t is eight bytes, read from a live u64.
    unsafe {
        syscall!(
            libc::SYS_rt_sigprocmask,
            how,
            &raw const set,
            std::ptr::null_mut::<u64>(),
            8usize
        )
    }
    .ok();
}

/// Make the blocking system call of a thread of this process fail with `EINTR`.
pub fn wake_thread(tid: i32) {
    // SAFETY: takes integers; a thread id that is gone gives ESRCH, which is as good.
    unsafe { syscall!(libc::SYS_tgkill, libc::getpid(), tid, WAKE) }.ok();
}

/// Send a signal to one thread of another process, tgkill(2).
pub fn send_to_thread(pid: i32, tid: i32, signal: i32) -> Result<(), rustix::io::Errno> {
    // SAFETY: takes integers only.
    unsafe { syscall!(libc::SYS_tgkill, pid, tid, signal) }?;
    Ok(())
}

/// pidfd_send_signal(2) with the caller's own idea of the signal's origin, which must not claim to be the
/// kernel's or a kill(2) (`EPERM` unless the target is this process).
pub fn send_by_pidfd(
    process: std::os::fd::BorrowedFd<'_>,
    signal: i32,
    info: Option<&libc::siginfo_t>,
    flags: u32,
) -> Result<(), rustix::io::Errno> {
    use std::os::fd::AsRawFd;
    let info = info.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `info` is null or a live siginfo, which the call only reads.
    unsafe {
        syscall!(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            signal,
            info,
            flags
        )
    }?;
    Ok(())
}

/// Send `signal`, any number, to process `pid`; one that has ended does not mind.
pub fn send(pid: i32, signal: i32) {
    // SAFETY: kill(2) takes integers.
    unsafe { libc::kill(pid, signal) };
}

/// Let SIGPIPE end this process and what it executes: Rust programs begin with it ignored, and that is inherited.
pub fn default_sigpipe() {
    // SAFETY: the default disposition runs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}
