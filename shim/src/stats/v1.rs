//! Metrics from cgroup v1. Times are in nanoseconds, sizes in bytes.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use containerd_shim_protos::cgroups::metrics::{
    BlkIOEntry, BlkIOStat, CPUStat, CPUUsage, HugetlbStat, MemoryEntry, MemoryOomControl,
    MemoryStat, Metrics, PidsStat, Throttle,
};
use containerd_shim_protos::protobuf::MessageField;

use super::{Flat, device, huge_page_sizes, number};

/// Nanoseconds in a tick of cpuacct.stat: USER_HZ is 100 on every Linux that containerd runs on.
const TICK_NS: u64 = 10_000_000;

pub(crate) fn read(folders: &HashMap<String, PathBuf>) -> Metrics {
    let mut metrics = Metrics::new();
    let folder = |controller: &str| folders.get(controller);
    if let Some(pids) = folder("pids") {
        metrics.pids = MessageField::some(read_pids(pids));
    }
    if folder("cpuacct").is_some() || folder("cpu").is_some() {
        metrics.cpu = MessageField::some(read_cpu(folder("cpuacct"), folder("cpu")));
    }
    if let Some(memory) = folder("memory") {
        metrics.memory = MessageField::some(read_memory(memory));
        metrics.memory_oom_control = MessageField::some(read_oom(memory));
    }
    if let Some(blkio) = folder("blkio") {
        metrics.blkio = MessageField::some(read_blkio(blkio));
    }
    if let Some(hugetlb) = folder("hugetlb") {
        metrics.hugetlb = huge_page_sizes(hugetlb, ".usage_in_bytes")
            .into_iter()
            .map(|size| HugetlbStat {
                usage: number(hugetlb, &format!("hugetlb.{size}.usage_in_bytes")),
                max: number(hugetlb, &format!("hugetlb.{size}.max_usage_in_bytes")),
                failcnt: number(hugetlb, &format!("hugetlb.{size}.failcnt")),
                pagesize: size,
                ..HugetlbStat::default()
            })
            .collect();
    }
    metrics
}

fn read_pids(folder: &Path) -> PidsStat {
    let limit = match number(folder, "pids.max") {
        u64::MAX => 0, // containerd's way to say "no limit"
        limit => limit,
    };
    PidsStat {
        current: number(folder, "pids.current"),
        limit,
        ..PidsStat::default()
    }
}

fn read_cpu(cpuacct: Option<&PathBuf>, cpu: Option<&PathBuf>) -> CPUStat {
    let mut stat = CPUStat::new();
    if let Some(folder) = cpuacct {
        let ticks = Flat::read(folder, "cpuacct.stat");
        let exact_or_ticks = |file, name| match number(folder, file) {
            0 => ticks.number(name) * TICK_NS,
            exact => exact,
        };
        let per_cpu = fs::read_to_string(folder.join("cpuacct.usage_percpu")).unwrap_or_default();
        stat.usage = MessageField::some(CPUUsage {
            total: number(folder, "cpuacct.usage"),
            user: exact_or_ticks("cpuacct.usage_user", "user"),
            kernel: exact_or_ticks("cpuacct.usage_sys", "system"),
            per_cpu: per_cpu
                .split_whitespace()
                .filter_map(|time| time.parse().ok())
                .collect(),
            ..CPUUsage::default()
        });
    }
    if let Some(folder) = cpu {
        let flat = Flat::read(folder, "cpu.stat");
        stat.throttling = MessageField::some(Throttle {
            periods: flat.number("nr_periods"),
            throttled_periods: flat.number("nr_throttled"),
            throttled_time: flat.number("throttled_time"),
            ..Throttle::default()
        });
    }
    stat
}

