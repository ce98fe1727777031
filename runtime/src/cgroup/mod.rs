//! The container's control groups on v1 (a directory per hierarchy), v2 (one directory) and hybrid hosts
//! (v1 plus an empty or nearly empty cgroup2 mount).
//!
//! [`Cgroup`] is where the container's directories are; it is plain data, kept in the state. Two kinds of
//! processes live in it: the guest's, and the app kernel. What must not stop, count or kill the app kernel
//! (freezer, pids, devices) holds the guest only:
//!
//! * v1: the guest joins every hierarchy at `<path>`; the app kernel joins cpu, cpuacct, cpuset, memory, blkio.
//! * v2: limits are set on `<path>`; its leaves are `<path>/guest` (pids.max, freezer, kill) and `<path>/kernel`.
//!
//! The app kernel opens every device for the guest and enforces the device rules. Linux is told of them as well, by the
//! devices controller of v1 or a BPF program on v2's leaf `guest`.

pub mod below;
pub mod devices;
pub mod host;
pub mod limits;
mod limits_v1;
pub(crate) mod limits_v2;
pub mod procs;
pub mod stats;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::spec::SpecError;
use crate::spec::types::{Linux, Spec};
use crate::systemd::{Placeholder, Scope, SystemdError};
use host::{Hierarchy, Host};

#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    #[error("cgroup: {path}: {step}: {source}")]
    File {
        path: String,
        step: &'static str,
        source: std::io::Error,
    },
    #[error("cgroup: {field}: \"{value}\": {path}: {source}")]
    Limit {
        field: String,
        value: String,
        path: String,
        source: std::io::Error,
    },
    #[error("linux.cgroupsPath: \"{path}\": {count} processes are in it already")]
    Occupied { path: String, count: usize },
    #[error("--cgroup: \"{value}\": the container has no cgroup of that controller")]
    Below { value: String },
    #[error("cgroup: no cgroup file system is mounted")]
    None,
    #[error("the container has no cgroup: its creator had no access to any")]
    Without,
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Systemd(#[from] SystemdError),
}

pub(crate) fn io(
    path: &Path,
    step: &'static str,
) -> impl FnOnce(std::io::Error) -> CgroupError + use<> {
    let path = path.display().to_string();
    move |source| CgroupError::File { path, step, source }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    V1,
    V2,
}

/// The container's directory in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Name of the hierarchy's mount point: `memory`, `cpu,cpuacct`, `systemd`, `unified`.
    pub name: String,
    /// Empty for the cgroup2 mount and for named hierarchies.
    pub controllers: Vec<String>,
    pub path: PathBuf,
}

/// All directories of one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    pub version: Version,
    /// Path below every hierarchy's root.
    pub name: String,
    pub groups: Vec<Group>,
    /// The unit, if systemd manages them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

/// Who makes cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// This runtime, in the cgroup file systems.
    Files,
    /// systemd, when asked to; `linux.cgroupsPath` is then `slice:prefix:name`.
    Systemd,
}

/// Hierarchies of v1 that the app kernel is part of: they account and weigh, but do not stop it.
const OF_THE_KERNEL: [&str; 5] = ["cpu", "cpuacct", "cpuset", "memory", "blkio"];

/// Children of the container's directory on v2.
const LEAVES: [&str; 2] = ["guest", "kernel"];

impl Cgroup {
    /// Where the directories of a container will be; nothing is made yet. A relative `cgroupsPath` is below
    /// the root of each hierarchy, an empty one means `/<id>`. On a hybrid host the cgroup2 mount is used only if
    /// one of its controllers is: joining it costs an RCU grace period (about 10 ms). systemd needs it to follow a scope.
    pub fn plan(
        host: &Host,
        linux: &Linux,
        id: &str,
        manager: Manager,
    ) -> Result<Cgroup, CgroupError> {
        let (name, scope) = match manager {
            Manager::Files => (path_below_root(&linux.cgroups_path, id)?, None),
            Manager::Systemd => {
                let scope = Scope::parse(&linux.cgroups_path, id)?;
                (scope.path(), Some(scope))
            }
        };
        let needed = |hierarchy: &&Hierarchy| {
            host.version == Version::V2
                || !hierarchy.unified
                || scope.is_some()
                || !linux.resources.hugepage_limits.is_empty()
        };
        let groups = host
            .hierarchies
            .iter()
            .filter(needed)
            .map(|hierarchy| Group {
                name: hierarchy.name.clone(),
                controllers: hierarchy.controllers.clone(),
                path: hierarchy.mount.join(&name),
            });
        Ok(Cgroup {
            version: host.version,
            groups: groups.collect(),
            name: format!("/{name}"),
            scope,
        })
    }

