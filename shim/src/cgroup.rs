//! Where the container's control groups are; what they say is read in `stats` and `oom`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

/// The folders of one container's control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cgroup {
    /// One folder for each v1 controller, by the controller's name.
    V1(HashMap<String, PathBuf>),
    /// The one folder of the unified hierarchy.
    V2(PathBuf),
}

/// A mounted hierarchy: its v1 controllers (none for v2), its mount point, and what is mounted there.
#[derive(Debug)]
struct Hierarchy {
    controllers: Vec<String>,
    point: PathBuf,
    root: PathBuf,
}

/// All cgroup hierarchies in the text of /proc/self/mountinfo.
fn hierarchies(mountinfo: &str) -> Vec<Hierarchy> {
    let parse = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        let controllers = match *right.first()? {
            "cgroup" => right.get(2)?.split(',').map(str::to_owned).collect(),
            "cgroup2" => Vec::new(),
            _ => return None,
        };
        Some(Hierarchy {
            controllers,
            point: left.get(4)?.into(),
            root: left.get(3)?.into(),
        })
    };
    mountinfo.lines().filter_map(parse).collect()
}

/// The path of a process in the hierarchy of `controller` (empty for v2), from /proc/PID/cgroup.
fn path_of<'a>(membership: &'a str, controller: &str) -> Option<&'a str> {
    membership.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        controllers
            .split(',')
            .any(|name| name == controller)
            .then_some(path)
    })
}

impl Hierarchy {
    /// The folder of a container: by the path that its config asks for, else where its process is.
    fn folder(&self, wanted: &str, membership: &str) -> Option<PathBuf> {
        let by_config = wanted
            .starts_with('/')
            .then(|| self.point.join(wanted.trim_start_matches('/')));
        if let Some(folder) = by_config.filter(|folder| wanted != "/" && folder.is_dir()) {
            return Some(folder);
        }
        let path = match self.controllers.as_slice() {
            [] => path_of(membership, ""),
            // Mount options such as "rw" are among the names, and match nothing.
            names => names.iter().find_map(|name| path_of(membership, name)),
        };
        let path = Path::new(path?);
        let below = path.strip_prefix(&self.root).ok()?;
        Some(self.point.join(below))
    }
}

impl Cgroup {
    /// Find the groups of the container whose process is `pid` and whose config has `cgroups_path`.
    pub(crate) fn find(cgroups_path: &str, pid: u32) -> Option<Cgroup> {
        let membership = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        Cgroup::of(cgroups_path, &membership)
    }

    /// Those that exist below `path`, whoever is in them.
    pub(crate) fn named(path: &str) -> Option<Cgroup> {
        Cgroup::of(path, "")
    }

    fn of(cgroups_path: &str, membership: &str) -> Option<Cgroup> {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let all = hierarchies(&mountinfo);
        let v1: HashMap<String, PathBuf> = all
            .iter()
            .filter_map(|hierarchy| Some((hierarchy, hierarchy.folder(cgroups_path, membership)?)))
            .flat_map(|(hierarchy, folder)| {
                hierarchy
                    .controllers
                    .iter()
                    .map(move |name| (name.clone(), folder.clone()))
            })
            .collect();
        // Hybrid hosts mount a unified hierarchy as well, with few controllers or none.
        if v1.contains_key("memory") || v1.contains_key("pids") || v1.contains_key("cpu") {
            return Some(Cgroup::V1(v1));
        }
        let unified = all
            .iter()
            .find(|hierarchy| hierarchy.controllers.is_empty())?;
        Some(Cgroup::V2(unified.folder(cgroups_path, membership)?))
    }
}

/// Kill and remove what is left of a container's groups. The last resort, after the runtime's own
/// delete; it acts only on groups that carry the container's id in their name.
pub(crate) fn remove_leftovers(cgroups_path: &str, id: &str) {
    let named = Path::new(cgroups_path)
        .file_name()
        .is_some_and(|name| name.to_string_lossy().contains(id));
    if !cgroups_path.starts_with('/') || !named || cgroups_path.split('/').any(|part| part == "..")
    {
        return;
    }
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for hierarchy in hierarchies(&mountinfo) {
        let folder = hierarchy.point.join(cgroups_path.trim_start_matches('/'));
        for _ in 0..50 {
            if !folder.is_dir() || remove_tree(&folder) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// Kill the processes of a group and those below it, then remove the groups; false to try again.
fn remove_tree(folder: &Path) -> bool {
    let children = fs::read_dir(folder).into_iter().flatten().flatten();
    for child in children.filter(|child| child.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_tree(&child.path());
    }
    let pids = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    for pid in pids
        .lines()
        .filter_map(|line| Pid::from_raw(line.parse().ok()?))
    {
        let _already_gone = kill_process(pid, Signal::KILL);
    }
    // A frozen process does not die of a signal.
    let _v1 = fs::write(folder.join("freezer.state"), "THAWED");
    let _v2 = fs::write(folder.join("cgroup.freeze"), "0");
    fs::remove_dir(folder).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
30 24 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
31 24 0:27 /kubepods /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
33 24 0:29 / /proc rw - proc proc rw";

    #[test]
    fn finds_v1_folders_by_the_process() {
        let all = hierarchies(MOUNTINFO);
        assert_eq!(all.len(), 3);
        let membership = "3:cpu,cpuacct:/pod/x\n2:memory:/kubepods/pod/x\n0::/\n";
        assert_eq!(
            all[0].folder("", membership),
            Some("/sys/fs/cgroup/cpu,cpuacct/pod/x".into())
        );
        assert_eq!(
            all[1].folder("", membership),
            Some("/sys/fs/cgroup/memory/pod/x".into())
        );
        assert_eq!(
            all[2].folder("", membership),
            Some("/sys/fs/cgroup/unified/".into())
        );
    }
}
