//! `linux.resources` written to the container's cgroup, at creation and by `update`.

use std::path::Path;

use super::{Cgroup, CgroupError, Version, limits_v1, limits_v2};
use crate::spec::SpecError;
use crate::spec::types::Resources;

/// Set every limit that is present. What the host's cgroup version cannot do is refused by name.
pub fn apply(cgroup: &Cgroup, resources: &Resources) -> Result<(), CgroupError> {
    refuse(resources)?;
    match cgroup.version {
        Version::V1 => limits_v1::apply(cgroup, resources),
        Version::V2 => limits_v2::apply(cgroup, resources),
    }
}

fn refuse(resources: &Resources) -> Result<(), CgroupError> {
    let field = |name: &str| format!("linux.resources.{name}");
    let memory = &resources.memory;
    for (name, value) in [
        ("memory.kernel", memory.kernel),
        ("memory.kernelTCP", memory.kernel_tcp),
    ] {
        if let Some(value) = value.filter(|value| *value > 0) {
            return Err(SpecError::unsupported(
                field(name),
                value,
                "Linux has given this limit up",
            )
            .into());
        }
    }
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
    if let Some(network) = &resources.network {
        let class = network.class_id.map(|class| class.to_string());
        if let Some(value) = class.or(network.priorities.first().map(ToString::to_string)) {
            return Err(
                SpecError::unsupported(field("network"), value, "not implemented yet").into(),
            );
        }
    }
    if let Some((device, limit)) = resources.rdma.first_key_value() {
        let value = format!("{device}: {limit}");
        return Err(SpecError::unsupported(field("rdma"), value, "not implemented yet").into());
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
pub(super) fn or_max(value: i64) -> String {
    if value < 0 {
        "max".into()
    } else {
        value.to_string()
    }
}
