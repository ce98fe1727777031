//! loadavg: how many CPUs the container has kept busy lately.
//!
//! The host's load would tell of other containers. There is no timer either: each look takes the CPU time used
//! since the last one and lets the averages follow it.

use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};

use super::cpu::threads;
use crate::proc::context::Context;
use crate::proc::limits::{self, CpuTime};
use crate::proc::view::SystemFacts;

const WINDOWS_S: [f64; 3] = [60.0, 300.0, 900.0];
/// Looks closer together than this see the same averages.
const SHORTEST_S: f64 = 1.0;

/// The averages of one container, which /proc/loadavg and sysinfo(2) show alike.
#[derive(Debug, Default)]
pub struct Load(Mutex<Averages>);

impl Load {
    /// Over one, five and fifteen minutes, as of `uptime_ns` after the container began.
    pub fn now(&self, host_proc: BorrowedFd<'_>, system: &SystemFacts, uptime_ns: u64) -> [f64; 3] {
        let cpus = limits::cpus_of(host_proc, system);
        let used_ns = |time: &CpuTime| time.user_ns + time.system_ns;
        let used: u64 = CpuTime::per_cpu(system, &cpus).iter().map(used_ns).sum();
        let mut averages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        averages.follow(uptime_ns as f64 / 1e9, used as f64 / 1e9);
        averages.loads
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Averages {
    at_s: f64,
    used_s: f64,
    loads: [f64; 3],
}

impl Averages {
    fn follow(&mut self, now_s: f64, used_s: f64) {
        let elapsed = now_s - self.at_s;
        if elapsed < SHORTEST_S {
            return;
        }
        let busy = (used_s - self.used_s).max(0.0) / elapsed;
        for (load, window) in self.loads.iter_mut().zip(WINDOWS_S) {
            let weight = (-elapsed / window).exp();
            *load = *load * weight + busy * (1.0 - weight);
        }
        self.at_s = now_s;
        self.used_s = used_s;
    }
}

pub(crate) fn loadavg(context: &Context) -> Vec<u8> {
    let now = |load: &Load| load.now(context.host_proc(), context.system(), context.uptime_ns());
    let [one, five, fifteen] = context.guests.load().map(now).unwrap_or_default();
    let (running, all, last) = threads(context);
    format!("{one:.2} {five:.2} {fifteen:.2} {running}/{all} {last}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::Averages;

    #[test]
    fn a_busy_cpu_becomes_a_load_of_one() {
        let mut averages = Averages::default();
        averages.follow(3600.0, 3600.0);
        assert!(
            averages
                .loads
                .iter()
                .all(|load| (0.98..=1.0).contains(load)),
            "{averages:?}"
        );
        averages.follow(3660.0, 3600.0);
        assert!(
            averages.loads[0] < 0.4 && averages.loads[2] > 0.9,
            "{averages:?}"
        );
    }

    #[test]
    fn looks_in_quick_succession_change_nothing() {
        let mut averages = Averages::default();
        averages.follow(100.0, 50.0);
        let before = averages;
        averages.follow(100.5, 51.0);
        assert_eq!(averages, before);
    }
}
