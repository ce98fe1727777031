//! `linux.resources` written to the container's cgroup, at creation and by `update`.

use std::path::Path;

use super::{Cgroup, CgroupError, Version, io, limits_v1, limits_v2};
use crate::spec::SpecError;
use crate::spec::types::{Rdma, Resources};

/// Set every limit that is present. What the host's cgroup version cannot do is refused by name.
pub fn apply(cgroup: &Cgroup, resources: &Resources) -> Result<(), CgroupError> {
    refuse(resources)?;
    if cgroup.groups.is_empty() {
        return refuse_all(resources);
    }
    match cgroup.version {
        Version::V1 => limits_v1::apply(cgroup, resources),
        Version::V2 => limits_v2::apply(cgroup, resources),
    }
}

fn refuse(resources: &Resources) -> Result<(), CgroupError> {
    let field = |name: &str| format!("linux.resources.{name}");
    let memory = &resources.memory;
    if let Some(swappiness) = memory.swappiness.filter(|value| *value > 100) {
        return Err(SpecError::invalid(field("memory.swappiness"), swappiness, "above 100").into());
    }
    if let (Some(limit), Some(swap)) = (memory.limit, memory.swap)
        && limit > 0
        && swap > 0
        && swap < limit
    {
        return Err(SpecError::invalid(
            field("memory.swap"),
            swap,
            format!("below memory.limit {limit}"),
        )
        .into());
    }
    for device in resources.rdma.keys() {
        if device.is_empty() || device.contains(char::is_whitespace) {
            let reason = "not the name of an RDMA device";
            return Err(SpecError::invalid(field("rdma"), device, reason).into());
        }
    }
    let block = &resources.block_io;
    let leaf = block
        .weight_device
        .iter()
        .find_map(|device| device.leaf_weight);
    if let Some(weight) = block.leaf_weight.or(leaf).filter(|weight| *weight > 0) {
        return Err(SpecError::unsupported(
            field("blockIO.leafWeight"),
            weight,
            "Linux has given it up",
        )
        .into());
    }
    Ok(())
}

/// Without a cgroup only what limits nothing is accepted.
fn refuse_all(resources: &Resources) -> Result<(), CgroupError> {
    let wanted = [
        (
            "memory",
            resources.memory != Default::default(),
            serde_json::json!(resources.memory),
        ),
        (
            "cpu",
            resources.cpu != Default::default(),
            serde_json::json!(resources.cpu),
        ),
        (
            "pids.limit",
            resources
                .pids
                .as_ref()
                .and_then(|pids| pids.limit)
                .is_some_and(|limit| limit > 0),
            serde_json::json!(resources.pids),
        ),
        (
            "blockIO",
            resources.block_io != Default::default(),
            serde_json::json!(resources.block_io),
        ),
        (
            "hugepageLimits",
            !resources.hugepage_limits.is_empty(),
            serde_json::json!(resources.hugepage_limits),
        ),
        (
            "rdma",
            !resources.rdma.is_empty(),
            serde_json::json!(resources.rdma),
        ),
        (
            "unified",
            !resources.unified.is_empty(),
            serde_json::json!(resources.unified),
        ),
    ];
    match wanted.into_iter().find(|(_, is_set, _)| *is_set) {
        Some((field, _, value)) => {
            let reason = "the container could not join or create a cgroup";
            Err(SpecError::unsupported(format!("linux.resources.{field}"), value, reason).into())
        }
        None => Ok(()),
    }
}

/// The line for a device in `rdma.max`, the same on v1 and v2.
pub(super) fn rdma_line(device: &str, limit: &Rdma) -> String {
    let mut line = device.to_owned();
    if let Some(handles) = limit.hca_handles {
        line.push_str(&format!(" hca_handle={handles}"));
    }
    if let Some(objects) = limit.hca_objects {
        line.push_str(&format!(" hca_object={objects}"));
    }
    line
}

/// `memory.checkBeforeUpdate`: a limit below what is in use is refused rather than enforced by the OOM killer.
pub(super) fn check_usage(
    directory: &Path,
    file: &str,
    field: &str,
    limit: Option<i64>,
) -> Result<(), CgroupError> {
    let path = directory.join(file);
    let text = std::fs::read_to_string(&path).map_err(io(&path, "read"))?;
    let used: i64 = text.trim().parse().unwrap_or(0);
    match limit.filter(|limit| *limit > 0 && *limit < used) {
        Some(limit) => {
            let reason = format!("below the usage of {used}, and memory.checkBeforeUpdate is set");
            Err(SpecError::invalid(format!("linux.resources.{field}"), limit, reason).into())
        }
        None => Ok(()),
    }
}

/// Write one limit; `field` is its name below `linux.resources`.
pub(super) fn set(
    directory: &Path,
    file: &str,
    field: &str,
    value: impl ToString,
) -> Result<(), CgroupError> {
    let path = directory.join(file);
    let value = value.to_string();
    std::fs::write(&path, &value).map_err(|source| CgroupError::Limit {
        field: format!("linux.resources.{field}"),
        value,
        path: path.display().to_string(),
        source,
    })
}

/// -1 is "no limit" in config.json.
pub(crate) fn or_max(value: i64) -> String {
    if value < 0 {
        "max".into()
    } else {
        value.to_string()
    }
}

/// cpu.shares 2..262144 onto cpu.weight 1..10000, as runc and crun do.
pub(crate) fn weight_of_shares(shares: u64) -> u64 {
    1 + ((shares.clamp(2, 262_144) - 2) * 9999) / 262_142
}

/// blkio.weight 10..1000 onto io.weight 1..10000.
pub(crate) fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight.clamp(10, 1000)) - 10) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::{io_weight, weight_of_shares};

    #[test]
    fn conversions_are_those_of_runc() {
        assert_eq!(
            (
                weight_of_shares(2),
                weight_of_shares(1024),
                weight_of_shares(262_144)
            ),
            (1, 39, 10_000)
        );
        assert_eq!(
            (io_weight(10), io_weight(1000), io_weight(500)),
            (1, 10_000, 4950)
        );
    }
}
