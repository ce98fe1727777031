//! What the guest gets of a config.json, and what it cannot have yet.

use std::path::Path;

use caisson_wire::ProcessSpec;
use caisson_wire::agent::SHARES;
use serde_json::{Value, json};

use super::shares::Share;
use crate::RuntimeError;
use crate::spec::types::{Device, Seccomp, SeccompArgument};
use crate::spec::{Spec, SpecError, capability, rlimit};

/// Kinds of namespaces that containers of a pod share.
const JOINED: [&str; 4] = ["network", "ipc", "uts", "pid"];

/// Bytes of memory without which the agent's runtime is killed before it can say why: Docker's least, long ago.
const LEAST_MEMORY: i64 = 4 << 20;

/// What this tier cannot do yet.
pub(super) fn check(spec: &Spec) -> Result<(), SpecError> {
    let refuse = |field: String, value: &str, reason: &str| {
        Err(SpecError::unsupported(field, value, reason))
    };
    for (index, mount) in spec.mounts.iter().enumerate() {
        let mapped = !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty();
        if mapped {
            let field = format!("mounts[{index}].uidMappings");
            let reason = "owners of files are not mapped for a virtual machine yet";
            return refuse(field, "given", reason);
        }
    }
    if let Some(limit) = spec.linux.resources.memory.limit
        && (1..LEAST_MEMORY).contains(&limit)
    {
        let field = "linux.resources.memory.limit";
        let reason = "less than the 4 MiB that it takes to start a program in a virtual machine";
        return Err(SpecError::invalid(field, limit, reason));
    }
    for (index, namespace) in spec.linux.namespaces.iter().enumerate() {
        if !namespace.path.is_empty() && !JOINED.contains(&namespace.kind.as_str()) {
            let field = format!("linux.namespaces[{index}].path");
            let reason = "a virtual machine has no such namespace of another's";
            return refuse(field, &namespace.path, reason);
        }
    }
    if !spec.linux.has_namespace("network") {
        let reason = "a virtual machine is not connected to the host's network";
        return refuse("linux.namespaces".into(), "no network", reason);
    }
    for (index, device) in spec.linux.devices.iter().enumerate() {
        if !is_guests_own(device) {
            let reason = "a virtual machine does not get devices of the host";
            return refuse(format!("linux.devices[{index}].path"), &device.path, reason);
        }
    }
    for kind in ["user", "time"] {
        if spec.linux.has_namespace(kind) {
            let reason = "the agent does not make such namespaces yet";
            return refuse("linux.namespaces".into(), kind, reason);
        }
    }
    if let Some(personality) = &spec.linux.personality {
        let reason = "the agent does not set it";
        return refuse(
            "linux.personality.domain".into(),
            &personality.domain,
            reason,
        );
    }
    if let Some(name) = spec.linux.net_devices.keys().next() {
        let reason = "a virtual machine does not get devices of the host";
        return refuse("linux.netDevices".into(), name, reason);
    }
    if let Some(policy) = &spec.linux.memory_policy {
        let reason = "the agent does not set it";
        return refuse("linux.memoryPolicy.mode".into(), &policy.mode, reason);
    }
    if let Some(process) = &spec.process {
        let schedules = [
            ("process.scheduler", process.scheduler.is_some()),
            ("process.ioPriority", process.io_priority.is_some()),
            (
                "process.execCPUAffinity",
                process.exec_cpu_affinity.is_some(),
            ),
        ];
        for (field, given) in schedules {
            if given {
                return refuse(field.into(), "given", "the agent does not set it");
            }
        }
    }
    Ok(())
}

/// Devices that are the same in every Linux, so that the guest's are as good as the host's: memory, terminals, tun, fuse.
fn is_guests_own(device: &Device) -> bool {
    const NUMBERS: [(i64, i64); 10] = [
        (1, 3),
        (1, 5),
        (1, 7),
        (1, 8),
        (1, 9),
        (5, 0),
        (5, 1),
        (5, 2),
        (10, 200),
        (10, 229),
    ];
    ["c", "u"].contains(&device.kind.as_str()) && NUMBERS.contains(&(device.major, device.minor))
}

