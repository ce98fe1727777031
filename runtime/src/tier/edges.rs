//! The two places where the sandbox process touches what no safe wrapper covers: its inherited
//! descriptors, and its own end.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Own the descriptor `number`, which `create` has left to us, and close every other above standard error: what a
/// careless caller of `create` leaked must not live on beside guests. Call once, before anything is opened.
#[expect(unsafe_code, reason = "inherited descriptors are bare numbers")]
pub(in crate::tier) fn take_inherited(number: RawFd) -> Option<OwnedFd> {
    const FIRST: u32 = 3;
    let ours = u32::try_from(number)
        .ok()
        .filter(|number| *number >= FIRST)?;
    let close = |first: u32, last: u32| {
        if first <= last {
            // SAFETY: at this point no part of this process owns a descriptor in these ranges.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    };
    close(FIRST, ours - 1);
    close(ours + 1, u32::MAX);
    // SAFETY: F_GETFD takes integers and says whether the number is open.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } == -1 {
        return None;
    }
    // SAFETY: the number is open, and only this function, called once, has anything to do with it.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC).ok()?;
    Some(fd)
}

/// End this process by `signal` with its default action, without a core dump, so that whoever waits for it sees
/// how the guest ended.
#[expect(unsafe_code, reason = "nothing safe resets a disposition")]
pub(in crate::tier) fn die_by(signal: i32) -> ! {
    let none = rustix::process::Rlimit {
        current: Some(0),
        maximum: None,
    };
    // Lowering the soft limit alone always works; the core of an app kernel would hold guest data.
    let limits = rustix::process::getrlimit(rustix::process::Resource::Core);
    rustix::process::setrlimit(
        rustix::process::Resource::Core,
        rustix::process::Rlimit {
            maximum: limits.maximum,
            ..none
        },
    )
    .ok();
    // SAFETY: default dispositions and a cleared mask run no code of ours; `set` is initialised by sigemptyset
    // before it is read. kill(2) takes integers.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut());
        libc::kill(libc::getpid(), signal);
    }
    // A signal whose default action is not to end the process: the shells' convention is the best left.
    std::process::exit(128 + signal)
}
