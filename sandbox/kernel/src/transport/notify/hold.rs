//! Whether it pays to keep guest and server on one processor while a descriptor is donated.
//!
//! Where another processor idles it does: each of the two wake-ups of `ADDFD` would go there and cost tens of
//! microseconds. Where all are busy nobody is moved, and the system calls of [`Together`] are for nothing. Nothing
//! tells which is the case but the time that a donation takes.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use caisson_sys::affinity::{self, Together};

/// A donation that takes longer has gone to another processor (a quick one takes about 8 us, such a one 60 and more).
const SLOW: Duration = Duration::from_micros(30);
/// For how many donations guest and server are kept together after a slow one, at first and at most.
const SHORTEST: u32 = 32;
const LONGEST: u32 = 1024;

#[derive(Debug)]
pub(super) struct Hold {
    /// Donations to come that are made together.
    left: AtomicU32,
    /// How many it will be after the next slow one.
    next: AtomicU32,
}

impl Hold {
    pub(super) fn new() -> Hold {
        Hold {
            left: AtomicU32::new(SHORTEST),
            next: AtomicU32::new(SHORTEST),
        }
    }

    /// Make a donation to the thread `tid`.
    pub(super) fn during<R>(&self, tid: i32, donate: impl FnOnce() -> R) -> R {
        let left = self.left.load(Ordering::Relaxed);
        if left > 0 {
            self.left.store(left - 1, Ordering::Relaxed);
            let _together = Together::hold(tid);
            return donate();
        }
        affinity::end_lingering();
        let begun = Instant::now();
        let done = donate();
        self.took(begun.elapsed());
        done
    }

    /// For bringing the thread `tid` to a stop, which wakes up across processors in the same way.
    pub(super) fn for_stop(&self, tid: i32) -> Option<Together> {
        let pays = self.left.load(Ordering::Relaxed) > 0;
        pays.then(|| Together::hold(tid)).flatten()
    }

    fn took(&self, time: Duration) {
        let next = self.next.load(Ordering::Relaxed);
        if time > SLOW {
            self.left.store(next, Ordering::Relaxed);
            self.next.store((next * 2).min(LONGEST), Ordering::Relaxed);
        } else if next > SHORTEST {
            self.next.store(next - 1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_donations_are_tried_ever_more_seldom() {
        let hold = Hold::new();
        let donations = |hold: &Hold| {
            let left = hold.left.load(Ordering::Relaxed);
            (0..left).for_each(|_| hold.during(1, || ()));
            left
        };
        assert_eq!(donations(&hold), SHORTEST);
        hold.took(SLOW * 2);
        assert_eq!(donations(&hold), SHORTEST);
        hold.took(SLOW * 2);
        assert_eq!(donations(&hold), 2 * SHORTEST);
        for _ in 0..10 {
            hold.took(SLOW * 2);
        }
        assert_eq!(donations(&hold), LONGEST);
    }

    #[test]
    fn quick_donations_go_on_unheld() {
        let hold = Hold::new();
        hold.left.store(0, Ordering::Relaxed);
        hold.took(SLOW / 2);
        assert_eq!(hold.left.load(Ordering::Relaxed), 0);
    }
}
