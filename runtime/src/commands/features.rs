//! `features`: what this runtime can do, in the shape of the specification's features document.

use serde_json::{Value, json};

use super::print_json;
use crate::RuntimeError;
use crate::spec::{capability, default::OCI_VERSION};
use crate::transport;

#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Mount options that `rootfs::options` knows; a test holds the two together.
const MOUNT_OPTIONS: &[&str] = &[
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "lazytime",
    "loud",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "nolazytime",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "rexec",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnorelatime",
    "rnostrictatime",
    "rnosuid",
    "ro",
    "rprivate",
    "rrelatime",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "suid",
    "sync",
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
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "uts"],
            "capabilities": &capability::NAMES[..],
            "cgroup": {"v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": false},
            "seccomp": {"enabled": false},
            "apparmor": {"enabled": false},
            "selinux": {"enabled": false},
            "intelRdt": {"enabled": false},
            "mountExtensions": {"idmap": {"enabled": false}},
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
    use crate::spec::types::Mount;

    #[test]
    fn every_listed_mount_option_is_accepted() {
        for option in MOUNT_OPTIONS {
            let mount = Mount {
                kind: "bind".into(),
                source: "/s".into(),
                options: vec![(*option).to_owned()],
                ..Mount::default()
            };
            parse(&mount, 0).expect(option);
        }
    }
}
