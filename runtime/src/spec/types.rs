//! The shape of `config.json`, OCI runtime specification 1.2.
//!
//! Properties that this runtime refuses are kept as raw JSON values so that [`super::check`] can name
//! them with their value.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Go marshals an empty list as `null`.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

macro_rules! shape {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $kind:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            $($(#[$field_meta])* #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")] pub $field: $kind,)*
        }
    )*};
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

shape! {
    Spec {
        oci_version: String,
        root: Option<Root>,
        process: Option<Process>,
        hostname: String,
        domainname: String,
        mounts: Vec<Mount>,
        hooks: Hooks,
        annotations: BTreeMap<String, String>,
        linux: Linux,
        solaris: Option<Value>,
        windows: Option<Value>,
        vm: Option<Value>,
        zos: Option<Value>,
        freebsd: Option<Value>,
    }
    Root { path: PathBuf, readonly: bool, }
    Process {
        terminal: bool,
        console_size: Option<ConsoleSize>,
        user: User,
        args: Vec<String>,
        command_line: String,
        env: Vec<String>,
        cwd: String,
        capabilities: Option<Capabilities>,
        rlimits: Vec<Rlimit>,
        no_new_privileges: bool,
        apparmor_profile: String,
        selinux_label: String,
        oom_score_adj: Option<i32>,
        scheduler: Option<Scheduler>,
        io_priority: Option<IoPriority>,
        #[serde(rename = "execCPUAffinity")]
        exec_cpu_affinity: Option<ExecCpuAffinity>,
    }
    Scheduler {
        policy: String,
        nice: i32,
        priority: i32,
        flags: Vec<String>,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    IoPriority { class: String, priority: i32, }
    ExecCpuAffinity {
        initial: String,
        #[serde(rename = "final")]
        last: String,
    }
    ConsoleSize { height: u64, width: u64, }
    User {
        uid: u32,
        gid: u32,
        umask: Option<u32>,
        additional_gids: Vec<u32>,
        username: String,
    }
    Capabilities {
        bounding: Vec<String>,
        effective: Vec<String>,
        inheritable: Vec<String>,
        permitted: Vec<String>,
        ambient: Vec<String>,
    }
    Rlimit {
        #[serde(rename = "type")]
        kind: String,
        hard: u64,
        soft: u64,
    }
    Mount {
        destination: String,
        #[serde(rename = "type")]
        kind: String,
        source: String,
        options: Vec<String>,
        uid_mappings: Vec<IdMapping>,
        gid_mappings: Vec<IdMapping>,
    }
    IdMapping {
        #[serde(rename = "containerID")]
        container_id: u32,
        #[serde(rename = "hostID")]
        host_id: u32,
        size: u32,
    }
    Hooks {
        prestart: Vec<Hook>,
        create_runtime: Vec<Hook>,
        create_container: Vec<Hook>,
        start_container: Vec<Hook>,
        poststart: Vec<Hook>,
        poststop: Vec<Hook>,
    }
    Hook { path: String, args: Vec<String>, env: Vec<String>, timeout: Option<i64>, }
    Linux {
        uid_mappings: Vec<IdMapping>,
        gid_mappings: Vec<IdMapping>,
        sysctl: BTreeMap<String, String>,
        resources: Resources,
        cgroups_path: String,
        namespaces: Vec<Namespace>,
        devices: Vec<Device>,
        seccomp: Option<Seccomp>,
        rootfs_propagation: String,
        masked_paths: Vec<String>,
        readonly_paths: Vec<String>,
        mount_label: String,
        intel_rdt: Option<Value>,
        personality: Option<Personality>,
        time_offsets: TimeOffsets,
        memory_policy: Option<MemoryPolicy>,
        net_devices: BTreeMap<String, NetDevice>,
    }
    NetDevice { name: String, }
    MemoryPolicy { mode: String, nodes: String, flags: Vec<String>, }
    Personality { domain: String, flags: Vec<String>, }
    TimeOffsets { monotonic: Option<TimeOffset>, boottime: Option<TimeOffset>, }
    TimeOffset { secs: i64, nanosecs: u32, }
    Namespace {
        #[serde(rename = "type")]
        kind: String,
        path: String,
    }
    Device {
        path: String,
        #[serde(rename = "type")]
        kind: String,
        major: i64,
        minor: i64,
        file_mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
    }
    Seccomp {
        default_action: String,
        default_errno_ret: Option<u64>,
        architectures: Vec<String>,
        flags: Vec<String>,
        listener_path: String,
        listener_metadata: String,
        syscalls: Vec<SeccompRule>,
    }
    SeccompRule {
        names: Vec<String>,
        action: String,
        errno_ret: Option<u64>,
        args: Vec<SeccompArgument>,
    }
    SeccompArgument { index: u32, value: u64, value_two: u64, op: String, }
    Resources {
        devices: Vec<DeviceCgroup>,
        memory: Memory,
        cpu: Cpu,
        pids: Option<Pids>,
        #[serde(rename = "blockIO")]
        block_io: BlockIo,
        hugepage_limits: Vec<HugepageLimit>,
        network: Option<Network>,
        rdma: BTreeMap<String, Rdma>,
        unified: BTreeMap<String, String>,
    }
    DeviceCgroup {
        allow: bool,
        #[serde(rename = "type")]
        kind: String,
        major: Option<i64>,
        minor: Option<i64>,
        access: String,
    }
    Memory {
        limit: Option<i64>,
        reservation: Option<i64>,
        swap: Option<i64>,
        kernel: Option<i64>,
        #[serde(rename = "kernelTCP")]
        kernel_tcp: Option<i64>,
        swappiness: Option<u64>,
        #[serde(rename = "disableOOMKiller")]
        disable_oom_killer: Option<bool>,
        use_hierarchy: Option<bool>,
        check_before_update: Option<bool>,
    }
    Cpu {
        shares: Option<u64>,
        quota: Option<i64>,
        burst: Option<u64>,
        period: Option<u64>,
        realtime_runtime: Option<i64>,
        realtime_period: Option<u64>,
        cpus: String,
        mems: String,
        idle: Option<i64>,
    }
    Pids { limit: Option<i64>, }
    BlockIo {
        weight: Option<u16>,
        leaf_weight: Option<u16>,
        weight_device: Vec<WeightDevice>,
        throttle_read_bps_device: Vec<ThrottleDevice>,
        throttle_write_bps_device: Vec<ThrottleDevice>,
        #[serde(rename = "throttleReadIOPSDevice")]
        throttle_read_iops_device: Vec<ThrottleDevice>,
        #[serde(rename = "throttleWriteIOPSDevice")]
        throttle_write_iops_device: Vec<ThrottleDevice>,
    }
    WeightDevice { major: i64, minor: i64, weight: Option<u16>, leaf_weight: Option<u16>, }
    ThrottleDevice { major: i64, minor: i64, rate: u64, }
    HugepageLimit { page_size: String, limit: u64, }
    Rdma { hca_handles: Option<u32>, hca_objects: Option<u32>, }
    Network {
        #[serde(rename = "classID")]
        class_id: Option<u32>,
        priorities: Vec<NetworkPriority>,
    }
    NetworkPriority { name: String, priority: u32, }
}

impl Linux {
    /// Whether `namespaces` names this kind, by path or not.
    pub fn has_namespace(&self, kind: &str) -> bool {
        self.namespaces
            .iter()
            .any(|namespace| namespace.kind == kind)
    }

    /// The checked execution domain in Linux's number, linux/personality.h.
    pub fn personality(&self) -> Option<u32> {
        let wanted = self.personality.as_ref()?;
        Some(if wanted.domain == "LINUX32" { 8 } else { 0 })
    }
}
