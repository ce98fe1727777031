//! Metrics from cgroup v2. Times are in microseconds, sizes in bytes.

use std::fs;
use std::path::Path;

use containerd_shim_protos::cgroups_v2::metrics::{
    CPUStat, HugeTlbStat, IOEntry, IOStat, MemoryEvents, MemoryStat, Metrics, PidsStat,
};
use containerd_shim_protos::protobuf::MessageField;

use super::{Flat, device, huge_page_sizes, number};

pub(crate) fn read(folder: &Path) -> Metrics {
    Metrics {
        pids: MessageField::some(PidsStat {
            current: number(folder, "pids.current"),
            limit: number(folder, "pids.max"),
            ..PidsStat::default()
        }),
        cpu: MessageField::some(read_cpu(folder)),
        memory: MessageField::some(read_memory(folder)),
        memory_events: MessageField::some(read_memory_events(folder)),
        io: MessageField::some(IOStat {
            usage: io_entries(&fs::read_to_string(folder.join("io.stat")).unwrap_or_default()),
            ..IOStat::default()
        }),
        hugetlb: huge_page_sizes(folder, ".current")
            .into_iter()
            .map(|size| HugeTlbStat {
                current: number(folder, &format!("hugetlb.{size}.current")),
                max: number(folder, &format!("hugetlb.{size}.max")),
                failcnt: Flat::read(folder, &format!("hugetlb.{size}.events")).number("max"),
                pagesize: size,
                ..HugeTlbStat::default()
            })
            .collect(),
        ..Metrics::default()
    }
}

fn read_cpu(folder: &Path) -> CPUStat {
    let flat = Flat::read(folder, "cpu.stat");
    CPUStat {
        usage_usec: flat.number("usage_usec"),
        user_usec: flat.number("user_usec"),
        system_usec: flat.number("system_usec"),
        nr_periods: flat.number("nr_periods"),
        nr_throttled: flat.number("nr_throttled"),
        throttled_usec: flat.number("throttled_usec"),
        nr_bursts: flat.number("nr_bursts"),
        burst_usec: flat.number("burst_usec"),
        ..CPUStat::default()
    }
}

fn read_memory(folder: &Path) -> MemoryStat {
    let flat = Flat::read(folder, "memory.stat");
    let n = |name| flat.number(name);
    MemoryStat {
        anon: n("anon"),
        file: n("file"),
        kernel_stack: n("kernel_stack"),
        slab: n("slab"),
        sock: n("sock"),
        shmem: n("shmem"),
        file_mapped: n("file_mapped"),
        file_dirty: n("file_dirty"),
        file_writeback: n("file_writeback"),
        anon_thp: n("anon_thp"),
        inactive_anon: n("inactive_anon"),
        active_anon: n("active_anon"),
        inactive_file: n("inactive_file"),
        active_file: n("active_file"),
        unevictable: n("unevictable"),
        slab_reclaimable: n("slab_reclaimable"),
        slab_unreclaimable: n("slab_unreclaimable"),
        pgfault: n("pgfault"),
        pgmajfault: n("pgmajfault"),
        workingset_refault: n("workingset_refault")
            + n("workingset_refault_anon")
            + n("workingset_refault_file"),
        workingset_activate: n("workingset_activate")
            + n("workingset_activate_anon")
            + n("workingset_activate_file"),
        workingset_nodereclaim: n("workingset_nodereclaim"),
        pgrefill: n("pgrefill"),
        pgscan: n("pgscan"),
        pgsteal: n("pgsteal"),
        pgactivate: n("pgactivate"),
        pgdeactivate: n("pgdeactivate"),
        pglazyfree: n("pglazyfree"),
        pglazyfreed: n("pglazyfreed"),
        thp_fault_alloc: n("thp_fault_alloc"),
        thp_collapse_alloc: n("thp_collapse_alloc"),
        usage: number(folder, "memory.current"),
        usage_limit: number(folder, "memory.max"),
        swap_usage: number(folder, "memory.swap.current"),
        swap_limit: number(folder, "memory.swap.max"),
        max_usage: number(folder, "memory.peak"),
        swap_max_usage: number(folder, "memory.swap.peak"),
        ..MemoryStat::default()
    }
}

fn read_memory_events(folder: &Path) -> MemoryEvents {
    let flat = Flat::read(folder, "memory.events");
    MemoryEvents {
        low: flat.number("low"),
        high: flat.number("high"),
        max: flat.number("max"),
        oom: flat.number("oom"),
        oom_kill: flat.number("oom_kill"),
        oom_group_kill: flat.number("oom_group_kill"),
        ..MemoryEvents::default()
    }
}

/// Lines `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`.
fn io_entries(text: &str) -> Vec<IOEntry> {
    let entry = |line: &str| {
        let mut parts = line.split_whitespace();
        let (major, minor) = device(parts.next()?)?;
        let mut entry = IOEntry {
            major,
            minor,
            ..IOEntry::default()
        };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.parse().unwrap_or(0);
            match name {
                "rbytes" => entry.rbytes = value,
                "wbytes" => entry.wbytes = value,
                "rios" => entry.rios = value,
                "wios" => entry.wios = value,
                _ => {} // discards, which the message has no field for
            }
        }
        Some(entry)
    };
    text.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_files_of_a_group() {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("cpu.stat", "usage_usec 42\nuser_usec 40\nsystem_usec 2\n"),
            ("memory.current", "8192\n"),
            ("memory.max", "max\n"),
            ("memory.events", "oom 2\noom_kill 1\n"),
            (
                "io.stat",
                "8:0 rbytes=4096 wbytes=1 rios=2 wios=3 dbytes=0 dios=0\n",
            ),
        ] {
            fs::write(folder.path().join(file), text).unwrap();
        }
        let metrics = read(folder.path());
        assert_eq!(metrics.cpu.usage_usec, 42);
        assert_eq!(
            (metrics.memory.usage, metrics.memory.usage_limit),
            (8192, u64::MAX)
        );
        assert_eq!(metrics.memory_events.oom_kill, 1);
        assert_eq!(
            (metrics.io.usage[0].rbytes, metrics.io.usage[0].wios),
            (4096, 3)
        );
    }
}