/// config.json as the agent is to carry it out. The machine's network is the container's; limits are told beside it.
pub(super) fn config(
    spec: &Spec,
    process: &ProcessSpec,
    id: &str,
    shares: &[(usize, Share)],
) -> Value {
    let linux = &spec.linux;
    let kinds = ["pid", "ipc", "uts", "mount", "cgroup"];
    let namespaces = kinds.iter().filter(|kind| linux.has_namespace(kind));
    let namespaces: Vec<Value> = namespaces.map(|kind| json!({"type": kind})).collect();
    let rules = linux.resources.devices.iter().map(|rule| {
        let mut document = json!({"allow": rule.allow, "access": rule.access});
        if !rule.kind.is_empty() {
            document["type"] = json!(rule.kind);
        }
        for (name, number) in [("major", rule.major), ("minor", rule.minor)] {
            if let Some(number) = number {
                document[name] = json!(number);
            }
        }
        document
    });
    let devices = rules.collect::<Vec<_>>();
    let mounts = spec.mounts.iter().enumerate().map(|(index, mount)| {
        let share = shares.iter().find(|(of, _)| *of == index);
        let source = share.map_or_else(
            || mount.source.clone(),
            |(_, share)| format!("{SHARES}/{}", share.name),
        );
        json!({
            "destination": mount.destination,
            "type": mount.kind,
            "source": source,
            "options": mount.options,
        })
    });
    let mut linux = json!({
        "namespaces": namespaces,
        "resources": {"devices": devices},
        "cgroupsPath": format!("/{id}"),
        "maskedPaths": linux.masked_paths,
        "readonlyPaths": linux.readonly_paths,
        "sysctl": linux.sysctl,
        "devices": linux.devices.iter().map(device).collect::<Vec<_>>(),
    });
    if let Some(profile) = &spec.linux.seccomp {
        linux["seccomp"] = seccomp(profile);
    }
    if !spec.linux.rootfs_propagation.is_empty() {
        linux["rootfsPropagation"] = json!(spec.linux.rootfs_propagation);
    }
    let mut config = json!({
        "ociVersion": spec.oci_version,
        "root": {"path": "rootfs", "readonly": spec.root.as_ref().is_some_and(|root| root.readonly)},
        "process": process_document(process),
        "mounts": mounts.collect::<Vec<_>>(),
        "linux": linux,
    });
    for (name, value) in [
        ("hostname", &spec.hostname),
        ("domainname", &spec.domainname),
    ] {
        if !value.is_empty() {
            config[name] = json!(value);
        }
    }
    config
}

fn device(device: &Device) -> Value {
    let mut document = json!({
        "path": device.path,
        "type": device.kind,
        "major": device.major,
        "minor": device.minor,
    });
    let mode = device.file_mode.map(|mode| mode & 0o7777);
    for (name, value) in [("fileMode", mode), ("uid", device.uid), ("gid", device.gid)] {
        if let Some(value) = value {
            document[name] = json!(value);
        }
    }
    document
}

/// `linux.seccomp` without what `spec::seccomp` has found to change nothing.
fn seccomp(profile: &Seccomp) -> Value {
    let rules = profile.syscalls.iter().map(|rule| {
        let mut document = json!({"names": rule.names, "action": rule.action});
        if !rule.args.is_empty() {
            // Written out: a field that is zero must not be left out.
            let one = |argument: &SeccompArgument| {
                json!({
                    "index": argument.index,
                    "value": argument.value,
                    "valueTwo": argument.value_two,
                    "op": argument.op,
                })
            };
            document["args"] = rule.args.iter().map(one).collect();
        }
        if let Some(errno) = rule.errno_ret {
            document["errnoRet"] = json!(errno);
        }
        document
    });
    let mut document = json!({
        "defaultAction": profile.default_action,
        "architectures": profile.architectures,
        "syscalls": rules.collect::<Vec<_>>(),
    });
    if let Some(errno) = profile.default_errno_ret {
        document["defaultErrnoRet"] = json!(errno);
    }
    document
}

