//! How large a machine is, and what its host gives it.

use std::str::FromStr;

use crate::cgroup::limits::or_max;
use crate::cgroup::limits::weight_of_shares;
use crate::spec::types::Resources;
use crate::spec::{Spec, SpecError};

/// What all containers of a pod may use together, as containerd's CRI plugin tells it of the first of them.
const POD_MEMORY: &str = "io.kubernetes.cri.sandbox-memory";
const POD_QUOTA: &str = "io.kubernetes.cri.sandbox-cpu-quota";
const POD_PERIOD: &str = "io.kubernetes.cri.sandbox-cpu-period";

/// What the guest kernel and the agent take of a machine's memory, however large it is.
const GUEST_OVERHEAD_MIB: u64 = 64;
/// The guest's kernel has 64 bytes (`struct page`) for each page of 4 KiB.
const MEMORY_PER_OVERHEAD: u64 = 64;
/// What the monitor and the process beside it take.
const HOST_OVERHEAD_MIB: u64 = 32;
/// For a container without a limit. The host gives it when it is used first, and until then it costs nothing.
const DEFAULT_MIB: u32 = 512;
/// The monitor's devices need some threads whatever the guest's limit is.
const MAX_VCPUS: u8 = 32;

/// The limits that a machine is made for: the pod's, or those of the only container.
pub(super) fn of_machine(spec: &Spec) -> Result<Resources, SpecError> {
    let mut limits = spec.linux.resources.clone();
    if let Some(bytes) = annotation(spec, POD_MEMORY)? {
        limits.memory.limit = Some(bytes);
    }
    if let Some(quota) = annotation(spec, POD_QUOTA)? {
        limits.cpu.quota = Some(quota);
    }
    if let Some(period) = annotation(spec, POD_PERIOD)? {
        limits.cpu.period = Some(period);
    }
    Ok(limits)
}

/// A number that is given and not zero, which stands for "not known".
fn annotation<T: FromStr + Default + PartialEq>(
    spec: &Spec,
    name: &str,
) -> Result<Option<T>, SpecError> {
    let Some(text) = spec.annotations.get(name) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(number) => Ok(Some(number).filter(|number| *number != T::default())),
        Err(_) => {
            let field = format!("annotations.{name}");
            Err(SpecError::invalid(field, text, "not a number"))
        }
    }
}

/// Memory of the machine, in MiB.
pub(super) fn memory_mib(limits: &Resources) -> u32 {
    match limits.memory.limit {
        Some(bytes) if bytes > 0 => {
            let mib = bytes.unsigned_abs().div_ceil(1 << 20);
            u32::try_from(mib + guest_overhead_mib(mib)).unwrap_or(u32::MAX / 2)
        }
        _ => DEFAULT_MIB,
    }
}

/// Beside so much for its containers.
fn guest_overhead_mib(mib: u64) -> u64 {
    GUEST_OVERHEAD_MIB + mib / MEMORY_PER_OVERHEAD
}

/// How much a machine can grow, in MiB: by as much as the host has. What is not used costs nothing.
pub(super) fn growth_mib() -> u32 {
    /// The monitor adds memory in blocks of this size.
    const BLOCK_MIB: u64 = 128;
    /// The monitor's own limit.
    const MAX_MIB: u64 = 1 << 20;
    let host = rustix::system::sysinfo();
    let mib = host.totalram.saturating_mul(host.mem_unit.into()) >> 20;
    (mib.min(MAX_MIB) / BLOCK_MIB * BLOCK_MIB) as u32
}

/// As many CPUs as the quota is worth, one without a quota.
pub(super) fn vcpus(limits: &Resources) -> u8 {
    let period = limits.cpu.period.filter(|period| *period > 0);
    let period = period.unwrap_or(100_000);
    match limits.cpu.quota {
        Some(quota) if quota > 0 => {
            let whole = quota.unsigned_abs().div_ceil(period);
            u8::try_from(whole).unwrap_or(MAX_VCPUS).min(MAX_VCPUS)
        }
        _ => 1,
    }
}

/// The container's limits for its cgroup on the host: with room for what surrounds the container there. How many
/// processes there are is the guest's matter.
pub(super) fn on_host(limits: &Resources) -> Resources {
    let mut limits = limits.clone();
    let with_overhead = |bytes: i64| {
        let mib = guest_overhead_mib(bytes.unsigned_abs() >> 20) + HOST_OVERHEAD_MIB;
        bytes.saturating_add_unsigned(mib << 20)
    };
    for limit in [
        &mut limits.memory.limit,
        &mut limits.memory.swap,
        &mut limits.memory.reservation,
    ] {
        if let Some(bytes) = limit.as_mut().filter(|bytes| **bytes > 0) {
            *bytes = with_overhead(*bytes);
        }
    }
    limits.pids = None;
    limits
}

