//! The document that `caisson spec` writes: the same container as runc's default.

use super::types::{
    Capabilities, DeviceCgroup, IdMapping, Linux, Mount, Namespace, Process, Resources, Rlimit,
    Root, Spec,
};

/// The newest specification this runtime was written against.
pub const OCI_VERSION: &str = "1.2.0";
/// What the default document says, so that older runtimes take it as well.
const DOCUMENT_VERSION: &str = "1.0.2";

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: kind.into(),
        source: source.into(),
        options: strings(options),
        ..Mount::default()
    }
}

fn mounts() -> Vec<Mount> {
    vec![
        mount("/proc", "proc", "proc", &[]),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        ),
        mount(
            "/dev/mqueue",
            "mqueue",
            "mqueue",
            &["nosuid", "noexec", "nodev"],
        ),
        mount(
            "/sys",
            "sysfs",
            "sysfs",
            &["nosuid", "noexec", "nodev", "ro"],
        ),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "relatime", "ro"],
        ),
    ]
}

fn process() -> Process {
    let rights = strings(&["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    Process {
        terminal: true,
        args: strings(&["sh"]),
        env: strings(&[
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TERM=xterm",
        ]),
        cwd: "/".into(),
        capabilities: Some(Capabilities {
            bounding: rights.clone(),
            effective: rights.clone(),
            permitted: rights,
            ..Capabilities::default()
        }),
        rlimits: vec![Rlimit {
            kind: "RLIMIT_NOFILE".into(),
            hard: 1024,
            soft: 1024,
        }],
        no_new_privileges: true,
        ..Process::default()
    }
}

/// Make the document one that an ordinary user can run: its own id is the container's root, and what it has no rights
/// to is left out. The host's network is shared: giving an own one a way out takes rights, too.
pub fn make_rootless(spec: &mut Spec) {
    let own = |host_id: u32| {
        vec![IdMapping {
            container_id: 0,
            host_id,
            size: 1,
        }]
    };
    let linux = &mut spec.linux;
    linux
        .namespaces
        .retain(|namespace| namespace.kind != "network");
    linux.namespaces.push(Namespace {
        kind: "user".into(),
        path: String::new(),
    });
    linux.uid_mappings = own(rustix::process::geteuid().as_raw());
    linux.gid_mappings = own(rustix::process::getegid().as_raw());
    linux.resources = Resources::default();
    for mount in &mut spec.mounts {
        mount
            .options
            .retain(|option| !option.starts_with("uid=") && !option.starts_with("gid="));
    }
}

/// A new default document.
pub fn spec() -> Spec {
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup"];
    let deny_all = DeviceCgroup {
        access: "rwm".into(),
        ..DeviceCgroup::default()
    };
    Spec {
        oci_version: DOCUMENT_VERSION.into(),
        root: Some(Root {
            path: "rootfs".into(),
            readonly: true,
        }),
        process: Some(process()),
        hostname: "caisson".into(),
        mounts: mounts(),
        linux: Linux {
            resources: Resources {
                devices: vec![deny_all],
                ..Resources::default()
            },
            namespaces: namespaces
                .iter()
                .map(|kind| Namespace {
                    kind: (*kind).into(),
                    path: String::new(),
                })
                .collect(),
            masked_paths: strings(&[
                "/proc/acpi",
                "/proc/asound",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/timer_list",
                "/proc/timer_stats",
                "/proc/sched_debug",
                "/sys/firmware",
                "/proc/scsi",
            ]),
            readonly_paths: strings(&[
                "/proc/bus",
                "/proc/fs",
                "/proc/irq",
                "/proc/sys",
                "/proc/sysrq-trigger",
            ]),
            ..Linux::default()
        },
        ..Spec::default()
    }
}
