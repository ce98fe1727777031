//! When several guests call at once.
//!
//! Calls and answers wake on the waker's own processor, which is what makes a single guest's calls fast. But guests that
//! call at the same time all end up on the processor of the one thread that serves them, while the others idle: two
//! compilers share one processor. So while calls of different threads alternate quickly, two threads receive, each
//! keeping to a processor of its own, and an answer leaves its caller on the processor where it belongs (module
//! `homes`).
//!
//! Not always, because every call wakes all who receive: with a second receiver a lone guest's call costs twice as much.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use caisson_sys::affinity;
use caisson_sys::notify::{Listener, WakeUp};
use caisson_sys::signal;
use rustix::io::Errno;

use super::homes::{Homes, Side};

/// How many calls are looked at together.
const WINDOW: u32 = 64;
/// From how many changes of the calling thread in a window on guests count as calling at once. Make with two compilers
/// has up to 60, a web server and its client, which wait for each other, 24 to 39, a shell with its children 1 to 8.
const MANY_CHANGES: u32 = WINDOW * 5 / 8;
/// With two receivers calls are not served in turns any more: two guests that have nothing to do with each other
/// change at every second call.
const ENOUGH_CHANGES: u32 = WINDOW / 4;
/// Calls that come more slowly do not compete for the server.
const LONGEST_WINDOW: Duration = Duration::from_millis(15);
/// One up for each crowded window, one down for each other: at `BEGIN` the second receiver comes, at 0 it goes.
const BEGIN: u32 = 2;
const HIGHEST: u32 = 6;

/// No assistant, none wanted.
const NONE: i32 = 0;
/// One is wanted.
const WANTED: i32 = -1;
/// It has been asked for and does not run yet.
const COMING: i32 = -2;

pub(super) struct Crowd {
    began: Instant,
    /// Nanoseconds after `began` at which the window began.
    window_ns: AtomicU64,
    calls: AtomicU32,
    changes: AtomicU32,
    latest_caller: AtomicI32,
    score: AtomicU32,
    /// Two threads are to receive.
    on: AtomicBool,
    /// Thread id of the second receiver, or one of the constants above.
    assistant: AtomicI32,
    /// It waits for a call: only then may a signal reach it, which might end what it does for a guest.
    awaits: AtomicBool,
    /// Where it runs.
    cpu: AtomicU32,
    homes: Homes,
}

impl std::fmt::Debug for Crowd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crowd")
            .field("on", &self.on)
            .field("assistant", &self.assistant)
            .finish_non_exhaustive()
    }
}

