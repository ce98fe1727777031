//! `config.json` as containerd would write it for an ordinary container, without its seccomp profile:
//! the reference is the host kernel, not another filter.

use std::path::Path;

use serde_json::{Value, json};

/// Who the container's process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    Root,
    /// uid and gid 1000, `dev` of the images; no capability.
    Dev,
}

impl User {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            User::Root => "root",
            User::Dev => "dev",
        }
    }
}

/// What containerd and Docker grant by default.
const CAPABILITIES: &[&str] = &[
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// A `config.json`.
#[derive(Debug, Clone)]
pub struct Config(Value);

impl Config {
    #[must_use]
    pub fn new(args: &[&str], user: User) -> Config {
        let (id, home) = match user {
            User::Root => (0, "/root"),
            User::Dev => (1000, "/home/dev"),
        };
        let granted: &[&str] = if user == User::Root {
            CAPABILITIES
        } else {
            &[]
        };
        Config(json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": false,
                "user": { "uid": id, "gid": id },
                "args": args,
                "env": [
                    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                    format!("HOME={home}"),
                    format!("USER={}", user.name()),
                    "LC_ALL=C.UTF-8",
                    "TERM=xterm",
                ],
                "cwd": "/",
                // Programs that gain rights by set-user-ID (su, sudo) need the bounding set.
                "capabilities": {
                    "bounding": CAPABILITIES, "effective": granted, "permitted": granted,
                },
                "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
                "noNewPrivileges": false,
            },
            "root": { "path": "rootfs", "readonly": false },
            "hostname": "pod",
            "mounts": mounts(),
            "linux": {
                "resources": { "devices": [
                    { "allow": false, "access": "rwm" },
                    { "allow": true, "type": "c", "access": "rwm", "major": 1 },
                    { "allow": true, "type": "c", "access": "rwm", "major": 5 },
                    { "allow": true, "type": "c", "access": "rwm", "major": 136 },
                ] },
                "namespaces": [
                    { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" },
                ],
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            },
        }))
    }

    #[must_use]
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// Adds a mount after the usual ones.
    pub fn mount(&mut self, kind: &str, source: &Path, destination: &str, options: &[&str]) {
        let mount = json!({ "type": kind, "source": source, "destination": destination, "options": options });
        self.0["mounts"]
            .as_array_mut()
            .expect("mounts is an array")
            .push(mount);
    }

    /// Leaves out one of the usual mounts.
    pub fn unmount(&mut self, destination: &str) {
        let mounts = self.0["mounts"].as_array_mut();
        mounts
            .expect("mounts is an array")
            .retain(|mount| mount["destination"] != destination);
    }

    /// Gives the process one more capability than is usual.
    pub fn grant(&mut self, capability: &str) {
        let sets = &mut self.0["process"]["capabilities"];
        for set in ["bounding", "effective", "permitted"] {
            let mut all = sets[set].as_array().cloned().unwrap_or_default();
            all.push(json!(capability));
            sets[set] = json!(all);
        }
    }

    /// `linux.resources.pids.limit`.
    pub fn pids_limit(&mut self, limit: u32) {
        self.0["linux"]["resources"]["pids"] = json!({ "limit": limit });
    }

    /// Joins the network namespace at `path` in place of a new one.
    pub fn network(&mut self, path: &Path) {
        for namespace in self.0["linux"]["namespaces"]
            .as_array_mut()
            .expect("namespaces is an array")
        {
            if namespace["type"] == "network" {
                namespace["path"] = json!(path);
            }
        }
    }

    pub fn terminal(&mut self, rows: u16, columns: u16) {
        self.0["process"]["terminal"] = json!(true);
        self.0["process"]["consoleSize"] = json!({ "height": rows, "width": columns });
    }

    /// Soft and hard `RLIMIT_NOFILE`.
    pub fn open_files(&mut self, limit: u32) {
        self.0["process"]["rlimits"] =
            json!([{ "type": "RLIMIT_NOFILE", "hard": limit, "soft": limit }]);
    }

    /// Sets the container's cgroup, which tests name so that nothing of theirs is taken for another's.
    pub fn cgroup(&mut self, path: &str) {
        self.0["linux"]["cgroupsPath"] = json!(path);
    }
}

fn mounts() -> Value {
    json!([
        { "destination": "/proc", "type": "proc", "source": "proc" },
        { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
          "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
        { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
          "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
        { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
          "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
        { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"] },
        { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] },
        { "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777", "size=524288k"] },
    ])
}
