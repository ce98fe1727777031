//! How large a machine is, and what its host gives it.

use crate::cgroup::limits::or_max;
use crate::cgroup::limits::weight_of_shares;
use crate::spec::types::Resources;

/// What the guest kernel and the agent take of a machine's memory.
const GUEST_OVERHEAD_MIB: u32 = 64;
/// What the monitor and the process beside it take.
const HOST_OVERHEAD_MIB: u32 = 32;
/// For a container without a limit. The host gives it when it is used first, and until then it costs nothing.
const DEFAULT_MIB: u32 = 512;
/// The monitor's devices need some threads whatever the guest's limit is.
const MAX_VCPUS: u8 = 32;

/// Memory of the machine, in MiB.
pub(super) fn memory_mib(limits: &Resources) -> u32 {
    match limits.memory.limit {
        Some(bytes) if bytes > 0 => {
            let mib = bytes.unsigned_abs().div_ceil(1 << 20);
            u32::try_from(mib)
                .unwrap_or(u32::MAX / 2)
                .saturating_add(GUEST_OVERHEAD_MIB)
        }
        _ => DEFAULT_MIB,
    }
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
    let overhead = i64::from(GUEST_OVERHEAD_MIB + HOST_OVERHEAD_MIB) << 20;
    for limit in [
        &mut limits.memory.limit,
        &mut limits.memory.swap,
        &mut limits.memory.reservation,
    ] {
        if let Some(bytes) = limit.as_mut().filter(|bytes| **bytes > 0) {
            *bytes = bytes.saturating_add(overhead);
        }
    }
    limits.pids = None;
    limits
}

/// The container's limits as files of its control group in the guest.
pub(super) fn in_guest(limits: &Resources) -> Vec<(String, String)> {
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
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_leave_room_for_the_machine() {
        let mut limits = Resources::default();
        assert_eq!((memory_mib(&limits), vcpus(&limits)), (DEFAULT_MIB, 1));
        limits.memory.limit = Some(100 << 20);
        limits.memory.swap = Some(-1);
        limits.cpu.quota = Some(150_000);
        assert_eq!((memory_mib(&limits), vcpus(&limits)), (164, 2));
        let host = on_host(&limits);
        assert_eq!(host.memory.limit, Some(196 << 20));
        assert_eq!(host.memory.swap, Some(-1));
        limits.memory.limit = Some(i64::MAX);
        assert!(memory_mib(&limits) > 1 << 20 && on_host(&limits).memory.limit == Some(i64::MAX));
    }
    #[test]
    fn the_guest_is_told_what_was_given() {
        let mut limits = Resources::default();
        assert!(in_guest(&limits).is_empty());
        limits.memory.limit = Some(-1);
        limits.cpu.quota = Some(20_000);
        limits.pids = Some(crate::spec::types::Pids { limit: Some(0) });
        let files = in_guest(&limits);
        let files: Vec<_> = files
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let wanted = [
            ("memory.max", "max"),
            ("pids.max", "max"),
            ("cpu.max", "20000 100000"),
        ];
        assert_eq!(files, wanted);
    }
}