impl Crowd {
    pub(super) fn new() -> Crowd {
        Crowd {
            began: Instant::now(),
            window_ns: AtomicU64::new(0),
            calls: AtomicU32::new(0),
            changes: AtomicU32::new(0),
            latest_caller: AtomicI32::new(0),
            score: AtomicU32::new(0),
            on: AtomicBool::new(false),
            assistant: AtomicI32::new(NONE),
            awaits: AtomicBool::new(false),
            cpu: AtomicU32::new(0),
            homes: Homes::new(),
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// A call has come from this thread.
    pub(super) fn called(&self, tid: i32) {
        if self.latest_caller.swap(tid, Ordering::Relaxed) != tid {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
        if self.calls.fetch_add(1, Ordering::Relaxed) + 1 < WINDOW {
            return;
        }
        self.calls.store(0, Ordering::Relaxed);
        let changes = self.changes.swap(0, Ordering::Relaxed);
        let now_ns = self.began.elapsed().as_nanos() as u64;
        let took_ns = now_ns.saturating_sub(self.window_ns.swap(now_ns, Ordering::Relaxed));
        let quick = took_ns < LONGEST_WINDOW.as_nanos() as u64;
        let many = if self.is_on() {
            self.homes.balance();
            ENOUGH_CHANGES
        } else {
            MANY_CHANGES
        };
        self.judge(quick && changes >= many);
    }

    fn judge(&self, crowded: bool) {
        let score = self.score.load(Ordering::Relaxed);
        let score = if crowded {
            (score + 1).min(HIGHEST)
        } else {
            score.saturating_sub(1)
        };
        self.score.store(score, Ordering::Relaxed);
        if score >= BEGIN && !self.is_on() {
            self.begin();
        } else if score == 0 {
            self.end();
        }
    }

    fn begin(&self) {
        let Some(cpu) = affinity::another() else {
            return;
        };
        let asked =
            self.assistant
                .compare_exchange(NONE, WANTED, Ordering::AcqRel, Ordering::Relaxed);
        if asked.is_ok() {
            self.cpu.store(cpu as u32, Ordering::Relaxed);
            self.homes.clear();
            self.on.store(true, Ordering::Release);
        }
    }

    /// Also if it is over already: the assistant may have missed the signal just before it began to wait. One that serves
    /// looks for itself before it waits again.
    fn end(&self) {
        self.on.store(false, Ordering::Release);
        let assistant = self.assistant.load(Ordering::Acquire);
        if assistant > 0 && self.awaits.load(Ordering::Acquire) {
            signal::wake_thread(assistant);
        }
    }

    /// Whether an assistant is to be started, which is told once.
    pub(super) fn wants_assistant(&self) -> bool {
        self.assistant.load(Ordering::Relaxed) == WANTED
            && self
                .assistant
                .compare_exchange(WANTED, COMING, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    pub(super) fn no_assistant(&self) {
        self.on.store(false, Ordering::Release);
        self.assistant.store(NONE, Ordering::Release);
    }

    /// Before the first receiver waits: keep to a processor, or not any more.
    pub(super) fn settle(&self) {
        match (self.is_on(), affinity::stays()) {
            (true, false) => {
                // The assistant has another one.
                let own = affinity::current();
                if own as u32 == self.cpu.load(Ordering::Relaxed) {
                    self.cpu
                        .store(affinity::another().unwrap_or(own) as u32, Ordering::Relaxed);
                }
                affinity::stay_on(own);
            }
            (false, true) => affinity::roam(),
            _ => {}
        }
    }

    /// Before the assistant waits. False: it is to end.
    pub(super) fn settle_assistant(&self) -> bool {
        if !self.is_on() {
            self.assistant.store(NONE, Ordering::Release);
            return false;
        }
        if !affinity::stays() {
            let tid = rustix::thread::gettid().as_raw_nonzero().get();
            self.assistant.store(tid, Ordering::Release);
            signal::block_wake(false);
            affinity::stay_on(self.cpu.load(Ordering::Relaxed) as usize);
        }
        self.awaits.store(true, Ordering::Release);
        true
    }

    /// The assistant waits no more.
    pub(super) fn assistant_woke(&self) {
        self.awaits.store(false, Ordering::Release);
    }

    /// Answer a call of the thread `tid`, so that it goes on where it belongs.
    pub(super) fn answer(
        &self,
        listener: &Listener,
        tid: i32,
        send: impl FnOnce() -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        if !self.is_on() {
            return send();
        }
        let here = match affinity::current() as u32 == self.cpu.load(Ordering::Relaxed) {
            true => Side::Assistant,
            false => Side::First,
        };
        if self.homes.of(tid) == here {
            return send();
        }
        // The flag is the listener's: what others send meanwhile wakes where the scheduler likes, too.
        let away = listener.set_wake_up(WakeUp::Anywhere).is_ok();
        let sent = send();
        if away {
            listener.set_wake_up(WakeUp::OnThisCpu).ok();
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(crowd: &Crowd, callers: &[i32], count: usize) {
        for index in 0..count {
            crowd.called(callers[index % callers.len()]);
        }
    }

    #[test]
    fn a_lone_guest_is_no_crowd() {
        let crowd = Crowd::new();
        calls(&crowd, &[7], 100 * WINDOW as usize);
        // Ten calls each, one process after the other.
        for tid in 1..100 {
            calls(&crowd, &[tid], 10);
        }
        // Two that wait for each other after two calls each.
        calls(&crowd, &[7, 7, 8, 8], 100 * WINDOW as usize);
        assert!(!crowd.is_on() && !crowd.wants_assistant());
    }

    #[test]
    fn guests_that_call_in_turns_are_one_until_they_cease() {
        let crowd = Crowd::new();
        calls(&crowd, &[7, 8], BEGIN as usize * WINDOW as usize);
        if affinity::another().is_none() {
            return;
        }
        assert!(crowd.is_on());
        assert!(crowd.wants_assistant(), "an assistant is asked for");
        assert!(!crowd.wants_assistant(), "once");
        calls(&crowd, &[7], (HIGHEST * WINDOW) as usize);
        assert!(!crowd.is_on());
        // The one that was asked for comes too late, and makes room for another.
        assert!(!crowd.settle_assistant());
        calls(&crowd, &[7, 8], BEGIN as usize * WINDOW as usize);
        assert!(crowd.wants_assistant());
    }
}
