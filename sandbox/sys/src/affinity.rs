//! Keeping two threads that hand work to each other on one processor for a moment.
//!
//! A wake-up on another, idle processor costs a virtual machine tens of microseconds. Seccomp's
//! `SYNC_WAKE_UP` avoids it for calls and replies, but not for the two wake-ups of `ADDFD`.

use std::cell::OnceCell;

use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_getcpu, sched_setaffinity};

thread_local! {
    /// What the calling thread was allowed before it held anything: nobody else changes that, and where the
    /// cgroup's cpuset shrinks the kernel applies it to every later sched_setaffinity(2).
    static OWN: OnceCell<Option<CpuSet>> = const { OnceCell::new() };
}

/// While this lives, the calling thread and the thread `tid`, which must be waiting in the kernel, may run on
/// the current processor only. Dropping it restores what was allowed before.
///
/// Must be dropped before `tid` returns to its program: that could see the narrow mask, pass it on to new
/// threads, or set another one, which would be lost.
#[derive(Debug)]
pub struct Together {
    here: CpuSet,
    other: Option<(Pid, CpuSet)>,
    own: CpuSet,
}

impl Together {
    /// `None` when there is only one processor to choose from, or when either thread cannot be held.
    pub fn hold(tid: i32) -> Option<Together> {
        let own = OWN.with(|own| *own.get_or_init(|| sched_getaffinity(None).ok()))?;
        if own.count() < 2 {
            return None;
        }
        let other = Pid::from_raw(tid)?;
        let allowed = sched_getaffinity(Some(other)).ok()?;
        let cpu = sched_getcpu();
        let mut here = CpuSet::new();
        here.set(cpu);
        sched_setaffinity(None, &here).ok()?;
        let held = allowed.is_set(cpu) && sched_setaffinity(Some(other), &here).is_ok();
        Some(Together {
            here,
            other: held.then_some((other, allowed)),
            own,
        })
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        if let Some((other, allowed)) = &self.other
            // Another thread of the guest may have given it a mask meanwhile, and it may have ended.
            && sched_getaffinity(Some(*other)).is_ok_and(|mask| mask == self.here)
        {
            sched_setaffinity(Some(*other), allowed).ok();
        }
        sched_setaffinity(None, &self.own).ok();
    }
}
