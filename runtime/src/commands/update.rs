//! `update`: change limits of a container that exists.

use std::path::{Path, PathBuf};

use super::{Context, refuse_options};
use crate::cgroup::{CgroupError, limits};
use crate::spec::load;
use crate::spec::types::{Pids, Resources};
use crate::state::Status;
use crate::{RuntimeError, tier};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    pub id: String,
    /// File with a `linux.resources` object, - for standard input; the other options are then ignored
    #[arg(long, short = 'r', value_name = "FILE")]
    pub resources: Option<PathBuf>,
    #[arg(long)]
    pub blkio_weight: Option<u16>,
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_period: Option<u64>,
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    pub cpu_quota: Option<i64>,
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_burst: Option<u64>,
    #[arg(long)]
    pub cpu_share: Option<u64>,
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_rt_period: Option<u64>,
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    pub cpu_rt_runtime: Option<i64>,
    /// 1 schedules the container only where nobody else wants to run, 0 undoes that
    #[arg(long, allow_hyphen_values = true)]
    pub cpu_idle: Option<i64>,
    #[arg(long)]
    pub cpuset_cpus: Option<String>,
    #[arg(long)]
    pub cpuset_mems: Option<String>,
    /// In bytes, or with a unit as in 128m; -1 is no limit
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, value_parser = bytes)]
    pub memory: Option<i64>,
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, value_parser = bytes)]
    pub memory_reservation: Option<i64>,
    /// Memory and swap together
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, value_parser = bytes)]
    pub memory_swap: Option<i64>,
    /// Ignored: Linux has given this limit up
    #[arg(long, hide = true, allow_hyphen_values = true)]
    pub kernel_memory: Option<String>,
    #[arg(long, hide = true, allow_hyphen_values = true)]
    pub kernel_memory_tcp: Option<String>,
    #[arg(long, allow_hyphen_values = true)]
    pub pids_limit: Option<i64>,
    /// Not supported
    #[arg(long, hide = true)]
    pub l3_cache_schema: Option<String>,
    /// Not supported
    #[arg(long, hide = true)]
    pub mem_bw_schema: Option<String>,
}