    /// A cgroup that exists may be used only if no process is in it.
    pub fn check_vacant(&self) -> Result<(), CgroupError> {
        for group in &self.groups {
            let count = procs::of(&group.path).len();
            if count > 0 {
                return Err(CgroupError::Occupied {
                    path: group.path.display().to_string(),
                    count,
                });
            }
        }
        Ok(())
    }

    /// As [`Cgroup::create`], doing without what the caller may not make: limits are then refused one by one.
    pub fn create_where_permitted(&mut self, host: &Host) -> Result<(), CgroupError> {
        let whole = Cgroup::clone(self);
        self.groups.clear();
        for group in whole.groups {
            let one = Cgroup {
                groups: vec![group],
                ..self.clone()
            };
            match one.create_files(host) {
                Ok(()) if one.can_be_joined() => self.groups.extend(one.groups),
                Ok(()) => one.remove()?,
                Err(CgroupError::File { source, .. }) if is_permission(&source) => {}
                Err(error) => {
                    self.remove().ok();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Whether the calling process might move children into these directories: Linux looks at where they come from
    /// only when they are moved, but at the files first.
    fn can_be_joined(&self) -> bool {
        self.guest_files_below(&below::Below::default()).is_ok()
    }

    /// Make the directories of a container without a scope.
    fn create_files(&self, host: &Host) -> Result<(), CgroupError> {
        self.check_vacant()?;
        let result = self.make(host, None);
        if result.is_err() {
            self.remove().ok();
        }
        result
    }

    /// Make the directories. On failure those that were made are removed again. A scope of systemd's lives as long as
    /// something is in it: at first that is what is returned, which must be kept until the sandbox is.
    pub fn create(
        &self,
        host: &Host,
        spec: &Spec,
        id: &str,
    ) -> Result<Option<Placeholder>, CgroupError> {
        let Some(scope) = &self.scope else {
            return self.create_files(host).map(|()| None);
        };
        self.check_vacant()?;
        let made = scope
            .start(self.version, id, spec)
            .map_err(CgroupError::from);
        let made = made.and_then(|placeholder| {
            self.make(host, Some(&placeholder))?;
            Ok(Some(placeholder))
        });
        if made.is_err() {
            self.remove().ok();
        }
        made
    }

    fn make(&self, host: &Host, placeholder: Option<&Placeholder>) -> Result<(), CgroupError> {
        for group in &self.groups {
            let mut hierarchies = host.hierarchies.iter();
            let hierarchy = hierarchies
                .find(|hierarchy| group.path.starts_with(&hierarchy.mount))
                .ok_or(CgroupError::None)?;
            make_path(hierarchy, &group.path)?;
            if self.version == Version::V1 {
                // Processes live in the directory itself, which then must not pass controllers on.
                continue;
            }
            for leaf in LEAVES {
                mkdir(&group.path.join(leaf))?;
            }
            if let Some(placeholder) = placeholder {
                let file = group.path.join("kernel/cgroup.procs");
                std::fs::write(&file, placeholder.pid().to_string()).map_err(io(&file, "join"))?;
            }
            host::enable_controllers(&group.path);
        }
        Ok(())
    }

    /// The directory of `group` in which guest processes live.
    pub fn guest_dir(&self, group: &Group) -> PathBuf {
        match self.version {
            Version::V1 => group.path.clone(),
            Version::V2 => group.path.join("guest"),
        }
    }

    /// The group with this controller of v1.
    pub fn controller(&self, name: &str) -> Option<&Group> {
        self.groups
            .iter()
            .find(|group| group.controllers.iter().any(|known| known == name))
    }

    /// A directory that holds every guest process and nothing else.
    pub fn guests(&self) -> Option<PathBuf> {
        let group = match self.version {
            Version::V1 => ["freezer", "pids", "devices"]
                .iter()
                .find_map(|name| self.controller(name)),
            Version::V2 => self.groups.first(),
        };
        group.map(|group| self.guest_dir(group))
    }

    /// Put the calling thread, the only one of its process, where the app kernel belongs. Children inherit it.
    pub fn join_as_kernel(&self) -> Result<(), CgroupError> {
        for group in &self.groups {
            let file = match self.version {
                // The single thread of a process may move itself by `tasks` without the global lock
                // that cgroup.procs takes, which costs an RCU grace period.
                Version::V1 if self.holds_kernel(group) => group.path.join("tasks"),
                Version::V1 => continue,
                Version::V2 => group.path.join("kernel/cgroup.procs"),
            };
            std::fs::write(&file, "0").map_err(io(&file, "join"))?;
        }
        Ok(())
    }

    fn holds_kernel(&self, group: &Group) -> bool {
        group
            .controllers
            .iter()
            .any(|name| OF_THE_KERNEL.contains(&name.as_str()))
    }

    /// Files into which a child of the app kernel writes `0` to join, but for the groups that it is born into.
    pub fn guest_files(&self) -> Result<Vec<OwnedFd>, CgroupError> {
        let mut files = Vec::new();
        for group in &self.groups {
            if self.version == Version::V1 && self.holds_kernel(group) {
                continue;
            }
            let file = self.guest_dir(group).join(self.joined_by(group));
            let opened = File::options().write(true).open(&file);
            files.push(opened.map_err(io(&file, "open"))?.into());
        }
        Ok(files)
    }

    /// The file of a directory of `group` into which a single thread writes itself.
    fn joined_by(&self, group: &Group) -> &'static str {
        match self.version {
            Version::V1 if group.name != "unified" => "tasks",
            _ => "cgroup.procs",
        }
    }

    /// Move a process of the sandbox with all its threads to where the guest belongs.
    pub fn admit(&self, pid: u32) -> Result<(), CgroupError> {
        for group in &self.groups {
            let file = match self.version {
                Version::V1 if self.holds_kernel(group) => continue,
                Version::V1 => group.path.join("cgroup.procs"),
                Version::V2 => group.path.join("guest/cgroup.procs"),
            };
            std::fs::write(&file, pid.to_string()).map_err(io(&file, "join"))?;
        }
        Ok(())
    }

    /// Directories to read limits and usage from: controller (empty on v2) and directory.
    pub fn directories(&self) -> Result<Vec<(String, OwnedFd)>, CgroupError> {
        let mut directories = Vec::new();
        for group in &self.groups {
            let open = || {
                File::open(&group.path)
                    .map(OwnedFd::from)
                    .map_err(io(&group.path, "open"))
            };
            if self.version == Version::V2 {
                directories.push((String::new(), open()?));
            }
            for controller in &group.controllers {
                directories.push((controller.clone(), open()?));
            }
        }
        Ok(directories)
    }

    /// Remove every directory; those that are gone already are fine. A scope whose directories are gone goes by itself:
    /// that systemd does not answer, which happens on hosts that are short of time, is then no error.
    pub fn remove(&self) -> Result<(), CgroupError> {
        let stopped = self.scope.as_ref().map_or(Ok(()), Scope::stop);
        let mut first = Ok(());
        for group in &self.groups {
            let result = remove_tree(&group.path);
            first = first.and(result);
        }
        match stopped {
            Err(error) if !error.is_silence() => first.and(Err(error.into())),
            _ => first,
        }
    }
}

/// `linux.cgroupsPath` where cgroups are files.
fn path_below_root(cgroups_path: &str, id: &str) -> Result<String, SpecError> {
    let wanted = if cgroups_path.is_empty() {
        id
    } else {
        cgroups_path
    };
    let field = "linux.cgroupsPath";
    if wanted.split(':').count() == 3 && !wanted.contains('/') {
        let reason = "the systemd form slice:prefix:name needs --systemd-cgroup";
        return Err(SpecError::unsupported(field, wanted, reason));
    }
    let parts: Vec<&str> = wanted
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.is_empty() || parts.contains(&"..") {
        let reason = "must name a cgroup below the root, without ..";
        return Err(SpecError::invalid(field, wanted, reason));
    }
    Ok(parts.join("/"))
}

fn is_permission(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EACCES | libc::EPERM | libc::EROFS)
    )
}

fn mkdir(path: &Path) -> Result<(), CgroupError> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(io(path, "mkdir")(error))
        }
        _ => Ok(()),
    }
}

