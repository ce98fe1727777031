//! Keeping two threads that hand work to each other on one processor.
//!
//! A wake-up on another, idle processor costs a virtual machine tens of microseconds. Seccomp's
//! `SYNC_WAKE_UP` avoids it for calls and replies, but not for the two wake-ups of `ADDFD`.

use std::cell::{Cell, OnceCell};

use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_getcpu, sched_setaffinity};

thread_local! {
    /// What the calling thread was allowed before it held anything: nobody else changes that, and where the
    /// cgroup's cpuset shrinks the kernel applies it to every later sched_setaffinity(2).
    static OWN: OnceCell<Option<CpuSet>> = const { OnceCell::new() };
    /// Between [`stay_on`] and [`roam`].
    static STAYS: Cell<bool> = const { Cell::new(false) };
}

fn own() -> Option<CpuSet> {
    OWN.with(|own| *own.get_or_init(|| sched_getaffinity(None).ok()))
}

/// The processor that the calling thread is on, as long as it is not moved.
pub fn current() -> usize {
    sched_getcpu()
}

/// A processor that the calling thread may run on, other than the one it is on. `None` if there is none.
pub fn another() -> Option<usize> {
    let (own, here) = (own()?, sched_getcpu());
    let wanted = |cpu: &usize| *cpu != here && own.is_set(*cpu);
    (here + 1..CpuSet::MAX_CPU)
        .chain(0..here)
        .find(|cpu| wanted(cpu))
}

/// Run the calling thread on this processor only. Threads that it makes meanwhile inherit that, until they [`roam`].
/// Tells whether it could be done.
pub fn stay_on(cpu: usize) -> bool {
    own();
    let mut here = CpuSet::new();
    here.set(cpu);
    let done = sched_setaffinity(None, &here).is_ok();
    STAYS.set(done);
    done
}

/// Whether the calling thread runs on one processor only because of [`stay_on`].
pub fn stays() -> bool {
    STAYS.get()
}

/// Run the calling thread on whatever processor it was allowed before [`stay_on`]; a thread that was made by one that
/// stays, on all that there are.
pub fn roam() {
    let before = OWN.with(|own| own.get().copied().flatten());
    let all = || {
        let mut all = CpuSet::new();
        (0..CpuSet::MAX_CPU).for_each(|cpu| all.set(cpu));
        all
    };
    // Without any processor left in common with the cpuset, the old mask stays: slower, no worse.
    sched_setaffinity(None, &before.unwrap_or_else(all)).ok();
    STAYS.set(false);
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
        let own = own().filter(|own| own.count() > 1 && !stays())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_stays_roams_again() {
        let before = sched_getaffinity(None).expect("a mask");
        let Some(cpu) = another() else {
            return;
        };
        assert!(stay_on(cpu));
        assert_eq!(current(), cpu);
        assert!(stays() && Together::hold(std::process::id() as i32).is_none());
        roam();
        assert!(!stays());
        assert_eq!(sched_getaffinity(None).expect("a mask"), before);
    }

    #[test]
    fn a_thread_made_by_one_that_stays_can_roam() {
        let before = sched_getaffinity(None).expect("a mask");
        assert!(stay_on(current()));
        let child = std::thread::spawn(|| {
            roam();
            sched_getaffinity(None).expect("a mask")
        });
        assert_eq!(child.join().expect("it ends"), before);
        roam();
    }
}
