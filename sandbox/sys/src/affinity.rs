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
    static LINGERING: Cell<Lingering> = const { Cell::new(Lingering::Never) };
}

/// Whether the calling thread is still kept to one processor when a [`Together`] has gone. That each one begins and
/// ends costs the thread 5 us, as much as all the rest of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lingering {
    Never,
    /// From the next [`Together`] on.
    Ready,
    /// For so many turns.
    For(u32),
}

/// For how many turns: what comes first on another processor has to wake the lingering one there, once.
const LINGERING_TURNS: u32 = 64;

/// A turn of the calling thread begins, which serves in turns: only such threads linger.
pub fn next_turn() {
    match LINGERING.get() {
        Lingering::Never => LINGERING.set(Lingering::Ready),
        Lingering::Ready => {}
        Lingering::For(0) => end_lingering(),
        Lingering::For(turns) => LINGERING.set(Lingering::For(turns - 1)),
    }
}

fn lingers() -> bool {
    matches!(LINGERING.get(), Lingering::For(_))
}

/// Run on any processor again after a [`Together`].
pub fn end_lingering() {
    if lingers() {
        LINGERING.set(Lingering::Ready);
        if let Some(own) = own() {
            sched_setaffinity(None, &own).ok();
        }
    }
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

/// Run the calling thread on this processor only. Threads that it makes meanwhile inherit that, until they [`roam_on`]
/// others. Tells whether it could be done.
pub fn stay_on(cpu: usize) -> bool {
    own();
    let mut here = CpuSet::new();
    here.set(cpu);
    let done = sched_setaffinity(None, &here).is_ok();
    forget_lingering();
    STAYS.set(done);
    done
}

/// Whether the calling thread runs on one processor only because of [`stay_on`].
pub fn stays() -> bool {
    STAYS.get()
}

/// What a thread may run on.
#[derive(Clone, Copy, Debug)]
pub struct Processors(CpuSet);

/// If the calling thread runs on one processor for any reason of this module: what it may run on otherwise. Threads that it
/// makes inherit the one until they [`roam_on`] the others.
pub fn bound() -> Option<Processors> {
    let is_bound = stays() || lingers();
    own().filter(|_| is_bound).map(Processors)
}

/// The processors of the calling thread have been set anew.
fn forget_lingering() {
    if lingers() {
        LINGERING.set(Lingering::Ready);
    }
}

/// Run the calling thread on whatever processor it was allowed before [`stay_on`].
pub fn roam() {
    STAYS.set(false);
    forget_lingering();
    if let Some(own) = own() {
        roam_on(Processors(own));
    }
}

/// As [`roam`], for a thread that was made by one that is [`bound`].
pub fn roam_on(processors: Processors) {
    // Without any processor left in common with the cpuset, the old mask stays: slower, no worse.
    sched_setaffinity(None, &processors.0).ok();
}

/// While this lives, the calling thread and the thread `tid`, which must be waiting in the kernel, may run on
/// the current processor only. Dropping it restores what was allowed before; a thread that serves in turns keeps to the
/// processor for some more of them ([`next_turn`]).
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
        let lingers = lingers();
        let other = Pid::from_raw(tid)?;
        let allowed = sched_getaffinity(Some(other)).ok()?;
        let cpu = sched_getcpu();
        let mut here = CpuSet::new();
        here.set(cpu);
        if !lingers {
            sched_setaffinity(None, &here).ok()?;
        }
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
        match LINGERING.get() {
            Lingering::Never => drop(sched_setaffinity(None, &self.own)),
            Lingering::Ready => LINGERING.set(Lingering::For(LINGERING_TURNS)),
            Lingering::For(_) => {}
        }
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
    fn a_thread_that_serves_in_turns_lingers_for_some() {
        let Some(_) = another() else {
            return;
        };
        let mut partner = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("sleep");
        let tid = partner.id() as i32;
        let other = || sched_getaffinity(Pid::from_raw(tid)).expect("a mask");
        let own = || sched_getaffinity(None).expect("a mask");
        let all = own();
        drop(Together::hold(tid).expect("two processors"));
        assert!(own() == all && other() == all && bound().is_none());

        next_turn();
        let together = Together::hold(tid).expect("two processors");
        assert_eq!(other().count(), 1);
        drop(together);
        assert!(own().count() == 1 && other() == all && bound().is_some());
        drop(Together::hold(tid).expect("held again"));
        (0..=LINGERING_TURNS).for_each(|_| next_turn());
        assert!(own() == all && bound().is_none());

        drop(Together::hold(tid).expect("held again"));
        end_lingering();
        assert!(own() == all && bound().is_none());
        partner.kill().expect("kill");
        partner.wait().expect("wait");
    }

    #[test]
    fn a_thread_made_by_one_that_stays_can_roam() {
        let before = sched_getaffinity(None).expect("a mask");
        assert!(stay_on(current()));
        let processors = bound().expect("it stays");
        let child = std::thread::spawn(move || {
            roam_on(processors);
            sched_getaffinity(None).expect("a mask")
        });
        assert_eq!(child.join().expect("it ends"), before);
        roam();
    }
}