/// mkdir -p below the hierarchy's mount point, giving each level what its children need.
fn make_path(hierarchy: &Hierarchy, path: &Path) -> Result<(), CgroupError> {
    let below = path.strip_prefix(&hierarchy.mount).unwrap_or(Path::new(""));
    let mut here = hierarchy.mount.clone();
    for part in below.components() {
        if hierarchy.unified {
            host::enable_controllers(&here);
        }
        let parent = here.clone();
        here.push(part);
        mkdir(&here)?;
        if hierarchy.controllers.iter().any(|name| name == "cpuset") && !hierarchy.unified {
            inherit_cpuset(&parent, &here)?;
        }
    }
    Ok(())
}

/// A new cpuset of v1 is empty and nobody may join it.
fn inherit_cpuset(parent: &Path, child: &Path) -> Result<(), CgroupError> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = child.join(file);
        let now = std::fs::read_to_string(&own).map_err(io(&own, "read"))?;
        if now.trim().is_empty() {
            let from = parent.join(file);
            let value = std::fs::read_to_string(&from).map_err(io(&from, "read"))?;
            std::fs::write(&own, value.trim()).map_err(io(&own, "write"))?;
        }
    }
    Ok(())
}

/// rmdir, children first. A cgroup stays busy for a moment after its last process has ended.
fn remove_tree(path: &Path) -> Result<(), CgroupError> {
    const ATTEMPTS: u32 = 40;
    // Without a descriptor: having too few is one of the reasons why a `create` is undone.
    if std::fs::remove_dir(path).is_ok() {
        return Ok(());
    }
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(io(path, "read"))?,
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    for attempt in 0..ATTEMPTS {
        match std::fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && attempt + 1 < ATTEMPTS => {
                std::thread::sleep(std::time::Duration::from_millis(1 << (attempt / 4).min(6)));
            }
            Err(error) => return Err(io(path, "rmdir")(error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        let hierarchy = |name: &str| Hierarchy {
            name: name.into(),
            controllers: vec![name.into()],
            mount: Path::new("/sys/fs/cgroup").join(name),
            unified: false,
        };
        Host {
            version: Version::V1,
            hierarchies: vec![hierarchy("memory"), hierarchy("freezer")],
        }
    }

    #[test]
    fn paths_are_below_the_root_whatever_is_asked() {
        let plan = |path: &str| {
            let linux = Linux {
                cgroups_path: path.into(),
                ..Linux::default()
            };
            Cgroup::plan(&host(), &linux, "id1", Manager::Files)
        };
        assert_eq!(plan("").expect("default").name, "/id1");
        assert_eq!(plan("/a/./b//c").expect("absolute").name, "/a/b/c");
        assert_eq!(
            plan("a/b").expect("relative").groups[0].path,
            Path::new("/sys/fs/cgroup/memory/a/b")
        );
        for wrong in ["/", "..", "a/../../b", "system.slice:runc:x"] {
            let message = plan(wrong).expect_err(wrong).to_string();
            assert!(
                message.contains("linux.cgroupsPath") && message.contains(wrong),
                "{message}"
            );
        }
    }

    #[test]
    fn the_freezer_holds_the_guest_only() {
        let cgroup = Cgroup::plan(&host(), &Linux::default(), "x", Manager::Files).expect("plan");
        assert!(cgroup.holds_kernel(&cgroup.groups[0]));
        assert!(!cgroup.holds_kernel(&cgroup.groups[1]));
        assert_eq!(cgroup.guests(), Some("/sys/fs/cgroup/freezer/x".into()));
    }
}