fn read_memory(folder: &Path) -> MemoryStat {
    let flat = Flat::read(folder, "memory.stat");
    let n = |name| flat.number(name);
    MemoryStat {
        cache: n("cache"),
        rss: n("rss"),
        rss_huge: n("rss_huge"),
        mapped_file: n("mapped_file"),
        dirty: n("dirty"),
        writeback: n("writeback"),
        pg_pg_in: n("pgpgin"),
        pg_pg_out: n("pgpgout"),
        pg_fault: n("pgfault"),
        pg_maj_fault: n("pgmajfault"),
        inactive_anon: n("inactive_anon"),
        active_anon: n("active_anon"),
        inactive_file: n("inactive_file"),
        active_file: n("active_file"),
        unevictable: n("unevictable"),
        hierarchical_memory_limit: n("hierarchical_memory_limit"),
        hierarchical_swap_limit: n("hierarchical_memsw_limit"),
        total_cache: n("total_cache"),
        total_rss: n("total_rss"),
        total_rss_huge: n("total_rss_huge"),
        total_mapped_file: n("total_mapped_file"),
        total_dirty: n("total_dirty"),
        total_writeback: n("total_writeback"),
        total_pg_pg_in: n("total_pgpgin"),
        total_pg_pg_out: n("total_pgpgout"),
        total_pg_fault: n("total_pgfault"),
        total_pg_maj_fault: n("total_pgmajfault"),
        total_inactive_anon: n("total_inactive_anon"),
        total_active_anon: n("total_active_anon"),
        total_inactive_file: n("total_inactive_file"),
        total_active_file: n("total_active_file"),
        total_unevictable: n("total_unevictable"),
        usage: memory_entry(folder, "memory"),
        swap: memory_entry(folder, "memory.memsw"),
        kernel: memory_entry(folder, "memory.kmem"),
        kernel_tcp: memory_entry(folder, "memory.kmem.tcp"),
        ..MemoryStat::default()
    }
}

fn memory_entry(folder: &Path, prefix: &str) -> MessageField<MemoryEntry> {
    let n = |file| number(folder, &format!("{prefix}.{file}"));
    MessageField::some(MemoryEntry {
        limit: n("limit_in_bytes"),
        usage: n("usage_in_bytes"),
        max: n("max_usage_in_bytes"),
        failcnt: n("failcnt"),
        ..MemoryEntry::default()
    })
}

fn read_oom(folder: &Path) -> MemoryOomControl {
    let flat = Flat::read(folder, "memory.oom_control");
    MemoryOomControl {
        oom_kill_disable: flat.number("oom_kill_disable"),
        under_oom: flat.number("under_oom"),
        oom_kill: flat.number("oom_kill"),
        ..MemoryOomControl::default()
    }
}

fn read_blkio(folder: &Path) -> BlkIOStat {
    let read = |names: &[&str]| {
        let texts = names
            .iter()
            .filter_map(|name| fs::read_to_string(folder.join(name)).ok());
        texts
            .map(|text| blkio_entries(&text))
            .find(|entries| !entries.is_empty())
            .unwrap_or_default()
    };
    BlkIOStat {
        io_service_bytes_recursive: read(&[
            "blkio.bfq.io_service_bytes_recursive",
            "blkio.throttle.io_service_bytes_recursive",
            "blkio.throttle.io_service_bytes",
        ]),
        io_serviced_recursive: read(&[
            "blkio.bfq.io_serviced_recursive",
            "blkio.throttle.io_serviced_recursive",
            "blkio.throttle.io_serviced",
        ]),
        ..BlkIOStat::default()
    }
}

/// Lines `8:0 Read 4096`, and a total without a device, which is left out.
fn blkio_entries(text: &str) -> Vec<BlkIOEntry> {
    let entry = |line: &str| {
        let mut parts = line.split_whitespace();
        let (major, minor) = device(parts.next()?)?;
        let op = parts.next()?.to_owned();
        let value = parts.next()?.parse().ok()?;
        Some(BlkIOEntry {
            op,
            major,
            minor,
            value,
            ..BlkIOEntry::default()
        })
    };
    text.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_device_lines_are_read_and_totals_left_out() {
        let entries = blkio_entries("8:0 Read 4096\n8:0 Write 0\nTotal 4096\n");
        assert_eq!(entries.len(), 2);
        assert_eq!(
            (entries[0].major, entries[0].op.as_str(), entries[0].value),
            (8, "Read", 4096)
        );
    }

    #[test]
    fn cpu_time_is_read_from_cpuacct_where_cpu_is_another_hierarchy() {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("cpuacct.usage", "123456789\n"),
            ("cpuacct.stat", "user 5\nsystem 7\n"),
        ] {
            fs::write(folder.path().join(file), text).unwrap();
        }
        let metrics = read(&HashMap::from([(
            "cpuacct".to_owned(),
            folder.path().to_owned(),
        )]));
        let usage = &metrics.cpu.usage;
        assert_eq!(
            (usage.total, usage.user, usage.kernel),
            (123_456_789, 50_000_000, 70_000_000)
        );
    }
}
