//! cpuinfo, stat, uptime.

use std::fmt::Write;

use crate::proc::context::Context;
use crate::proc::host;
use crate::proc::limits::{self, CpuTime};

/// USER_HZ is 100 on x86-64.
const NS_PER_TICK: u64 = 10_000_000;

/// The host's entries of the visible CPUs. Their numbers are kept: they are valid for sched_setaffinity(2).
pub(crate) fn cpuinfo(context: &Context) -> Vec<u8> {
    let cpus = limits::cpus(context);
    let all = host::text(context.host_proc(), "cpuinfo").unwrap_or_default();
    let number = |block: &str| {
        block
            .lines()
            .next()?
            .strip_prefix("processor")?
            .split(':')
            .nth(1)?
            .trim()
            .parse()
            .ok()
    };
    let mut text = String::new();
    for block in all.split_terminator("\n\n") {
        if number(block).is_some_and(|number| cpus.contains(&number)) {
            let _ = write!(text, "{block}\n\n");
        }
    }
    text.into_bytes()
}

struct Ticks {
    user: u64,
    system: u64,
    idle: u64,
}

impl Ticks {
    fn line(&self, name: &str) -> String {
        format!(
            "{name} {} 0 {} {} 0 0 0 0 0 0\n",
            self.user, self.system, self.idle
        )
    }
}

fn ticks(context: &Context, cpus: &[u32]) -> Vec<Ticks> {
    let uptime = context.uptime_ns() / NS_PER_TICK;
    let ticks = |time: CpuTime| {
        let (user, system) = (time.user_ns / NS_PER_TICK, time.system_ns / NS_PER_TICK);
        Ticks {
            user,
            system,
            idle: uptime.saturating_sub(user + system),
        }
    };
    CpuTime::per_cpu(context.system(), cpus)
        .into_iter()
        .map(ticks)
        .collect()
}

pub(crate) fn stat(context: &Context) -> Vec<u8> {
    let cpus = limits::cpus(context);
    let ticks = ticks(context, &cpus);
    let sum = |part: fn(&Ticks) -> u64| ticks.iter().map(part).sum();
    let total = Ticks {
        user: sum(|one| one.user),
        system: sum(|one| one.system),
        idle: sum(|one| one.idle),
    };
    let mut text = total.line("cpu ");
    for (cpu, one) in cpus.iter().zip(&ticks) {
        text += &one.line(&format!("cpu{cpu}"));
    }
    let (_, _, last) = threads(context);
    let _ = write!(
        text,
        "intr 0\nctxt 0\nbtime {}\nprocesses {last}\nprocs_running 1\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
        context.system().boot_epoch_s
    );
    text.into_bytes()
}

pub(crate) fn uptime(context: &Context) -> Vec<u8> {
    let cpus = limits::cpus(context);
    let idle: u64 = ticks(context, &cpus).iter().map(|one| one.idle).sum();
    let centiseconds = context.uptime_ns() / NS_PER_TICK;
    let part = |value: u64| format!("{}.{:02}", value / 100, value % 100);
    format!("{} {}\n", part(centiseconds), part(idle)).into_bytes()
}

/// (running, all, highest pid) of the guest.
pub(super) fn threads(context: &Context) -> (usize, usize, u32) {
    let Ok(proc) = context.guest_proc() else {
        return (0, 0, 0);
    };
    let names = host::names(&*proc, ".").unwrap_or_default();
    let pids = || {
        names
            .iter()
            .filter_map(|(name, _)| name.parse::<u32>().ok())
    };
    // Who reads this is running; more is not worth a look at every process.
    (1, pids().count(), pids().max().unwrap_or(0))
}
