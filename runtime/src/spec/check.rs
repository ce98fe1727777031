//! What is refused in a `config.json`, as a list of small named checks. A property is honoured by this
//! runtime, or it is refused here (or by the cgroup module, which knows the host) by its name.

mod namespaces;
mod process;

use super::types::{Hook, Spec};
use super::{SpecError, memory_policy, seccomp};
use crate::rootfs::options;

pub use process::process;

type Check = fn(&Spec) -> Result<(), SpecError>;

const CHECKS: &[Check] = &[
    version,
    platform,
    root,
    init_process,
    namespaces::host_name,
    namespaces::namespaces,
    namespaces::id_mappings,
    mounts,
    hooks,
    devices,
    paths,
    propagation,
    namespaces::sysctls,
    labels,
    personality,
    |spec| memory_policy::translate(&spec.linux.memory_policy).map(drop),
    namespaces::time_offsets,
    namespaces::net_devices,
    intel_rdt,
    seccomp::check,
];

/// Every check, in order; the first complaint wins.
pub fn spec(spec: &Spec) -> Result<(), SpecError> {
    CHECKS.iter().try_for_each(|check| check(spec))
}

fn version(spec: &Spec) -> Result<(), SpecError> {
    if spec.oci_version.is_empty() {
        return Err(SpecError::missing("ociVersion"));
    }
    let mut parts = spec.oci_version.split(['.', '-', '+']);
    let numbers = [parts.next(), parts.next(), parts.next()]
        .map(|part| part.and_then(|text| text.parse::<u32>().ok()));
    match numbers {
        [Some(1), Some(_), Some(_)] => Ok(()),
        [Some(_), Some(_), Some(_)] => Err(SpecError::unsupported(
            "ociVersion",
            &spec.oci_version,
            "only 1.x is",
        )),
        _ => Err(SpecError::invalid(
            "ociVersion",
            &spec.oci_version,
            "not a version of the form 1.2.3",
        )),
    }
}

fn platform(spec: &Spec) -> Result<(), SpecError> {
    let foreign = [
        ("solaris", &spec.solaris),
        ("windows", &spec.windows),
        ("vm", &spec.vm),
        ("zos", &spec.zos),
        ("freebsd", &spec.freebsd),
    ];
    refuse_present(&foreign, "another platform's")
}

fn refuse_present(
    fields: &[(&str, &Option<serde_json::Value>)],
    reason: &str,
) -> Result<(), SpecError> {
    fields.iter().try_for_each(|(field, value)| match value {
        Some(value) => Err(SpecError::unsupported(*field, value, reason)),
        None => Ok(()),
    })
}

fn root(spec: &Spec) -> Result<(), SpecError> {
    let root = spec
        .root
        .as_ref()
        .ok_or_else(|| SpecError::missing("root"))?;
    if root.path.as_os_str().is_empty() {
        return Err(SpecError::missing("root.path"));
    }
    Ok(())
}

fn init_process(spec: &Spec) -> Result<(), SpecError> {
    let init = spec
        .process
        .as_ref()
        .ok_or_else(|| SpecError::missing("process"))?;
    process::process(init, "process.")
}

fn no_nul(field: &str, text: &str) -> Result<(), SpecError> {
    if text.contains('\0') {
        return Err(SpecError::invalid(field, text, "contains a NUL byte"));
    }
    Ok(())
}

fn mounts(spec: &Spec) -> Result<(), SpecError> {
    for (index, mount) in spec.mounts.iter().enumerate() {
        let field = |name: &str| format!("mounts[{index}].{name}");
        if mount.destination.is_empty() {
            return Err(SpecError::missing(field("destination")));
        }
        for (name, text) in [
            ("destination", &mount.destination),
            ("source", &mount.source),
        ] {
            no_nul(&field(name), text)?;
        }
        let options = options::parse(mount, index)?;
        if options.idmap.is_some()
            && mount.uid_mappings.is_empty()
            && !spec.linux.has_namespace("user")
        {
            let reason = "needs uidMappings and gidMappings of the mount, or a user namespace of the container";
            return Err(SpecError::invalid(field("options"), "idmap", reason));
        }
    }
    Ok(())
}

fn hooks(spec: &Spec) -> Result<(), SpecError> {
    let kinds = [
        ("prestart", &spec.hooks.prestart),
        ("createRuntime", &spec.hooks.create_runtime),
        ("createContainer", &spec.hooks.create_container),
        ("startContainer", &spec.hooks.start_container),
        ("poststart", &spec.hooks.poststart),
        ("poststop", &spec.hooks.poststop),
    ];
    for (kind, list) in kinds {
        for (index, hook) in list.iter().enumerate() {
            one_hook(&format!("hooks.{kind}[{index}]"), hook)?;
        }
    }
    Ok(())
}

