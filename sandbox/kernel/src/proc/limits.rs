//! The share of the machine that the container's cgroups allow, as LXCFS reckons it.

use std::os::fd::{AsFd, BorrowedFd};

use super::context::Context;
use super::host;
use super::view::{CgroupVersion, SystemFacts};

/// Bytes; what meminfo is made of.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    pub total: u64,
    pub free: u64,
    pub available: u64,
    pub cached: u64,
    pub active_anon: u64,
    pub inactive_anon: u64,
    pub active_file: u64,
    pub inactive_file: u64,
    pub unevictable: u64,
    pub dirty: u64,
    pub writeback: u64,
    pub anonymous: u64,
    pub mapped: u64,
    pub shmem: u64,
    pub slab: u64,
    pub slab_reclaimable: u64,
    pub kernel_stack: u64,
    pub page_tables: u64,
    pub swap_total: u64,
    pub swap_free: u64,
}

/// The value of `name` in lines of `name value [kB]`.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix([' ', ':']))?;
    line.split_whitespace().next()?.parse().ok()
}

impl Memory {
    pub(super) fn of_container(context: &Context) -> Memory {
        Memory::read(context.host_proc(), context.system())
    }

    /// What meminfo and sysinfo(2) of the container show now.
    pub fn read(host_proc: BorrowedFd<'_>, system: &SystemFacts) -> Memory {
        let host = host::text(host_proc, "meminfo").unwrap_or_default();
        let host = |name| field(&host, name).unwrap_or(0) << 10;
        let mut memory = Memory {
            total: host("MemTotal"),
            ..Memory::default()
        };
        let usage = match system.cgroup("memory") {
            Some((CgroupVersion::V1, dir)) => memory.follow_v1(dir, host("SwapTotal")),
            Some((CgroupVersion::V2, dir)) => memory.follow_v2(dir, host("SwapTotal")),
            None => 0,
        };
        memory.cached = memory.active_file + memory.inactive_file + memory.shmem;
        memory.free = memory.total.saturating_sub(usage);
        let reclaimable = memory.active_file + memory.inactive_file + memory.slab_reclaimable;
        // The host may have less left than the container's limit allows.
        memory.free = memory
            .free
            .min(host("MemFree").max(host("MemAvailable").saturating_sub(reclaimable)));
        memory.available = (memory.free + reclaimable).min(memory.total);
        memory
    }

    /// Returns the usage in bytes.
    fn follow_v1(&mut self, dir: impl AsFd + Copy, host_swap: u64) -> u64 {
        let stat = host::text(dir, "memory.stat").unwrap_or_default();
        let stat = |name| field(&stat, name).unwrap_or(0);
        let limit = stat("hierarchical_memory_limit");
        if limit != 0 {
            self.total = self.total.min(limit);
        }
        let usage = host::number(dir, "memory.usage_in_bytes").unwrap_or(0);
        self.active_anon = stat("total_active_anon");
        self.inactive_anon = stat("total_inactive_anon");
        self.active_file = stat("total_active_file");
        self.inactive_file = stat("total_inactive_file");
        self.unevictable = stat("total_unevictable");
        self.dirty = stat("total_dirty");
        self.writeback = stat("total_writeback");
        self.anonymous = stat("total_rss");
        self.mapped = stat("total_mapped_file");
        self.shmem = stat("total_shmem");
        self.slab = host::number(dir, "memory.kmem.usage_in_bytes").unwrap_or(0);
        let with_swap = stat("hierarchical_memsw_limit");
        if with_swap != 0 && limit != 0 {
            self.swap_total = host_swap.min(with_swap.saturating_sub(limit));
        } else {
            self.swap_total = host_swap;
        }
        self.swap_free = self.swap_total.saturating_sub(stat("total_swap"));
        usage
    }

    /// Returns the usage in bytes.
    fn follow_v2(&mut self, dir: impl AsFd + Copy, host_swap: u64) -> u64 {
        let stat = host::text(dir, "memory.stat").unwrap_or_default();
        let stat = |name| field(&stat, name).unwrap_or(0);
        if let Some(limit) = host::number(dir, "memory.max") {
            self.total = self.total.min(limit);
        }
        let usage = host::number(dir, "memory.current").unwrap_or(0);
        self.active_anon = stat("active_anon");
        self.inactive_anon = stat("inactive_anon");
        self.active_file = stat("active_file");
        self.inactive_file = stat("inactive_file");
        self.unevictable = stat("unevictable");
        self.dirty = stat("file_dirty");
        self.writeback = stat("file_writeback");
        self.anonymous = stat("anon");
        self.mapped = stat("file_mapped");
        self.shmem = stat("shmem");
        self.slab = stat("slab");
        self.slab_reclaimable = stat("slab_reclaimable");
        self.kernel_stack = stat("kernel_stack");
        self.page_tables = stat("pagetables");
        self.swap_total =
            host::number(dir, "memory.swap.max").map_or(host_swap, |limit| limit.min(host_swap));
        self.swap_free = self
            .swap_total
            .saturating_sub(host::number(dir, "memory.swap.current").unwrap_or(0));
        usage
    }
}

