//! Keeping two threads that hand work to each other on one processor for a moment.
//!
//! A wake-up on another, idle processor costs a virtual machine tens of microseconds. Seccomp's
//! `SYNC_WAKE_UP` avoids it for calls and replies, but not for the two wake-ups of `ADDFD`.

use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// While this lives, the calling thread and the thread `tid` may run on the current processor only.
/// Dropping it restores what was allowed before.
#[derive(Debug)]
pub struct Together {
    other: Option<(Pid, CpuSet)>,
    own: CpuSet,
}

impl Together {
    /// `None` when there is only one processor to choose from, or when either thread cannot be held.
    pub fn hold(tid: i32) -> Option<Together> {
        let own = sched_getaffinity(None).ok()?;
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
            other: held.then_some((other, allowed)),
            own,
        })
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        if let Some((other, allowed)) = &self.other {
            // The thread may have ended meanwhile.
            sched_setaffinity(Some(*other), allowed).ok();
        }
        sched_setaffinity(None, &self.own).ok();
    }
}
