//! OCI bundles for the benchmark: the same config.json for every runtime.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The guest program's directory in a container.
pub(super) const GUEST_DIRECTORY: &str = "/mnt";

/// A directory with a config.json.
pub(crate) struct Bundle {
    directory: PathBuf,
    rootfs: PathBuf,
    guest: PathBuf,
    read_only: bool,
}

impl Bundle {
    /// One whose tree nobody can write to.
    pub(super) fn read_only(rootfs: &Path, guest: &Path, scratch: &Path) -> Result<Bundle> {
        Bundle::new(rootfs, guest, scratch.join("bundle"), true)
    }

    /// One with a tree of its own to write to.
    pub(super) fn writable(rootfs: &Path, guest: &Path, directory: PathBuf) -> Result<Bundle> {
        Bundle::new(rootfs, guest, directory, false)
    }

    fn new(rootfs: &Path, guest: &Path, directory: PathBuf, read_only: bool) -> Result<Bundle> {
        let guest_directory = directory.join("guest");
        fs::create_dir_all(&guest_directory)
            .with_context(|| format!("cannot create {}", guest_directory.display()))?;
        fs::copy(guest, guest_directory.join("guest")).context("cannot copy the guest program")?;
        Ok(Bundle {
            directory,
            rootfs: rootfs.to_owned(),
            guest: guest_directory,
            read_only,
        })
    }

    /// The bundle's directory, after `arguments` was made what it runs.
    pub(super) fn with(&self, arguments: &[&str]) -> Result<&Path> {
        let path = self.directory.join("config.json");
        fs::write(&path, self.configuration(arguments).to_string())
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(&self.directory)
    }

    fn configuration(&self, arguments: &[&str]) -> Value {
        // What containerd and Docker grant by default.
        let capabilities = [
            "CAP_CHOWN",
            "CAP_DAC_OVERRIDE",
            "CAP_FSETID",
            "CAP_FOWNER",
            "CAP_MKNOD",
            "CAP_NET_RAW",
            "CAP_SETGID",
            "CAP_SETUID",
            "CAP_SETFCAP",
            "CAP_SETPCAP",
            "CAP_NET_BIND_SERVICE",
            "CAP_SYS_CHROOT",
            "CAP_KILL",
            "CAP_AUDIT_WRITE",
        ];
        let dev = ["nosuid", "strictatime", "mode=755", "size=65536k"];
        let pts = [
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
            "gid=5",
        ];
        let shm = ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"];
        let namespaces =
            ["pid", "ipc", "uts", "mount", "network"].map(|kind| json!({ "type": kind }));
        json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": { "uid": 0, "gid": 0 },
                "args": arguments,
                "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"],
                "cwd": "/",
                "capabilities": {
                    "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
                },
            },
            "root": { "path": self.rootfs, "readonly": self.read_only },
            "hostname": "bench",
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": dev },
                { "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": pts },
                { "destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": shm },
                { "destination": GUEST_DIRECTORY, "type": "bind", "source": self.guest, "options": ["rbind", "ro"] },
            ],
            "linux": {
                "namespaces": namespaces,
            },
        })
    }
}