/// Bytes as runc takes them: a number, and perhaps b, k, m, g or t for powers of 1024.
fn bytes(text: &str) -> Result<i64, String> {
    let lower = text.to_ascii_lowercase();
    let trimmed = lower
        .trim_end_matches("ib")
        .trim_end_matches('b')
        .trim_end();
    let (digits, shift) = match trimmed.char_indices().last() {
        Some((at, 'k')) => (&trimmed[..at], 10),
        Some((at, 'm')) => (&trimmed[..at], 20),
        Some((at, 'g')) => (&trimmed[..at], 30),
        Some((at, 't')) => (&trimmed[..at], 40),
        _ => (trimmed, 0),
    };
    let number: i64 = digits
        .trim()
        .parse()
        .map_err(|_| "not a number of bytes".to_owned())?;
    match number {
        -1 if shift == 0 => Ok(-1),
        0.. => number
            .checked_mul(1 << shift)
            .ok_or_else(|| "too large".to_owned()),
        _ => Err("negative, and not -1".to_owned()),
    }
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<(), RuntimeError> {
    refuse_options(&[
        ("--l3-cache-schema", &arguments.l3_cache_schema),
        ("--mem-bw-schema", &arguments.mem_bw_schema),
        ("--kernel-memory-tcp", &arguments.kernel_memory_tcp),
    ])?;
    let entry = context.store.entry(&arguments.id)?;
    let _lock = entry.lock()?;
    let mut state = entry.load()?;
    let status = state.status();
    if matches!(status, Status::Stopped | Status::Creating) {
        return Err(RuntimeError::WrongStatus {
            action: "update",
            status,
        });
    }
    let known = state.spec.linux.resources.clone();
    let mut wanted = wanted(arguments)?;
    complete(&mut wanted, &known);
    let tier = tier::of(&state)?;
    tier.limit(&entry, &wanted)?;
    let limits = tier.on_host(&wanted);
    if let Some(scope) = &state.cgroup.scope {
        scope
            .update(state.cgroup.version, &limits)
            .map_err(CgroupError::from)?;
    }
    limits::apply(&state.cgroup, &limits)?;
    remember(&mut state.spec.linux.resources, &wanted);
    Ok(entry.save(&state)?)
}

fn wanted(arguments: &Arguments) -> Result<Resources, RuntimeError> {
    match &arguments.resources {
        Some(path) if path == Path::new("-") => {
            return Ok(load::parse(std::io::stdin().lock(), "standard input")?);
        }
        Some(path) => return Ok(load::document(path)?),
        None => {}
    }
    let mut resources = Resources::default();
    resources.block_io.weight = arguments.blkio_weight;
    resources.cpu.period = arguments.cpu_period;
    resources.cpu.quota = arguments.cpu_quota;
    resources.cpu.burst = arguments.cpu_burst;
    resources.cpu.shares = arguments.cpu_share;
    resources.cpu.realtime_period = arguments.cpu_rt_period;
    resources.cpu.realtime_runtime = arguments.cpu_rt_runtime;
    resources.cpu.idle = arguments.cpu_idle;
    resources.cpu.cpus = arguments.cpuset_cpus.clone().unwrap_or_default();
    resources.cpu.mems = arguments.cpuset_mems.clone().unwrap_or_default();
    resources.memory.limit = arguments.memory;
    resources.memory.reservation = arguments.memory_reservation;
    resources.memory.swap = arguments.memory_swap;
    resources.pids = arguments
        .pids_limit
        .map(|limit| Pids { limit: Some(limit) });
    Ok(resources)
}

/// What Linux takes only in pairs is completed by what was set before: quota and period, swap and memory.
fn complete(wanted: &mut Resources, known: &Resources) {
    if wanted.cpu.quota.is_some() || wanted.cpu.period.is_some() {
        wanted.cpu.quota = wanted.cpu.quota.or(known.cpu.quota);
        wanted.cpu.period = wanted.cpu.period.or(known.cpu.period);
    }
    if wanted.memory.swap.is_some() {
        wanted.memory.limit = wanted.memory.limit.or(known.memory.limit);
    }
}

/// Keep for the next update what may need completing then, and for `pids` and `cpuset` what users see.
fn remember(known: &mut Resources, wanted: &Resources) {
    fn keep<T: Copy>(slot: &mut Option<T>, value: Option<T>) {
        *slot = value.or(*slot);
    }
    keep(&mut known.cpu.quota, wanted.cpu.quota);
    keep(&mut known.cpu.period, wanted.cpu.period);
    keep(&mut known.cpu.burst, wanted.cpu.burst);
    keep(&mut known.cpu.shares, wanted.cpu.shares);
    keep(&mut known.cpu.idle, wanted.cpu.idle);
    keep(&mut known.memory.limit, wanted.memory.limit);
    keep(&mut known.memory.swap, wanted.memory.swap);
    keep(&mut known.memory.reservation, wanted.memory.reservation);
    if wanted.pids.is_some() {
        known.pids.clone_from(&wanted.pids);
    }
    for (slot, value) in [
        (&mut known.cpu.cpus, &wanted.cpu.cpus),
        (&mut known.cpu.mems, &wanted.cpu.mems),
    ] {
        if !value.is_empty() {
            slot.clone_from(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_may_have_units() {
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("128m"), Ok(128 << 20));
        assert_eq!(bytes("1GB"), Ok(1 << 30));
        assert_eq!(bytes("2KiB"), Ok(2048));
        assert_eq!(bytes("-1"), Ok(-1));
        for wrong in ["", "m", "-2", "1x", "99999999999t", "-1m"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_period_alone_keeps_the_quota() {
        let mut known = Resources::default();
        known.cpu.quota = Some(50_000);
        let mut wanted = Resources::default();
        wanted.cpu.period = Some(200_000);
        complete(&mut wanted, &known);
        assert_eq!(wanted.cpu.quota, Some(50_000));
        remember(&mut known, &wanted);
        assert_eq!(
            (known.cpu.quota, known.cpu.period),
            (Some(50_000), Some(200_000))
        );
    }
}
