//! Checks of `linux.namespaces` and of what makes sense only in a namespace of the container's own.

use std::collections::BTreeSet;

use serde_json::json;

use super::super::SpecError;
use super::super::types::{IdMapping, Namespace, Spec, TimeOffsets};
use super::no_nul;

pub(super) fn host_name(spec: &Spec) -> Result<(), SpecError> {
    for (field, name) in [
        ("hostname", &spec.hostname),
        ("domainname", &spec.domainname),
    ] {
        if name.len() > 64 {
            return Err(SpecError::invalid(field, name, "longer than 64 bytes"));
        }
        no_nul(field, name)?;
        let own = spec
            .linux
            .namespaces
            .iter()
            .any(|namespace| namespace.kind == "uts");
        if !name.is_empty() && !own {
            return Err(SpecError::invalid(
                field,
                name,
                "needs a uts namespace in linux.namespaces",
            ));
        }
    }
    Ok(())
}

pub(super) fn namespaces(spec: &Spec) -> Result<(), SpecError> {
    let mut seen = BTreeSet::new();
    for (index, namespace) in spec.linux.namespaces.iter().enumerate() {
        one_namespace(index, namespace)?;
        if !seen.insert(namespace.kind.as_str()) {
            return Err(SpecError::invalid(
                format!("linux.namespaces[{index}].type"),
                &namespace.kind,
                "given twice",
            ));
        }
    }
    for kind in ["mount", "pid", "ipc"] {
        if !seen.contains(kind) {
            let reason = format!(
                "without \"{kind}\" the container would share that namespace with the host"
            );
            return Err(SpecError::unsupported(
                "linux.namespaces",
                format!("{seen:?}"),
                reason,
            ));
        }
    }
    Ok(())
}

fn one_namespace(index: usize, namespace: &Namespace) -> Result<(), SpecError> {
    let field = |name: &str| format!("linux.namespaces[{index}].{name}");
    let by_path = !namespace.path.is_empty();
    if by_path && !namespace.path.starts_with('/') {
        return Err(SpecError::invalid(
            field("path"),
            &namespace.path,
            "must be an absolute path",
        ));
    }
    match namespace.kind.as_str() {
        "cgroup" if by_path => {
            let reason = "guests see their own cgroup as the root";
            Err(SpecError::unsupported(
                field("path"),
                &namespace.path,
                reason,
            ))
        }
        "pid" | "network" | "ipc" | "uts" | "cgroup" | "time" | "user" => Ok(()),
        "mount" if by_path => {
            let reason = "the sandbox always assembles a mount tree of its own";
            Err(SpecError::unsupported(
                field("path"),
                &namespace.path,
                reason,
            ))
        }
        "mount" => Ok(()),
        other => Err(SpecError::invalid(
            field("type"),
            other,
            "no such kind of namespace",
        )),
    }
}

/// Clocks can be set in a new time namespace only.
pub(super) fn time_offsets(spec: &Spec) -> Result<(), SpecError> {
    let offsets = &spec.linux.time_offsets;
    let own = spec
        .linux
        .namespaces
        .iter()
        .any(|namespace| namespace.kind == "time" && namespace.path.is_empty());
    if *offsets != TimeOffsets::default() && !own {
        let reason = "needs a new time namespace in linux.namespaces";
        return Err(SpecError::invalid(
            "linux.timeOffsets",
            json!(offsets),
            reason,
        ));
    }
    let clocks = [
        ("monotonic", &offsets.monotonic),
        ("boottime", &offsets.boottime),
    ];
    for (name, offset) in clocks {
        if let Some(offset) = offset
            && offset.nanosecs >= 1_000_000_000
        {
            let field = format!("linux.timeOffsets.{name}.nanosecs");
            return Err(SpecError::invalid(
                field,
                offset.nanosecs,
                "a second or more",
            ));
        }
    }
    Ok(())
}