/// `process` of config.json.
pub(super) fn process_document(process: &ProcessSpec) -> Value {
    let set = |bits: u64| -> Vec<&str> {
        let names = capability::NAMES.iter().enumerate();
        names
            .filter(|(number, _)| bits >> number & 1 == 1)
            .map(|(_, name)| *name)
            .collect()
    };
    let sets = &process.capabilities;
    let limits = process.rlimits.iter().filter_map(|limit| {
        let name = rlimit::NAMES.get(limit.resource as usize)?;
        Some(json!({"type": name, "soft": limit.soft, "hard": limit.hard}))
    });
    let mut document = json!({
        "terminal": process.terminal,
        "user": {
            "uid": process.uid,
            "gid": process.gid,
            "umask": process.umask,
            "additionalGids": process.additional_gids,
        },
        "args": process.args,
        "env": process.env,
        "cwd": process.cwd,
        "capabilities": {
            "bounding": set(sets.bounding),
            "effective": set(sets.effective),
            "inheritable": set(sets.inheritable),
            "permitted": set(sets.permitted),
            "ambient": set(sets.ambient),
        },
        "rlimits": limits.collect::<Vec<_>>(),
    });
    // Its absence lets libcontainer install a filter before it drops capabilities.
    if process.no_new_privileges {
        document["noNewPrivileges"] = json!(true);
    }
    if let Some(adjustment) = process.oom_score_adj {
        document["oomScoreAdj"] = json!(adjustment);
    }
    document
}

/// A block device of the machine that holds a copy of `rootfs`, made in `image`.
pub(super) fn root_image(rootfs: &Path, image: &Path) -> Result<(), RuntimeError> {
    /// What a container can write beside what its image holds. The file is sparse.
    const FREE_BYTES: u64 = 1 << 30;
    let used = used_bytes(rootfs)?;
    let kib = (used + used / 4 + FREE_BYTES) >> 10;
    let output = std::process::Command::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-m", "0", "-b", "4096"])
        .args(["-O", "^has_journal,^resize_inode"])
        .args(["-E", "root_owner=0:0,lazy_itable_init=1,nodiscard"])
        .arg("-d")
        .arg(rootfs)
        .arg(image)
        .arg(format!("{kib}k"))
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .map_err(RuntimeError::step("execute mke2fs"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(RuntimeError::Sandbox {
        message: format!("mke2fs of {}: {}", rootfs.display(), said.trim()),
    })
}

/// What a tree takes in blocks, links counted more than once.
fn used_bytes(folder: &Path) -> Result<u64, RuntimeError> {
    const BLOCK_BYTES: u64 = 4096;
    let mut used = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let fail = || RuntimeError::file::<std::io::Error>(&folder, "read the root file system");
        for entry in std::fs::read_dir(&folder).map_err(fail())? {
            let entry = entry.map_err(fail())?;
            let meta = entry.metadata().map_err(fail())?;
            used += BLOCK_BYTES;
            if meta.is_dir() {
                folders.push(entry.path());
            } else if meta.is_file() {
                used += meta.len().next_multiple_of(BLOCK_BYTES);
            }
        }
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_passed_on_with_its_zeros() {
        let argument = SeccompArgument {
            op: "SCMP_CMP_EQ".into(),
            ..SeccompArgument::default()
        };
        let rule = crate::spec::types::SeccompRule {
            names: vec!["mkdir".into()],
            action: "SCMP_ACT_ERRNO".into(),
            args: vec![argument],
            ..Default::default()
        };
        let profile = Seccomp {
            default_action: "SCMP_ACT_ALLOW".into(),
            syscalls: vec![rule],
            ..Seccomp::default()
        };
        let document = seccomp(&profile);
        let wanted = json!([{"index": 0, "value": 0, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]);
        assert_eq!(document["syscalls"][0]["args"], wanted);
        assert!(document.get("defaultErrnoRet").is_none());
    }

    #[test]
    fn a_limit_that_is_too_low_for_any_program_is_named() {
        let with = |limit| {
            let mut spec = Spec::default();
            spec.linux.resources.memory.limit = limit;
            check(&spec).err().map(|error| error.to_string())
        };
        let said = with(Some(65_536)).expect("refused");
        assert!(said.contains("linux.resources.memory.limit"), "{said}");
        assert!(said.contains("65536") && said.contains("4 MiB"), "{said}");
        for fine in [None, Some(-1), Some(0), Some(4 << 20)] {
            let other = with(fine).unwrap_or_default();
            assert!(!other.contains("memory.limit"), "{other}");
        }
    }

    #[test]
    fn devices_of_every_linux_are_the_guests_own() {
        let device = |kind: &str, major, minor| Device {
            kind: kind.into(),
            major,
            minor,
            ..Device::default()
        };
        assert!(is_guests_own(&device("c", 1, 3)) && is_guests_own(&device("c", 10, 229)));
        assert!(!is_guests_own(&device("b", 1, 3)) && !is_guests_own(&device("c", 226, 0)));
    }
}
