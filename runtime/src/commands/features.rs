//! `features`: what this runtime can do, in the shape of the specification's features document.

use serde_json::{Value, json};

use super::print_json;
use crate::RuntimeError;
use crate::spec::{capability, default::OCI_VERSION, memory_policy};
use crate::transport;

#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Mount options that `rootfs::options` knows; a test holds the two together.
const MOUNT_OPTIONS: &[&str] = &[
    "acl",
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "idmap",
    "iversion",
    "lazytime",
    "loud",
    "mand",
    "noacl",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "rexec",
    "ridmap",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnorelatime",
    "rnostrictatime",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rrelatime",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "rsymfollow",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "suid",
    "symfollow",
    "sync",
    "tmpcopyup",
    "unbindable",
];

pub fn run(_arguments: &Arguments) -> Result<(), RuntimeError> {
    print_json(&document())
}

fn document() -> Value {
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": MOUNT_OPTIONS,
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": &capability::NAMES[..],
            "cgroup": {"v1": true, "v2": true, "systemd": true, "systemdUser": false, "rdma": true},
            "seccomp": {
                "enabled": true,
                "actions": ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
                    "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"],
                "operators": ["SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
                    "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"],
                "archs": ["SCMP_ARCH_X86_64"],
                "knownFlags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"],
                "supportedFlags": ["SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"],
            },
            "apparmor": {"enabled": false},
            "selinux": {"enabled": false},
            "intelRdt": {"enabled": false},
            "mountExtensions": {"idmap": {"enabled": true}},
            "netDevices": {"enabled": true},
            "memoryPolicy": {"modes": memory_policy::modes(), "flags": memory_policy::flags()},
        },
        "annotations": {
            "io.caisson.version": env!("CARGO_PKG_VERSION"),
            "io.caisson.tiers": "kernel",
            "io.caisson.transports": transports(),
        },
        "potentiallyUnsafeConfigAnnotations": [],
    })
}

/// Those that this host supports.
fn transports() -> String {
    let names: Vec<&str> = transport::list().iter().map(|kind| kind.name()).collect();
    names.join(",")
}

#[cfg(test)]
mod tests {
    use super::MOUNT_OPTIONS;
    use crate::rootfs::options::parse;
    use crate::spec::types::{IdMapping, Mount};

    #[test]
    fn every_listed_mount_option_is_accepted() {
        for option in MOUNT_OPTIONS {
            let mapping = IdMapping {
                size: 1,
                ..IdMapping::default()
            };
            let kind = if *option == "tmpcopyup" {
                "tmpfs"
            } else {
                "bind"
            };
            let idmapped = if option.ends_with("idmap") {
                vec![mapping]
            } else {
                Vec::new()
            };
            let mount = Mount {
                kind: kind.into(),
                source: "/s".into(),
                options: vec![(*option).to_owned()],
                uid_mappings: idmapped.clone(),
                gid_mappings: idmapped,
                ..Mount::default()
            };
            parse(&mount, 0).expect(option);
        }
    }
}
