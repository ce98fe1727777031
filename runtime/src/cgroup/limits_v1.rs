//! Limits on v1: one directory per controller.

use std::path::Path;

use super::limits::{check_usage, or_max, rdma_line, set};
use super::{Cgroup, CgroupError};
use crate::spec::SpecError;
use crate::spec::types::{BlockIo, Cpu, Memory, Resources};

pub(super) fn apply(cgroup: &Cgroup, resources: &Resources) -> Result<(), CgroupError> {
    // A limit whose controller the host does not have fails with the name of the first field.
    let need = |controller: &str, field: &str, value: String| -> Result<&Path, CgroupError> {
        let group = cgroup.controller(controller);
        let missing = || {
            SpecError::unsupported(
                format!("linux.resources.{field}"),
                value,
                format!("the host has no {controller} cgroup controller"),
            )
        };
        group
            .map(|group| group.path.as_path())
            .ok_or_else(|| missing().into())
    };
    if resources.memory != Memory::default() {
        memory(
            need("memory", "memory", format!("{:?}", resources.memory.limit))?,
            &resources.memory,
        )?;
    }
    if resources.cpu != Cpu::default() {
        let value = &resources.cpu;
        let times = Cpu {
            cpus: String::new(),
            mems: String::new(),
            ..value.clone()
        };
        if times != Cpu::default() {
            cpu(need("cpu", "cpu", format!("{:?}", value.shares))?, value)?;
        }
        for (file, field, text) in [
            ("cpuset.cpus", "cpu.cpus", &value.cpus),
            ("cpuset.mems", "cpu.mems", &value.mems),
        ] {
            if !text.is_empty() {
                set(need("cpuset", field, text.clone())?, file, field, text)?;
            }
        }
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        // Zero is "no limit" for runc and what engines write by default.
        let text = if limit <= 0 {
            "max".into()
        } else {
            or_max(limit)
        };
        set(
            need("pids", "pids.limit", limit.to_string())?,
            "pids.max",
            "pids.limit",
            text,
        )?;
    }
    if resources.block_io != BlockIo::default() {
        block_io(
            need(
                "blkio",
                "blockIO",
                format!("{:?}", resources.block_io.weight),
            )?,
            &resources.block_io,
        )?;
    }
    for limit in &resources.hugepage_limits {
        let directory = need("hugetlb", "hugepageLimits", limit.page_size.clone())?;
        let v2 = cgroup
            .controller("hugetlb")
            .is_some_and(|group| group.name == "unified");
        let file = format!(
            "hugetlb.{}.{}",
            limit.page_size,
            if v2 { "max" } else { "limit_in_bytes" }
        );
        set(directory, &file, "hugepageLimits", limit.limit)?;
    }
    for (device, limit) in &resources.rdma {
        let directory = need("rdma", "rdma", device.clone())?;
        set(directory, "rdma.max", "rdma", rdma_line(device, limit))?;
    }
    if let Some(network) = &resources.network {
        if let Some(class) = network.class_id {
            let directory = need("net_cls", "network.classID", class.to_string())?;
            set(directory, "net_cls.classid", "network.classID", class)?;
        }
        for entry in &network.priorities {
            let directory = need("net_prio", "network.priorities", entry.name.clone())?;
            let line = format!("{} {}", entry.name, entry.priority);
            set(directory, "net_prio.ifpriomap", "network.priorities", line)?;
        }
    }
    match resources.unified.first_key_value() {
        Some((name, value)) => {
            let reason = "the host's controllers are on cgroup v1";
            Err(
                SpecError::unsupported(format!("linux.resources.unified.{name}"), value, reason)
                    .into(),
            )
        }
        None => Ok(()),
    }
}

fn memory(directory: &Path, memory: &Memory) -> Result<(), CgroupError> {
    let limit = memory.limit.filter(|limit| *limit != 0);
    let swap = memory.swap.filter(|swap| *swap != 0);
    if memory.check_before_update == Some(true) {
        check_usage(directory, "memory.usage_in_bytes", "memory.limit", limit)?;
    }
    let set_limit = || {
        limit.map_or(Ok(()), |limit| {
            set(directory, "memory.limit_in_bytes", "memory.limit", limit)
        })
    };
    let set_swap = || {
        swap.map_or(Ok(()), |swap| {
            set(
                directory,
                "memory.memsw.limit_in_bytes",
                "memory.swap",
                swap,
            )
        })
    };
    // Linux demands limit <= memsw at any time, so the order depends on the direction.
    let current = std::fs::read_to_string(directory.join("memory.memsw.limit_in_bytes")).ok();
    let current: i64 = current
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(i64::MAX);
    let grows = swap.is_some_and(|swap| swap < 0 || swap > current)
        || limit.is_some_and(|limit| limit > current);
    if grows {
        set_swap()?;
        set_limit()?;
    } else {
        set_limit()?;
        set_swap()?;
    }
    if let Some(value) = memory.reservation.filter(|value| *value != 0) {
        set(
            directory,
            "memory.soft_limit_in_bytes",
            "memory.reservation",
            value,
        )?;
    }
    kernel_memory(directory, memory)?;
    if let Some(value) = memory.swappiness {
        set(directory, "memory.swappiness", "memory.swappiness", value)?;
    }
    if memory.disable_oom_killer == Some(true) {
        set(
            directory,
            "memory.oom_control",
            "memory.disableOOMKiller",
            1,
        )?;
    }
    Ok(())
}

