//! The folder of a container in the guest: config.json, root file system, and what a helper leaves there.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use caisson_wire::agent::{Create, Root, SHARES, SHARES_TAG};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind_recursive, unmount};
use serde_json::Value;

use crate::error::AgentError;
use crate::{sysctl, tmpfs};

/// Folders of containers.
const HOME: &str = "/run/caisson";

const CGROUPS: &str = "/sys/fs/cgroup";

/// Where libcontainer keeps its own state.
pub(crate) const STATE: &str = "/run/containers";

#[derive(Debug, Clone)]
pub(crate) struct Bundle {
    pub(crate) id: String,
}

impl Bundle {
    pub(crate) fn new(id: &str) -> Result<Bundle, AgentError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
        if id.is_empty() || id.starts_with('.') || !id.bytes().all(plain) {
            return Err(AgentError::Id(id.to_owned()));
        }
        Ok(Bundle { id: id.to_owned() })
    }

    pub(crate) fn folder(&self) -> PathBuf {
        Path::new(HOME).join(&self.id)
    }

    /// Make the folder, mount the root file system in it and write config.json.
    pub(crate) fn make(&self, create: &Create) -> Result<(), AgentError> {
        let root = self.folder().join("rootfs");
        let name = root.display().to_string();
        fs::create_dir_all(&root).map_err(AgentError::step("create", &name))?;
        fs::create_dir_all(STATE).map_err(AgentError::step("create", STATE))?;
        if create.shares {
            attach_shares()?;
        }
        match &create.root {
            Root::Share { name: share } => {
                let source = format!("{SHARES}/{share}");
                mount_bind_recursive(&source, &root)
                    .map_err(AgentError::step("mount", format!("{source} at {name}")))?;
            }
            Root::Device { path, read_only } => {
                let flags = if *read_only {
                    MountFlags::RDONLY
                } else {
                    MountFlags::empty()
                };
                mount(path, &root, "ext4", flags, c"")
                    .map_err(AgentError::step("mount", format!("{path} at {name}")))?;
            }
        }
        let mut config = create.config.clone();
        sysctl::apply(&mut config)?;
        tmpfs::modes(&mut config, &root)?;
        self.write("config.json", &config)
    }

    /// End what is left of the container, and give back what [`Bundle::make`] and libcontainer have made. What
    /// does not go stays until the machine ends.
    pub(crate) fn remove(&self) {
        let warn = |what: &str, error: std::io::Error| {
            eprintln!("caisson-agent: {}: {what}: {error}", self.id);
        };
        let cgroup = Path::new(CGROUPS).join(&self.id);
        if cgroup.exists()
            && let Err(error) = empty(&cgroup)
        {
            warn("remove the control group", error);
        }
        let root = self.folder().join("rootfs");
        if let Err(errno) = unmount(&root, UnmountFlags::DETACH) {
            warn("unmount the root", errno.into());
        }
        for folder in [self.folder(), Path::new(STATE).join(&self.id)] {
            if folder.exists()
                && let Err(error) = fs::remove_dir_all(&folder)
            {
                warn("remove", error);
            }
        }
    }

    pub(crate) fn write(&self, name: &str, document: &Value) -> Result<(), AgentError> {
        let path = self.folder().join(name);
        fs::write(&path, document.to_string())
            .map_err(AgentError::step("write", path.display().to_string()))
    }
}

/// Mount the file system of the host's shares, unless it is. Without flags: what containers get of it decides for each
/// of its mounts.
fn attach_shares() -> Result<(), AgentError> {
    static MOUNTED: Mutex<bool> = Mutex::new(false);
    let mut mounted = MOUNTED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*mounted {
        fs::create_dir_all(SHARES).map_err(AgentError::step("create", SHARES))?;
        mount(SHARES_TAG, SHARES, "virtiofs", MountFlags::empty(), c"")
            .map_err(AgentError::step("mount", SHARES))?;
        *mounted = true;
    }
    Ok(())
}

/// Kill everything in a control group and remove it with those below it.
fn empty(cgroup: &Path) -> std::io::Result<()> {
    const ATTEMPTS: u32 = 200;
    const PAUSE: Duration = Duration::from_millis(10);
    fs::write(cgroup.join("cgroup.kill"), "1")?;
    let mut attempts = ATTEMPTS;
    loop {
        match remove_tree(cgroup) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy && attempts > 0 => {
                attempts -= 1;
                std::thread::sleep(PAUSE);
            }
            other => return other,
        }
    }
}

/// Its files are not for us to remove, only its folders.
fn remove_tree(cgroup: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(cgroup)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(cgroup)
}

#[cfg(test)]
mod tests {
    use super::Bundle;

    #[test]
    fn ids_stay_below_their_folder() {
        for wrong in ["", ".", "..", "a/b", "../x", "a b"] {
            assert!(Bundle::new(wrong).is_err(), "{wrong}");
        }
        assert!(Bundle::new("a-1_b.c+d").is_ok());
    }
}