/// CPU time of the whole container in nanoseconds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct CpuTime {
    pub(super) user_ns: u64,
    pub(super) system_ns: u64,
}

impl CpuTime {
    /// Per visible CPU, in the order of `cpus`.
    pub(super) fn per_cpu(system: &SystemFacts, cpus: &[u32]) -> Vec<CpuTime> {
        match system.cgroup("cpuacct") {
            Some((CgroupVersion::V1, dir)) => {
                let table = host::text(dir, "cpuacct.usage_all").unwrap_or_default();
                let row = |cpu: u32| {
                    let line = table
                        .lines()
                        .find(|line| line.split(' ').next() == Some(cpu.to_string().as_str()))?;
                    let mut values = line
                        .split(' ')
                        .skip(1)
                        .map(|value| value.parse().unwrap_or(0));
                    Some(CpuTime {
                        user_ns: values.next()?,
                        system_ns: values.next()?,
                    })
                };
                cpus.iter()
                    .map(|&cpu| row(cpu).unwrap_or_default())
                    .collect()
            }
            Some((CgroupVersion::V2, dir)) => {
                // v2 has only the sum: shared out evenly.
                let stat = host::text(dir, "cpu.stat").unwrap_or_default();
                let share =
                    |name| field(&stat, name).unwrap_or(0) * 1000 / cpus.len().max(1) as u64;
                let time = CpuTime {
                    user_ns: share("user_usec"),
                    system_ns: share("system_usec"),
                };
                vec![time; cpus.len()]
            }
            None => vec![CpuTime::default(); cpus.len()],
        }
    }
}

/// The CPUs that the container sees: those of its cpuset, the first of them if the quota is for fewer.
pub(super) fn cpus(context: &Context) -> Vec<u32> {
    cpus_of(context.host_proc(), context.system())
}

/// The same of facts whose descriptors the calling thread has.
pub(super) fn cpus_of(host_proc: BorrowedFd<'_>, system: &SystemFacts) -> Vec<u32> {
    let own = host::text(host_proc, "self/status").unwrap_or_default();
    let own = own
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let mut cpus = parse_list(own.unwrap_or("0"));
    let set = match system.cgroup("cpuset") {
        Some((CgroupVersion::V1, dir)) => host::text(dir, "cpuset.effective_cpus").ok(),
        Some((CgroupVersion::V2, dir)) => host::text(dir, "cpuset.cpus.effective").ok(),
        None => None,
    };
    let set = parse_list(set.as_deref().unwrap_or(""));
    if !set.is_empty() {
        cpus = set;
    }
    if let Some(quota) = quota(system) {
        cpus.truncate(quota);
    }
    if cpus.is_empty() {
        cpus.push(0);
    }
    cpus
}

/// How many CPUs' worth of time the container may use, rounded up.
fn quota(system: &SystemFacts) -> Option<usize> {
    let (quota, period) = match system.cgroup("cpu")? {
        (CgroupVersion::V1, dir) => (
            host::number(dir, "cpu.cfs_quota_us")?,
            host::number(dir, "cpu.cfs_period_us")?,
        ),
        (CgroupVersion::V2, dir) => {
            let text = host::text(dir, "cpu.max").ok()?;
            let (quota, period) = text.trim().split_once(' ')?;
            (quota.parse().ok()?, period.parse().ok()?)
        }
    };
    let cpus = quota.div_ceil(period.max(1));
    usize::try_from(cpus).ok().filter(|&cpus| cpus > 0)
}

/// `0-2,5` as numbers.
pub(super) fn parse_list(list: &str) -> Vec<u32> {
    const MOST: u32 = 8192;
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse::<u32>().ok()?);
        Some(first..=last.min(MOST))
    };
    list.trim().split(',').filter_map(range).flatten().collect()
}

/// Numbers as `0-2,5`.
pub(super) fn format_list(cpus: &[u32]) -> String {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for &cpu in cpus {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == cpu => *last = cpu,
            _ => parts.push((cpu, cpu)),
        }
    }
    let part = |&(first, last): &(u32, u32)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    };
    parts.iter().map(part).collect::<Vec<_>>().join(",")
}

/// Numbers as the kernel's hexadecimal mask, `00000003`.
pub(super) fn format_mask(cpus: &[u32]) -> String {
    let words = cpus.iter().max().map_or(1, |last| last / 32 + 1);
    let word = |index: u32| {
        cpus.iter()
            .filter(|&&cpu| cpu / 32 == index)
            .fold(0u32, |mask, cpu| mask | 1 << (cpu % 32))
    };
    (0..words)
        .rev()
        .map(|index| format!("{:08x}", word(index)))
        .collect::<Vec<_>>()
        .join(",")
}
