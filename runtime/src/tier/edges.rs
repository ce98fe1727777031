//! The two places where the sandbox process touches what no safe wrapper covers: its inherited
//! descriptors, and its own end.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Own the descriptor `number`, as [`take_all_inherited`] does.
pub(in crate::tier) fn take_inherited(number: RawFd) -> Option<OwnedFd> {
    take_all_inherited(&[number])?.pop()
}

/// Own these descriptors, which whoever executed us has left to us, and close every other above standard error: what a
/// careless caller of `create` leaked must not live on beside guests. Call once, before anything is opened. `None` if
/// one of them is not open, or given twice.
#[expect(unsafe_code, reason = "inherited descriptors are bare numbers")]
pub(in crate::tier) fn take_all_inherited(numbers: &[RawFd]) -> Option<Vec<OwnedFd>> {
    const FIRST: u32 = 3;
    let valid = |number: &RawFd| {
        u32::try_from(*number)
            .ok()
            .filter(|number| *number >= FIRST)
    };
    let mut sorted: Vec<u32> = numbers.iter().map(valid).collect::<Option<_>>()?;
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return None;
    }
    let close = |first: u32, last: u32| {
        if first <= last {
            // SAFETY: at this point no part of this process owns a descriptor in these ranges.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    };
    let mut first = FIRST;
    for number in sorted {
        close(first, number - 1);
        first = number + 1;
    }
    close(first, u32::MAX);
    // SAFETY: F_GETFD takes integers and says whether the number is open.
    let is_open = |number: &RawFd| unsafe { libc::fcntl(*number, libc::F_GETFD) } != -1;
    if !numbers.iter().all(is_open) {
        return None;
    }
    let own = |number: &RawFd| {
        // SAFETY: the number is open and given once; only this function, called once, has anything to do with it.
        let fd = unsafe { OwnedFd::from_raw_fd(*number) };
        rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC).ok()?;
        Some(fd)
    };
    numbers.iter().map(own).collect()
}

/// Descriptor `number` survives the next execve(2).
#[expect(
    unsafe_code,
    reason = "the next program knows descriptors by their bare numbers"
)]
pub(in crate::tier) fn leave_open(number: RawFd) -> std::io::Result<()> {
    // SAFETY: takes integers; no memory and no owner of a descriptor is concerned.
    match unsafe { libc::fcntl(number, libc::F_SETFD, 0) } {
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(()),
    }
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
