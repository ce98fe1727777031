//! Checks of `linux.namespaces` and of what makes sense only in a namespace of the container's own.

use std::collections::BTreeSet;

use super::super::SpecError;
use super::super::types::{Namespace, Spec};
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
            .any(|namespace| namespace.kind == "uts" && namespace.path.is_empty());
        if !name.is_empty() && !own {
            return Err(SpecError::invalid(
                field,
                name,
                "needs a new uts namespace in linux.namespaces",
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
        "pid" | "network" | "ipc" | "uts" | "cgroup" => Ok(()),
        "mount" if by_path => {
            let reason = "the sandbox always assembles a mount tree of its own";
            Err(SpecError::unsupported(
                field("path"),
                &namespace.path,
                reason,
            ))
        }
        "mount" => Ok(()),
        "user" => {
            let reason = "guest processes have a user namespace of the sandbox's own making";
            Err(SpecError::unsupported(field("type"), "user", reason))
        }
        "time" => Err(SpecError::unsupported(
            field("type"),
            "time",
            "not implemented yet",
        )),
        other => Err(SpecError::invalid(
            field("type"),
            other,
            "no such kind of namespace",
        )),
    }
}

pub(super) fn id_mappings(spec: &Spec) -> Result<(), SpecError> {
    let lists = [
        ("linux.uidMappings", &spec.linux.uid_mappings),
        ("linux.gidMappings", &spec.linux.gid_mappings),
    ];
    refuse_lists(&lists)?;
    for (index, mount) in spec.mounts.iter().enumerate() {
        let names = [
            format!("mounts[{index}].uidMappings"),
            format!("mounts[{index}].gidMappings"),
        ];
        refuse_lists(&[
            (&names[0], &mount.uid_mappings),
            (&names[1], &mount.gid_mappings),
        ])?;
    }
    Ok(())
}

fn refuse_lists(lists: &[(&str, &Vec<serde_json::Value>)]) -> Result<(), SpecError> {
    lists
        .iter()
        .try_for_each(|(field, list)| match list.first() {
            Some(first) => Err(SpecError::unsupported(
                *field,
                first,
                "id mappings are not implemented yet",
            )),
            None => Ok(()),
        })
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
    let own_network = spec
        .linux
        .namespaces
        .iter()
        .any(|namespace| namespace.kind == "network");
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
        let of_network = dotted.starts_with("net.") && own_network;
        if !ours && !of_network {
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