/// `memory.kernel` is "not recommended" by the specification, and Linux has given it up: where it is no longer taken
/// there is nothing to enforce it with, and like runc we go on. That of TCP buffers still works.
fn kernel_memory(directory: &Path, memory: &Memory) -> Result<(), CgroupError> {
    if let Some(value) = memory.kernel.filter(|value| *value != 0) {
        let file = "memory.kmem.limit_in_bytes";
        match set(directory, file, "memory.kernel", value) {
            Err(CgroupError::Limit { source, .. })
                if matches!(
                    source.raw_os_error(),
                    Some(libc::EOPNOTSUPP | libc::ENOENT | libc::EACCES)
                ) => {}
            other => other?,
        }
    }
    match memory.kernel_tcp.filter(|value| *value != 0) {
        Some(value) => set(
            directory,
            "memory.kmem.tcp.limit_in_bytes",
            "memory.kernelTCP",
            value,
        ),
        None => Ok(()),
    }
}

fn cpu(directory: &Path, cpu: &Cpu) -> Result<(), CgroupError> {
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
        set(directory, "cpu.shares", "cpu.shares", shares)?;
    }
    if let Some(period) = cpu.realtime_period.filter(|period| *period != 0) {
        set(directory, "cpu.rt_period_us", "cpu.realtimePeriod", period)?;
    }
    if let Some(runtime) = cpu.realtime_runtime.filter(|runtime| *runtime != 0) {
        set(
            directory,
            "cpu.rt_runtime_us",
            "cpu.realtimeRuntime",
            runtime,
        )?;
    }
    if let Some(period) = cpu.period.filter(|period| *period != 0) {
        set(directory, "cpu.cfs_period_us", "cpu.period", period)?;
    }
    if let Some(quota) = cpu.quota.filter(|quota| *quota != 0) {
        set(directory, "cpu.cfs_quota_us", "cpu.quota", quota)?;
    }
    if let Some(burst) = cpu.burst {
        set(directory, "cpu.cfs_burst_us", "cpu.burst", burst)?;
    }
    if let Some(idle) = cpu.idle {
        set(directory, "cpu.idle", "cpu.idle", idle)?;
    }
    Ok(())
}

fn block_io(directory: &Path, block: &BlockIo) -> Result<(), CgroupError> {
    // The weights moved to the BFQ scheduler's own file.
    let weight_file = if directory.join("blkio.weight").exists() {
        "blkio.weight"
    } else {
        "blkio.bfq.weight"
    };
    if let Some(weight) = block.weight.filter(|weight| *weight != 0) {
        set(directory, weight_file, "blockIO.weight", weight)?;
    }
    for device in &block.weight_device {
        let Some(weight) = device.weight else {
            continue;
        };
        let text = format!("{}:{} {weight}", device.major, device.minor);
        set(
            directory,
            &format!("{weight_file}_device"),
            "blockIO.weightDevice",
            text,
        )?;
    }
    let throttles = [
        (
            "blkio.throttle.read_bps_device",
            "blockIO.throttleReadBpsDevice",
            &block.throttle_read_bps_device,
        ),
        (
            "blkio.throttle.write_bps_device",
            "blockIO.throttleWriteBpsDevice",
            &block.throttle_write_bps_device,
        ),
        (
            "blkio.throttle.read_iops_device",
            "blockIO.throttleReadIOPSDevice",
            &block.throttle_read_iops_device,
        ),
        (
            "blkio.throttle.write_iops_device",
            "blockIO.throttleWriteIOPSDevice",
            &block.throttle_write_iops_device,
        ),
    ];
    for (file, field, devices) in throttles {
        for device in devices {
            set(
                directory,
                file,
                field,
                format!("{}:{} {}", device.major, device.minor, device.rate),
            )?;
        }
    }
    Ok(())
}
