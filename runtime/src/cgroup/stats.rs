//! Usage of a container in the shape of `runc events --stats`.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Cgroup, Version};

/// The `data` object of a stats event. What the host does not count reads 0 or is absent.
pub fn read(cgroup: &Cgroup) -> Value {
    match cgroup.version {
        Version::V1 => v1(cgroup),
        Version::V2 => v2(cgroup),
    }
}

/// How many of the container's processes were killed because it was out of memory.
pub fn oom_kills(cgroup: &Cgroup) -> u64 {
    let (group, file) = match cgroup.version {
        Version::V1 => (cgroup.controller("memory"), "memory.oom_control"),
        Version::V2 => (cgroup.groups.first(), "memory.events"),
    };
    group.map_or(0, |group| entry(&table(&group.path, file), "oom_kill"))
}

/// The same by the text of `memory.events`.
pub fn oom_kills_in(text: &str) -> u64 {
    entry(&lines(text), "oom_kill")
}

fn number(directory: &Path, file: &str) -> u64 {
    let text = std::fs::read_to_string(directory.join(file)).unwrap_or_default();
    // "max" is no limit.
    if text.trim() == "max" {
        u64::MAX
    } else {
        text.trim().parse().unwrap_or(0)
    }
}

/// A file of `name value` lines.
fn table(directory: &Path, file: &str) -> Map<String, Value> {
    lines(&std::fs::read_to_string(directory.join(file)).unwrap_or_default())
}

fn lines(text: &str) -> Map<String, Value> {
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs
        .filter_map(|(name, value)| {
            Some((name.to_owned(), json!(value.trim().parse::<u64>().ok()?)))
        })
        .collect()
}

fn entry(table: &Map<String, Value>, name: &str) -> u64 {
    table.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn v1(cgroup: &Cgroup) -> Value {
    let nowhere = Path::new("/nonexistent");
    let dir = |name: &str| {
        cgroup
            .controller(name)
            .map_or(nowhere, |group| group.path.as_path())
    };
    let (cpu, acct, memory, pids) = (dir("cpu"), dir("cpuacct"), dir("memory"), dir("pids"));
    let throttled = table(cpu, "cpu.stat");
    let percpu: Vec<u64> = std::fs::read_to_string(acct.join("cpuacct.usage_percpu"))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|text| text.parse().ok())
        .collect();
    let part = |prefix: &str| {
        json!({
            "limit": number(memory, &format!("memory.{prefix}limit_in_bytes")),
            "usage": number(memory, &format!("memory.{prefix}usage_in_bytes")),
            "max": number(memory, &format!("memory.{prefix}max_usage_in_bytes")),
            "failcnt": number(memory, &format!("memory.{prefix}failcnt")),
        })
    };
    let raw = table(memory, "memory.stat");
    json!({
        "cpu": {
            "usage": {
                "total": number(acct, "cpuacct.usage"),
                "percpu": percpu,
                "percpu_kernel": by_processor(acct, 2),
                "percpu_user": by_processor(acct, 1),
                "kernel": number(acct, "cpuacct.usage_sys"),
                "user": number(acct, "cpuacct.usage_user"),
            },
            "throttling": {
                "periods": entry(&throttled, "nr_periods"),
                "throttledPeriods": entry(&throttled, "nr_throttled"),
                "throttledTime": entry(&throttled, "throttled_time"),
            },
        },
        "cpuset": cpuset_v1(dir("cpuset")),
        "memory": {
            "cache": entry(&raw, "cache"),
            "usage": part(""),
            "swap": part("memsw."),
            "kernel": part("kmem."),
            "kernelTCP": part("kmem.tcp."),
            "raw": raw,
        },
        "pids": { "current": number(pids, "pids.current"), "limit": pids_limit(pids) },
        "blkio": { "ioServiceBytesRecursive": block_v1(dir("blkio")) },
        "hugetlb": {},
        "intel_rdt": {},
        "network_interfaces": null,
    })
}

/// One column of cpuacct.usage_all: `cpu user system` in nanoseconds.
fn by_processor(directory: &Path, column: usize) -> Vec<u64> {
    let text = std::fs::read_to_string(directory.join("cpuacct.usage_all")).unwrap_or_default();
    let cell = |line: &str| line.split_whitespace().nth(column)?.parse().ok();
    text.lines().skip(1).filter_map(cell).collect()
}

