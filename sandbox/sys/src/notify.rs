//! Seccomp user notification, seccomp_unotify(2).
//!
//! A signal for the calling thread ends [`Listener::receive`] only. What is done for a call that was received is done
//! again where a signal interrupts it: it may be meant for the thread's next wait, and a guest must not see it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};

use crate::raw::check;

/// One system call that a guest thread has made and that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub struct Notification {
    /// Cookie of this call; a stale one makes every later operation fail with `ENOENT`.
    pub id: u64,
    /// Thread id in the receiver's pid namespace.
    pub tid: i32,
    pub nr: u32,
    pub args: [u64; 6],
}

/// The receiving end of a filter, as made by `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
#[derive(Debug)]
pub struct Listener(OwnedFd);

const SET_FLAGS: libc::c_ulong = 0x4008_2104; // SECCOMP_IOCTL_NOTIF_SET_FLAGS, linux/seccomp.h
const FD_SYNC_WAKE_UP: u64 = 1;
const RECV: libc::c_ulong = 0xc050_2100; // SECCOMP_IOCTL_NOTIF_RECV
const SEND: libc::c_ulong = 0xc018_2101; // SECCOMP_IOCTL_NOTIF_SEND
const ID_VALID: libc::c_ulong = 0x4008_2102; // SECCOMP_IOCTL_NOTIF_ID_VALID
const ADDFD: libc::c_ulong = 0x4018_2103; // SECCOMP_IOCTL_NOTIF_ADDFD
const FLAG_CONTINUE: u32 = 1;

#[repr(C)]
#[derive(Default)]
struct SeccompNotif {
    id: u64,
    pid: u32,
    flags: u32,
    nr: i32,
    arch: u32,
    instruction_pointer: u64,
    args: [u64; 6],
}

#[repr(C)]
struct SeccompNotifResp {
    id: u64,
    val: i64,
    error: i32,
    flags: u32,
}

#[repr(C)]
struct SeccompNotifAddfd {
    id: u64,
    flags: u32,
    srcfd: u32,
    newfd: u32,
    newfd_flags: u32,
}

impl Listener {
    /// `fd` must be a seccomp listener; anything else makes every operation fail with `ENOTTY`.
    pub fn new(fd: OwnedFd) -> Listener {
        Listener(fd)
    }

    /// Ask for `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` (Linux 6.6) or take that back, for calls and answers from now
    /// on. Fails with `EINVAL` on older kernels.
    pub fn set_wake_up(&self, wake_up: WakeUp) -> Result<(), Errno> {
        let flags = match wake_up {
            WakeUp::OnThisCpu => FD_SYNC_WAKE_UP,
            WakeUp::Anywhere => 0,
        };
        retry_on_intr(|| {
            // SAFETY: the request takes its flags by value; no memory is touched.
            check(unsafe { libc::ioctl(self.0.as_raw_fd(), SET_FLAGS, flags) }.into())
        })?;
        Ok(())
    }

    /// Wait for the next call. `ENOENT`: that guest was killed meanwhile, ask again. `EINTR`: a signal
    /// came. Once no process uses the filter any more this waits for ever: poll for `POLLHUP`.
    pub fn receive(&self) -> Result<Notification, Errno> {
        let mut notif = SeccompNotif::default();
        // SAFETY: `notif` is zeroed, as the kernel demands, has the layout of `struct seccomp_notif`,
        // and outlives the call.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), RECV, &raw mut notif) }.into())?;
        Ok(Notification {
            id: notif.id,
            tid: notif.pid as i32,
            nr: notif.nr as u32,
            args: notif.args,
        })
    }

    /// Answer with a return value.
    pub fn send_value(&self, id: u64, value: i64) -> Result<(), Errno> {
        self.send(SeccompNotifResp {
            id,
            val: value,
            error: 0,
            flags: 0,
        })
    }

    /// Answer with an error. `error` is positive and may be one of the kernel's restart codes
    /// (512 `ERESTARTSYS`, 513 `ERESTARTNOINTR`, 514 `ERESTARTNOHAND`), which only make sense when a
    /// signal or a ptrace interrupt is pending.
    pub fn send_error(&self, id: u64, error: i32) -> Result<(), Errno> {
        self.send(SeccompNotifResp {
            id,
            val: 0,
            error: -error,
            flags: 0,
        })
    }

    /// Let the host kernel run the call as the guest made it. Only sound for calls whose meaning is
    /// wholly in registers: memory can change after it was looked at.
    pub fn send_continue(&self, id: u64) -> Result<(), Errno> {
        self.send(SeccompNotifResp {
            id,
            val: 0,
            error: 0,
            flags: FLAG_CONTINUE,
        })
    }

    fn send(&self, response: SeccompNotifResp) -> Result<(), Errno> {
        retry_on_intr(|| {
            // SAFETY: `response` has the layout of `struct seccomp_notif_resp` and outlives the call.
            check(unsafe { libc::ioctl(self.0.as_raw_fd(), SEND, &raw const response) }.into())
        })?;
        Ok(())
    }

    /// Whether the call `id` still waits, that is, whether the thread id in it is still that thread.
    pub fn id_valid(&self, id: u64) -> bool {
        retry_on_intr(|| {
            // SAFETY: the request reads eight bytes at the pointer, which is a live u64.
            check(unsafe { libc::ioctl(self.0.as_raw_fd(), ID_VALID, &raw const id) }.into())
        })
        .is_ok()
    }

    /// Install `source` at the guest's lowest free number without answering. `EMFILE` when its table is full.
    ///
    /// Never with `SECCOMP_ADDFD_FLAG_SEND`: the guest would run on before our own copy of the descriptor
    /// is closed and before [`crate::affinity::Together`] has let go of it.
    pub fn add_fd(&self, id: u64, source: BorrowedFd<'_>, cloexec: Cloexec) -> Result<i32, Errno> {
        let request = SeccompNotifAddfd {
            id,
            flags: 0,
            srcfd: source.as_raw_fd() as u32,
            newfd: 0,
            newfd_flags: if cloexec == Cloexec::Yes {
                libc::O_CLOEXEC as u32
            } else {
                0
            },
        };
        // Interrupted before the guest's thread has taken it, it is taken back by the host kernel.
        let fd = retry_on_intr(|| {
            // SAFETY: `request` has the layout of `struct seccomp_notif_addfd` and outlives the call.
            check(unsafe { libc::ioctl(self.0.as_raw_fd(), ADDFD, &raw const request) }.into())
        })?;
        Ok(fd as i32)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Where the side that a call or an answer wakes goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeUp {
    /// On the waker's processor, at once: a round trip is ten times as fast while there is one guest at a time.
    OnThisCpu,
    /// Where the scheduler thinks best.
    Anywhere,
}

/// Whether a donated descriptor is closed by the guest's next exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloexec {
    Yes,
    No,
}

#[cfg(test)]
mod tests;