fn one_hook(field: &str, hook: &Hook) -> Result<(), SpecError> {
    if !hook.path.starts_with('/') {
        return Err(SpecError::invalid(
            format!("{field}.path"),
            &hook.path,
            "must be an absolute path",
        ));
    }
    if let Some(timeout) = hook.timeout.filter(|timeout| *timeout <= 0) {
        return Err(SpecError::invalid(
            format!("{field}.timeout"),
            timeout,
            "must be greater than zero",
        ));
    }
    std::iter::once(&hook.path)
        .chain(&hook.args)
        .chain(&hook.env)
        .try_for_each(|text| no_nul(field, text))?;
    super::process::environment(&hook.env, &format!("{field}.env"))
}

fn devices(spec: &Spec) -> Result<(), SpecError> {
    for (index, device) in spec.linux.devices.iter().enumerate() {
        let field = |name: &str| format!("linux.devices[{index}].{name}");
        if !device.path.starts_with('/') {
            return Err(SpecError::invalid(
                field("path"),
                &device.path,
                "must be an absolute path",
            ));
        }
        no_nul(&field("path"), &device.path)?;
        if !["c", "u", "b", "p"].contains(&device.kind.as_str()) {
            return Err(SpecError::invalid(
                field("type"),
                &device.kind,
                "not one of c, u, b, p",
            ));
        }
        for (name, number) in [("major", device.major), ("minor", device.minor)] {
            if device.kind != "p" && u32::try_from(number).is_err() {
                return Err(SpecError::invalid(
                    field(name),
                    number,
                    "not a device number",
                ));
            }
        }
    }
    for (index, rule) in spec.linux.resources.devices.iter().enumerate() {
        let field = |name: &str| format!("linux.resources.devices[{index}].{name}");
        if !["", "a", "b", "c"].contains(&rule.kind.as_str()) {
            return Err(SpecError::invalid(
                field("type"),
                &rule.kind,
                "not one of a, b, c",
            ));
        }
        if rule.access.chars().any(|access| !"rwm".contains(access)) {
            return Err(SpecError::invalid(
                field("access"),
                &rule.access,
                "not made of r, w and m",
            ));
        }
    }
    Ok(())
}

fn paths(spec: &Spec) -> Result<(), SpecError> {
    let lists = [
        ("linux.maskedPaths", &spec.linux.masked_paths),
        ("linux.readonlyPaths", &spec.linux.readonly_paths),
    ];
    for (field, list) in lists {
        for (index, path) in list.iter().enumerate() {
            let field = format!("{field}[{index}]");
            if !path.starts_with('/') {
                return Err(SpecError::invalid(field, path, "must be an absolute path"));
            }
            no_nul(&field, path)?;
        }
    }
    no_nul("linux.cgroupsPath", &spec.linux.cgroups_path)
}

fn propagation(spec: &Spec) -> Result<(), SpecError> {
    let value = spec.linux.rootfs_propagation.as_str();
    if value.is_empty() || options::propagation(value).is_some() {
        return Ok(());
    }
    Err(SpecError::invalid(
        "linux.rootfsPropagation",
        value,
        "no such propagation",
    ))
}

fn labels(spec: &Spec) -> Result<(), SpecError> {
    if !spec.linux.mount_label.is_empty() {
        return Err(SpecError::unsupported(
            "linux.mountLabel",
            &spec.linux.mount_label,
            "SELinux is not",
        ));
    }
    if let Some(empty) = spec.annotations.keys().find(|key| key.is_empty()) {
        return Err(SpecError::invalid("annotations", empty, "empty key"));
    }
    Ok(())
}

fn personality(spec: &Spec) -> Result<(), SpecError> {
    let Some(wanted) = &spec.linux.personality else {
        return Ok(());
    };
    if !["LINUX", "LINUX32"].contains(&wanted.domain.as_str()) {
        let reason = "not LINUX or LINUX32";
        return Err(SpecError::invalid(
            "linux.personality.domain",
            &wanted.domain,
            reason,
        ));
    }
    match wanted.flags.first() {
        Some(flag) => Err(SpecError::unsupported(
            "linux.personality.flags",
            flag,
            "the specification knows none",
        )),
        None => Ok(()),
    }
}

fn intel_rdt(spec: &Spec) -> Result<(), SpecError> {
    refuse_present(
        &[("linux.intelRdt", &spec.linux.intel_rdt)],
        "not implemented yet",
    )
}

#[cfg(test)]
mod tests;
