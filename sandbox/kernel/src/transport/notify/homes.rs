//! Which of two servers' processors each calling thread belongs to.
//!
//! When a crowd begins all its threads are on one processor, where the one server was: that they were served there
//! says nothing. A thread is given to the side with fewer calls when it first calls, and one goes to the other side
//! when several share a side that has nearly all calls.

use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, Ordering};

/// Callers that are told apart, by thread id.
const CALLERS: usize = 512;
/// A side with so many times the calls of the other is too full.
const LOPSIDED: u32 = 3;
/// From how many changes of the caller on one side since the last look on, several share it.
const SHARED: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The processor of the receiver that is always there.
    First,
    Assistant,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::First => Side::Assistant,
            Side::Assistant => Side::First,
        }
    }

    fn code(self) -> u8 {
        self as u8 + 1
    }

    fn from_code(code: u8) -> Option<Side> {
        [Side::First, Side::Assistant]
            .into_iter()
            .find(|side| side.code() == code)
    }
}

#[derive(Debug, Default)]
struct Load {
    /// Recent calls.
    calls: AtomicU32,
    /// How often another thread called than before.
    changes: AtomicU32,
    latest_caller: AtomicI32,
}

#[derive(Debug)]
pub(super) struct Homes {
    /// Codes of sides; 0 for a thread that has none yet.
    by_caller: [AtomicU8; CALLERS],
    loads: [Load; 2],
    /// The side whose next caller is to go to the other one, or 0.
    leave: AtomicU8,
}

impl Homes {
    pub(super) fn new() -> Homes {
        Homes {
            by_caller: [const { AtomicU8::new(0) }; CALLERS],
            loads: Default::default(),
            leave: AtomicU8::new(0),
        }
    }

    pub(super) fn clear(&self) {
        for home in &self.by_caller {
            home.store(0, Ordering::Relaxed);
        }
        for load in &self.loads {
            load.calls.store(0, Ordering::Relaxed);
            load.changes.store(0, Ordering::Relaxed);
        }
        self.leave.store(0, Ordering::Relaxed);
    }

    /// Where the thread `tid`, which has made a call, belongs.
    pub(super) fn of(&self, tid: i32) -> Side {
        let home = &self.by_caller[tid as usize % CALLERS];
        let known = Side::from_code(home.load(Ordering::Relaxed));
        let side = match known {
            Some(side) if self.is_to_leave(side) => side.other(),
            Some(side) => side,
            None => self.emptier(),
        };
        if known != Some(side) {
            home.store(side.code(), Ordering::Relaxed);
        }
        let load = &self.loads[side as usize];
        load.calls.fetch_add(1, Ordering::Relaxed);
        if load.latest_caller.swap(tid, Ordering::Relaxed) != tid {
            load.changes.fetch_add(1, Ordering::Relaxed);
        }
        side
    }

    /// Whether the caller is the one of this side that goes.
    fn is_to_leave(&self, side: Side) -> bool {
        self.leave.load(Ordering::Relaxed) == side.code()
            && self.leave.swap(0, Ordering::Relaxed) == side.code()
    }

    fn emptier(&self) -> Side {
        let [first, assistant] = self.calls();
        if first > assistant {
            Side::Assistant
        } else {
            Side::First
        }
    }

    fn calls(&self) -> [u32; 2] {
        [0, 1].map(|side: usize| self.loads[side].calls.load(Ordering::Relaxed))
    }

    /// Look at the calls since the last time; older ones count half.
    pub(super) fn balance(&self) {
        let calls = self.calls();
        for side in [Side::First, Side::Assistant] {
            let load = &self.loads[side as usize];
            let shared = load.changes.swap(0, Ordering::Relaxed) >= SHARED;
            let [here, there] = [side, side.other()].map(|side| calls[side as usize]);
            if shared && here >= LOPSIDED * there {
                self.leave.store(side.code(), Ordering::Relaxed);
            }
            load.calls.store(here / 2, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_callers_have_a_side_each() {
        let homes = Homes::new();
        for _ in 0..100 {
            assert_ne!(homes.of(7), homes.of(8));
        }
        homes.balance();
        assert_ne!(homes.of(7), homes.of(8));
    }

    #[test]
    fn a_newcomer_goes_where_less_is_called() {
        let homes = Homes::new();
        let busy = (0..50).map(|_| homes.of(7)).last();
        for newcomer in [8, 9, 10] {
            assert_eq!(Some(homes.of(newcomer).other()), busy);
        }
    }

    #[test]
    fn who_shares_a_side_while_the_other_idles_is_separated() {
        let homes = Homes::new();
        // The one in the middle ends.
        for caller in [7, 8, 9] {
            homes.of(caller);
        }
        assert_eq!(homes.of(7), homes.of(9));
        for _ in 0..100 {
            homes.of(7);
            homes.of(9);
        }
        homes.balance();
        homes.of(7);
        assert_ne!(homes.of(7), homes.of(9));
    }

    #[test]
    fn a_lone_caller_keeps_its_side() {
        let homes = Homes::new();
        let side = homes.of(7);
        for _ in 0..10 {
            for _ in 0..64 {
                assert_eq!(homes.of(7), side);
            }
            homes.balance();
        }
    }
}
