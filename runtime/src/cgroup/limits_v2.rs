//! Limits on v2. Everything is set on the container's directory, except pids.max, which is set on the guest's
//! leaf so that the app kernel's threads do not count.

use std::path::Path;

use super::limits::{check_usage, io_weight, or_max, rdma_line, set, weight_of_shares};
use super::{Cgroup, CgroupError};
use crate::spec::SpecError;
use crate::spec::types::{BlockIo, Cpu, Memory, Resources};

pub(super) fn apply(cgroup: &Cgroup, resources: &Resources) -> Result<(), CgroupError> {
    let Some(group) = cgroup.groups.first() else {
        return Err(CgroupError::None);
    };
    let directory = group.path.as_path();
    memory(directory, &resources.memory)?;
    cpu(directory, &resources.cpu)?;
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        let text = if limit <= 0 {
            "max".into()
        } else {
            or_max(limit)
        };
        set(&cgroup.guest_dir(group), "pids.max", "pids.limit", text)?;
    }
    block_io(directory, &resources.block_io)?;
    for limit in &resources.hugepage_limits {
        set(
            directory,
            &format!("hugetlb.{}.max", limit.page_size),
            "hugepageLimits",
            limit.limit,
        )?;
    }
    for (device, limit) in &resources.rdma {
        set(directory, "rdma.max", "rdma", rdma_line(device, limit))?;
    }
    if let Some(network) = &resources.network {
        let class = network.class_id.map(|class| class.to_string());
        let first = network.priorities.first().map(|entry| entry.name.clone());
        if let Some(value) = class.or(first) {
            let reason = "cgroup v2 has no such controller";
            return Err(SpecError::unsupported("linux.resources.network", value, reason).into());
        }
    }
    for (file, value) in &resources.unified {
        let field = format!("unified.{file}");
        if file.contains('/') || file.starts_with("cgroup.") || !file.contains('.') {
            return Err(SpecError::invalid(
                format!("linux.resources.{field}"),
                value,
                "not a controller's file",
            )
            .into());
        }
        let guest = cgroup.guest_dir(group);
        let place = if file.starts_with("pids.") {
            guest.as_path()
        } else {
            directory
        };
        set(place, file, &field, value)?;
    }
    Ok(())
}

fn memory(directory: &Path, memory: &Memory) -> Result<(), CgroupError> {
    let refuse = |name: &str, value: String| {
        let field = format!("linux.resources.memory.{name}");
        Err(SpecError::unsupported(field, value, "cgroup v2 has no such limit").into())
    };
    if let Some(value) = memory.swappiness {
        return refuse("swappiness", value.to_string());
    }
    if memory.disable_oom_killer == Some(true) {
        return refuse("disableOOMKiller", "true".into());
    }
    if let Some(value) = memory.kernel_tcp.filter(|value| *value > 0) {
        return refuse("kernelTCP", value.to_string());
    }
    if memory.check_before_update == Some(true) {
        check_usage(directory, "memory.current", "memory.limit", memory.limit)?;
    }
    // v2 counts swap alone, config.json memory and swap together.
    if let Some(swap) = memory.swap.filter(|swap| *swap != 0) {
        let own = match memory.limit {
            _ if swap < 0 => "max".to_owned(),
            Some(limit) if limit > 0 => (swap - limit).to_string(),
            _ => {
                let reason = "needs memory.limit on cgroup v2";
                return Err(SpecError::invalid("linux.resources.memory.swap", swap, reason).into());
            }
        };
        set(directory, "memory.swap.max", "memory.swap", own)?;
    }
    if let Some(limit) = memory.limit.filter(|limit| *limit != 0) {
        set(directory, "memory.max", "memory.limit", or_max(limit))?;
    }
    if let Some(value) = memory.reservation.filter(|value| *value != 0) {
        set(directory, "memory.low", "memory.reservation", or_max(value))?;
    }
    Ok(())
}

fn cpu(directory: &Path, cpu: &Cpu) -> Result<(), CgroupError> {
    for (name, value) in [
        (
            "realtimePeriod",
            cpu.realtime_period.map(|value| value as i64),
        ),
        ("realtimeRuntime", cpu.realtime_runtime),
    ] {
        if let Some(value) = value.filter(|value| *value != 0) {
            let field = format!("linux.resources.cpu.{name}");
            return Err(SpecError::unsupported(field, value, "cgroup v2 has no such limit").into());
        }
    }
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
        set(
            directory,
            "cpu.weight",
            "cpu.shares",
            weight_of_shares(shares),
        )?;
    }
    let (quota, period) = (
        cpu.quota.filter(|quota| *quota != 0),
        cpu.period.filter(|period| *period != 0),
    );
    if quota.is_some() || period.is_some() {
        let text = format!(
            "{} {}",
            quota.map_or("max".into(), or_max),
            period.unwrap_or(100_000)
        );
        set(directory, "cpu.max", "cpu.quota", text)?;
    }
    if let Some(burst) = cpu.burst {
        set(directory, "cpu.max.burst", "cpu.burst", burst)?;
    }
    if let Some(idle) = cpu.idle {
        set(directory, "cpu.idle", "cpu.idle", idle)?;
    }
    if !cpu.cpus.is_empty() {
        set(directory, "cpuset.cpus", "cpu.cpus", &cpu.cpus)?;
    }
    if !cpu.mems.is_empty() {
        set(directory, "cpuset.mems", "cpu.mems", &cpu.mems)?;
    }
    Ok(())
}

fn block_io(directory: &Path, block: &BlockIo) -> Result<(), CgroupError> {
    let weight = |file: &str, device: &str, value: u16, field: &str| {
        if file == "io.bfq.weight" {
            return set(directory, file, field, format!("{device}{value}"));
        }
        set(
            directory,
            file,
            field,
            format!("{device}{}", io_weight(value)),
        )
    };
    let file = if directory.join("io.bfq.weight").exists() {
        "io.bfq.weight"
    } else {
        "io.weight"
    };
    if let Some(value) = block.weight.filter(|value| *value != 0) {
        weight(file, "", value, "blockIO.weight")?;
    }
    for device in &block.weight_device {
        if let Some(value) = device.weight {
            weight(
                file,
                &format!("{}:{} ", device.major, device.minor),
                value,
                "blockIO.weightDevice",
            )?;
        }
    }
    let throttles = [
        (
            "rbps",
            "blockIO.throttleReadBpsDevice",
            &block.throttle_read_bps_device,
        ),
        (
            "wbps",
            "blockIO.throttleWriteBpsDevice",
            &block.throttle_write_bps_device,
        ),
        (
            "riops",
            "blockIO.throttleReadIOPSDevice",
            &block.throttle_read_iops_device,
        ),
        (
            "wiops",
            "blockIO.throttleWriteIOPSDevice",
            &block.throttle_write_iops_device,
        ),
    ];
    for (key, field, devices) in throttles {
        for device in devices {
            set(
                directory,
                "io.max",
                field,
                format!("{}:{} {key}={}", device.major, device.minor, device.rate),
            )?;
        }
    }
    Ok(())
}