/// Those of the container, which belong to its user namespace, and those of mounts.
pub(super) fn id_mappings(spec: &Spec) -> Result<(), SpecError> {
    let namespaces = spec.linux.namespaces.iter();
    let user = namespaces.clone().find(|wanted| wanted.kind == "user");
    let lists = [
        ("linux.uidMappings", &spec.linux.uid_mappings),
        ("linux.gidMappings", &spec.linux.gid_mappings),
    ];
    for (field, list) in lists {
        mappings(field, list)?;
        match (user, list.first()) {
            (None, Some(first)) => {
                let reason = "needs a user namespace in linux.namespaces";
                return Err(SpecError::invalid(field, json!(first), reason));
            }
            (Some(user), None) if user.path.is_empty() => return Err(SpecError::missing(field)),
            (_, Some(_)) if !list.iter().any(|line| line.container_id == 0) => {
                let reason = "nothing is mapped to id 0 of the container";
                return Err(SpecError::invalid(field, json!(list), reason));
            }
            _ => {}
        }
    }
    for (index, mount) in spec.mounts.iter().enumerate() {
        mappings(&format!("mounts[{index}].uidMappings"), &mount.uid_mappings)?;
        mappings(&format!("mounts[{index}].gidMappings"), &mount.gid_mappings)?;
    }
    Ok(())
}

/// What user_namespaces(7) demands of a map.
fn mappings(field: &str, list: &[IdMapping]) -> Result<(), SpecError> {
    const MOST: usize = 340;
    if list.len() > MOST {
        let reason = format!("more than {MOST} lines");
        return Err(SpecError::invalid(field, list.len(), reason));
    }
    for (index, line) in list.iter().enumerate() {
        let fits = |first: u32| first.checked_add(line.size).is_some();
        if line.size == 0 || !fits(line.container_id) || !fits(line.host_id) {
            let reason = "an empty range, or one beyond the last id";
            return Err(SpecError::invalid(
                format!("{field}[{index}]"),
                format!("{} {} {}", line.container_id, line.host_id, line.size),
                reason,
            ));
        }
    }
    Ok(())
}

/// Only what belongs to a namespace of the container: anything else would be the host's.
pub(super) fn sysctls(spec: &Spec) -> Result<(), SpecError> {
    const IPC: &[&str] = &[
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    // The other name is `hostname` of config.json; for this one engines that are older than `domainname` have no other.
    const DOMAIN_NAME: &str = "kernel.domainname";
    for (name, value) in &spec.linux.sysctl {
        let field = format!("linux.sysctl.{name}");
        let plain = name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "._-/".contains(letter));
        if !plain || name.contains("..") || name.contains("//") {
            return Err(SpecError::invalid(field, value, "not the name of a sysctl"));
        }
        let dotted = name.replace('/', ".");
        let ours = IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.");
        let of_network = dotted.starts_with("net.") && spec.linux.has_namespace("network");
        let of_names = dotted == DOMAIN_NAME && spec.linux.has_namespace("uts");
        if !ours && !of_network && !of_names {
            return Err(SpecError::invalid(
                field,
                value,
                "not in a namespace of the container's own",
            ));
        }
        no_nul(&field, value)?;
    }
    Ok(())
}

/// Names that Linux takes, no two the same in the container, which must have a network of its own.
pub(super) fn net_devices(spec: &Spec) -> Result<(), SpecError> {
    let devices = &spec.linux.net_devices;
    if let Some(name) = devices.keys().next()
        && !spec.linux.has_namespace("network")
    {
        let reason = "the container has the host's network namespace";
        return Err(SpecError::invalid("linux.netDevices", name, reason));
    }
    let mut taken = std::collections::BTreeSet::new();
    for (name, device) in devices {
        let field = format!("linux.netDevices.{name}");
        interface_name(&field, name)?;
        let field = format!("{field}.name");
        if !device.name.is_empty() {
            interface_name(&field, &device.name)?;
        }
        let inside = device.name_inside(name);
        if !taken.insert(inside) {
            return Err(SpecError::invalid(
                field,
                inside,
                "another device has this name",
            ));
        }
    }
    Ok(())
}

/// dev_valid_name of the kernel.
fn interface_name(field: &str, name: &str) -> Result<(), SpecError> {
    const MOST_BYTES: usize = 15;
    let wrong = |byte: u8| byte == 0 || byte == b'/' || byte == b':' || byte.is_ascii_whitespace();
    if name.is_empty()
        || name.len() > MOST_BYTES
        || name == "."
        || name == ".."
        || name.bytes().any(wrong)
    {
        return Err(SpecError::invalid(
            field,
            name,
            "not the name of a network device",
        ));
    }
    Ok(())
}