/// The container's limits as files of its control group in the guest, which has this many CPUs.
pub(super) fn in_guest(limits: &Resources, vcpus: u8) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut set = |name: &str, value: String| files.push((name.to_owned(), value));
    let given = |value: Option<i64>| value.filter(|value| *value != 0);
    if let Some(limit) = given(limits.memory.limit) {
        set("memory.max", or_max(limit));
    }
    if let Some(reservation) = given(limits.memory.reservation) {
        set("memory.low", or_max(reservation));
    }
    if let Some(limit) = limits.pids.as_ref().and_then(|pids| pids.limit) {
        let value = if limit > 0 { limit } else { -1 };
        set("pids.max", or_max(value));
    }
    if let Some(shares) = limits.cpu.shares.filter(|shares| *shares != 0) {
        set("cpu.weight", weight_of_shares(shares).to_string());
    }
    if let Some(quota) = given(limits.cpu.quota) {
        let period = limits.cpu.period.filter(|period| *period != 0);
        let period = period.unwrap_or(100_000);
        set("cpu.max", format!("{} {period}", or_max(quota)));
    }
    if let Some(burst) = limits.cpu.burst {
        set("cpu.max.burst", burst.to_string());
    }
    if let Some(idle) = limits.cpu.idle {
        set("cpu.idle", idle.to_string());
    }
    // Which of the host's CPUs they are is the host's cgroup's matter; the guest knows its own only.
    if let Some(count) = listed(&limits.cpu.cpus) {
        let last = count.clamp(1, u64::from(vcpus.max(1))) - 1;
        set("cpuset.cpus", format!("0-{last}"));
    }
    files
}

/// How many CPUs a list such as `0-2,5` names; `None` for one that is empty, or none.
fn listed(cpus: &str) -> Option<u64> {
    let one = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u32>().ok();
        let span = number(last)?.checked_sub(number(first)?)?;
        Some(u64::from(span) + 1)
    };
    cpus.split(',').map(one).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_as_large_as_its_pod() {
        let mut spec = Spec::default();
        spec.linux.resources.memory.limit = Some(1 << 20);
        for (name, value) in [
            (POD_MEMORY, "268435456"),
            (POD_QUOTA, "250000"),
            (POD_PERIOD, "0"),
        ] {
            spec.annotations.insert(name.into(), value.into());
        }
        let limits = of_machine(&spec).expect("numbers");
        assert_eq!(
            (memory_mib(&limits), vcpus(&limits)),
            (256 + 4 + GUEST_OVERHEAD_MIB as u32, 3)
        );
        spec.annotations.insert(POD_MEMORY.into(), "much".into());
        let error = of_machine(&spec).expect_err("no number").to_string();
        assert!(
            error.contains(POD_MEMORY) && error.contains("much"),
            "{error}"
        );
    }

    #[test]
    fn limits_leave_room_for_the_machine() {
        let mut limits = Resources::default();
        assert_eq!((memory_mib(&limits), vcpus(&limits)), (DEFAULT_MIB, 1));
        limits.memory.limit = Some(100 << 20);
        limits.memory.swap = Some(-1);
        limits.cpu.quota = Some(150_000);
        assert_eq!((memory_mib(&limits), vcpus(&limits)), (165, 2));
        let host = on_host(&limits);
        assert_eq!(host.memory.limit, Some(197 << 20));
        assert_eq!(host.memory.swap, Some(-1));
        limits.memory.limit = Some(i64::MAX);
        assert!(memory_mib(&limits) > 1 << 20 && on_host(&limits).memory.limit == Some(i64::MAX));
    }

    #[test]
    fn the_guest_is_told_what_was_given() {
        let mut limits = Resources::default();
        assert!(in_guest(&limits, 2).is_empty());
        limits.memory.limit = Some(-1);
        limits.cpu.quota = Some(20_000);
        limits.pids = Some(crate::spec::types::Pids { limit: Some(0) });
        limits.cpu.cpus = "4-6,9".into();
        let files = in_guest(&limits, 2);
        let files: Vec<_> = files
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let wanted = [
            ("memory.max", "max"),
            ("pids.max", "max"),
            ("cpu.max", "20000 100000"),
            ("cpuset.cpus", "0-1"),
        ];
        assert_eq!(files, wanted);
    }

    #[test]
    fn lists_of_cpus_are_counted() {
        assert_eq!((listed("0-2,5"), listed("7")), (Some(4), Some(1)));
        assert_eq!(listed("0-4294967295,0-4294967295"), Some(1 << 33));
        assert_eq!((listed(""), listed("3-1"), listed("x")), (None, None, None));
    }
}