fn cpuset_v1(directory: &Path) -> Value {
    const FLAGS: [&str; 9] = [
        "cpu_exclusive",
        "mem_exclusive",
        "mem_hardwall",
        "memory_migrate",
        "memory_pressure",
        "memory_spread_page",
        "memory_spread_slab",
        "sched_load_balance",
        "sched_relax_domain_level",
    ];
    let text = |name: &str| {
        std::fs::read_to_string(directory.join(format!("cpuset.{name}"))).unwrap_or_default()
    };
    let mut members = Map::new();
    for name in ["cpus", "mems"] {
        members.insert(name.to_owned(), json!(numbers(&text(name))));
    }
    for name in FLAGS {
        let value: i64 = text(name).trim().parse().unwrap_or(0);
        members.insert(name.to_owned(), json!(value));
    }
    Value::Object(members)
}

/// The numbers of a list such as `0-2,5`.
fn numbers(list: &str) -> Vec<u32> {
    let ranges = list.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?)
    });
    ranges.flatten().collect()
}

/// 0 is "no limit" for runc's readers.
fn pids_limit(directory: &Path) -> u64 {
    Some(number(directory, "pids.max"))
        .filter(|limit| *limit != u64::MAX)
        .unwrap_or(0)
}

fn block_v1(directory: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(directory.join("blkio.throttle.io_service_bytes_recursive"))
        .unwrap_or_default();
    let rows = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        let (op, value) = (words.next()?, words.next()?);
        let number = |text: &str| text.parse::<u64>().ok();
        Some(json!({"major": number(major)?, "minor": number(minor)?, "op": op, "value": number(value)?}))
    });
    rows.collect()
}

fn v2(cgroup: &Cgroup) -> Value {
    let Some(group) = cgroup.groups.first() else {
        return json!({});
    };
    of_folders(&group.path, &cgroup.guest_dir(group))
}

/// The `data` object of a container whose files of cgroup v2 are all in one folder.
pub fn of_folder(folder: &Path) -> Value {
    of_folders(folder, folder)
}

/// `guest` has those of the pids controller.
fn of_folders(directory: &Path, guest: &Path) -> Value {
    let cpu = table(directory, "cpu.stat");
    let raw = table(directory, "memory.stat");
    let events = table(directory, "memory.events");
    let microseconds = |name: &str| entry(&cpu, name) * 1000;
    json!({
        "cpu": {
            "usage": {
                "total": microseconds("usage_usec"),
                "kernel": microseconds("system_usec"),
                "user": microseconds("user_usec"),
            },
            "throttling": {
                "periods": entry(&cpu, "nr_periods"),
                "throttledPeriods": entry(&cpu, "nr_throttled"),
                "throttledTime": microseconds("throttled_usec"),
            },
        },
        "memory": {
            "cache": entry(&raw, "file"),
            "usage": {
                "limit": number(directory, "memory.max"),
                "usage": number(directory, "memory.current"),
                "max": number(directory, "memory.peak"),
                "failcnt": entry(&events, "max"),
            },
            "swap": {
                "limit": number(directory, "memory.swap.max"),
                "usage": number(directory, "memory.swap.current"),
            },
            "raw": raw,
        },
        "pids": { "current": number(guest, "pids.current"), "limit": pids_limit(guest) },
        "blkio": { "ioServiceBytesRecursive": block_v2(directory) },
        "hugetlb": {},
        "intel_rdt": {},
        "network_interfaces": null,
    })
}

fn block_v2(directory: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(directory.join("io.stat")).unwrap_or_default();
    let mut rows = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some((major, minor)) = words.next().and_then(|device| device.split_once(':')) else {
            continue;
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let op = match key {
                "rbytes" => "Read",
                "wbytes" => "Write",
                _ => continue,
            };
            let number = |text: &str| text.parse::<u64>().unwrap_or(0);
            rows.push(json!({"major": number(major), "minor": number(minor), "op": op, "value": number(value)}));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn lists_are_spelled_out() {
        assert_eq!(numbers("0-2,5\n"), [0, 1, 2, 5]);
        assert!(numbers("\n").is_empty());
    }
}
