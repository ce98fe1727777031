//! A page that parent and child share while the child is being set up.

use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use rustix::io::Errno;

use super::SpawnError;
use super::child::STEPS;

#[repr(C)]
#[derive(Debug)]
struct Page {
    /// One of the `STAGE_*` values; also the futex both sides sleep on.
    stage: AtomicU32,
    listener: AtomicI32,
    proc_context: AtomicI32,
    failed_step: AtomicI32,
    failed_errno: AtomicI32,
}

const STAGE_BORN: u32 = 0;
const STAGE_GO_ON: u32 = 1;
const STAGE_FILTERED: u32 = 2;
const STAGE_FAILED: u32 = 3;
const STAGE_ARMED: u32 = 4;
const STAGE_CONFIRMED: u32 = 5;

#[derive(Debug)]
pub(super) struct Handshake {
    page: *mut Page,
}

impl Handshake {
    pub(super) fn new() -> Result<Handshake, Errno> {
        // SAFETY: a new anonymous mapping that nothing else refers to; size_of::<Page>() is below a page.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<Page>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(Errno::NOMEM);
        }
        let handshake = Handshake { page: page.cast() };
        handshake.page().proc_context.store(-1, Ordering::Relaxed);
        Ok(handshake)
    }

    fn page(&self) -> &Page {
        // SAFETY: the mapping is zeroed by the kernel, valid for Page (atomics only), and lives until
        // drop.
        unsafe { &*self.page }
    }

    fn set_stage(&self, stage: u32) {
        self.page().stage.store(stage, Ordering::Release);
        // SAFETY: FUTEX_WAKE takes the address of a live u32 and integers.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                &raw const self.page().stage,
                libc::FUTEX_WAKE,
                1,
                0,
                0,
                0,
            )
        };
    }

    /// Sleep while the stage is `stage`, at most a fifth of a second.
    fn sleep_in(&self, stage: u32) {
        let timeout = libc::timespec {
            tv_sec: 0,
            tv_nsec: 200_000_000,
        };
        // SAFETY: FUTEX_WAIT takes the address of a live u32 and of a live timespec.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                &raw const self.page().stage,
                libc::FUTEX_WAIT,
                stage,
                &raw const timeout,
                0,
                0,
            )
        };
    }

    // The parent's side.

    pub(super) fn go_on(&self) {
        self.set_stage(STAGE_GO_ON);
    }

    pub(super) fn wait_until_filtered(&self, pid: i32) -> Result<(), SpawnError> {
        loop {
            match self.page().stage.load(Ordering::Acquire) {
                STAGE_FILTERED => return Ok(()),
                STAGE_FAILED => {
                    let step = self.page().failed_step.load(Ordering::Relaxed) as usize;
                    let errno =
                        Errno::from_raw_os_error(self.page().failed_errno.load(Ordering::Relaxed));
                    return Err(SpawnError {
                        step: STEPS.get(step).copied().unwrap_or("guest set-up"),
                        errno,
                    });
                }
                STAGE_ARMED => self.set_stage(STAGE_CONFIRMED),
                stage => {
                    if died(pid) {
                        return Err(SpawnError {
                            step: "guest set-up: the process was killed",
                            errno: Errno::SRCH,
                        });
                    }
                    self.sleep_in(stage);
                }
            }
        }
    }

    pub(super) fn listener(&self) -> i32 {
        self.page().listener.load(Ordering::Relaxed)
    }

    pub(super) fn proc_context(&self) -> Option<i32> {
        Some(self.page().proc_context.load(Ordering::Relaxed)).filter(|fd| *fd >= 0)
    }

    // The child's side: no allocation, raw system calls only.

    /// `false` if the parent has ended.
    pub(super) fn wait_for_parent(&self, orphaned: impl Fn() -> bool) -> bool {
        self.leave(STAGE_BORN, orphaned)
    }

    /// Have the parent's thread confirm that it lives now that the death signal is set. A dying process closes its end
    /// of the life line after the thread that would have sent the signal is gone: without an answer there is a
    /// moment at which neither tells. `false` if the parent has ended.
    pub(super) fn confirm_parent(&self, orphaned: impl Fn() -> bool) -> bool {
        self.set_stage(STAGE_ARMED);
        self.leave(STAGE_ARMED, orphaned)
    }

    fn leave(&self, stage: u32, orphaned: impl Fn() -> bool) -> bool {
        while self.page().stage.load(Ordering::Acquire) == stage {
            self.sleep_in(stage);
            if self.page().stage.load(Ordering::Acquire) == stage && orphaned() {
                return false;
            }
        }
        true
    }

    pub(super) fn offer_proc_context(&self, fd: i32) {
        self.page().proc_context.store(fd, Ordering::Relaxed);
    }

    /// The last thing before the first notified call: FUTEX_WAKE is native in every filter.
    pub(super) fn filtered(&self, listener: i32) {
        self.page().listener.store(listener, Ordering::Relaxed);
        self.set_stage(STAGE_FILTERED);
    }

    pub(super) fn failed(&self, step: usize, errno: i32) {
        self.page()
            .failed_step
            .store(step as i32, Ordering::Relaxed);
        self.page().failed_errno.store(errno, Ordering::Relaxed);
        self.set_stage(STAGE_FAILED);
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `new` with this size and no reference outlives `self`.
        unsafe { libc::munmap(self.page.cast(), size_of::<Page>()) };
    }
}

/// Whether the child has ended, without reaping it.
fn died(pid: i32) -> bool {
    // SAFETY: all-zero is a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: waitid fills the live siginfo_t.
    let done = unsafe { libc::waitid(libc::P_PID, pid as u32, &raw mut info, flags) };
    // SAFETY: after a successful waitid the pid field is initialised; it was zeroed before.
    done == -1 || unsafe { info.si_pid() } != 0
}
