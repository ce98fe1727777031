//! Which cgroup file systems the host has, from /proc/self/mountinfo.

use std::path::{Path, PathBuf};

use super::{CgroupError, Version, io};
use crate::rootfs::attributes::unescape;

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Last component of the mount point.
    pub name: String,
    pub controllers: Vec<String>,
    pub mount: PathBuf,
    /// A cgroup2 mount.
    pub unified: bool,
}

/// All of them. On hybrid hosts `version` is [`Version::V1`] and the cgroup2 mount comes last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub version: Version,
    pub hierarchies: Vec<Hierarchy>,
}

impl Host {
    pub fn discover() -> Result<Host, CgroupError> {
        let path = Path::new("/proc/self/mountinfo");
        let text = std::fs::read_to_string(path).map_err(io(path, "read"))?;
        let mut host = parse(&text).ok_or(CgroupError::None)?;
        for hierarchy in host
            .hierarchies
            .iter_mut()
            .filter(|hierarchy| hierarchy.unified)
        {
            let file = hierarchy.mount.join("cgroup.controllers");
            let list = std::fs::read_to_string(&file).map_err(io(&file, "read"))?;
            hierarchy.controllers = list.split_whitespace().map(str::to_owned).collect();
        }
        Ok(host)
    }
}

impl Host {
    /// One that has none.
    pub fn without() -> Host {
        Host {
            version: Version::V2,
            hierarchies: Vec::new(),
        }
    }

    /// The path of a cgroup with this name beside that of the calling process. On v1 it is directly below the root of
    /// each hierarchy: the processes' places differ there.
    pub fn beside_own(&self, name: &str) -> String {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let path = own.lines().find_map(|line| line.strip_prefix("0::"));
        match (self.version, path.and_then(|path| Path::new(path).parent())) {
            (Version::V2, Some(parent)) => parent.join(name).display().to_string(),
            _ => name.to_owned(),
        }
    }
}

fn parse(mountinfo: &str) -> Option<Host> {
    let mut v1: Vec<Hierarchy> = Vec::new();
    let mut v2: Option<Hierarchy> = None;
    for line in mountinfo.lines() {
        let Some((mount, fs)) = line.split_once(" - ") else {
            continue;
        };
        let Some(point) = mount
            .split(' ')
            .nth(4)
            .map(|point| PathBuf::from(unescape(point)))
        else {
            continue;
        };
        let mut fs = fs.split(' ');
        let (kind, options) = (fs.next().unwrap_or(""), fs.nth(1).unwrap_or(""));
        let name = point
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if kind == "cgroup2" && v2.is_none() {
            v2 = Some(Hierarchy {
                name,
                controllers: Vec::new(),
                mount: point,
                unified: true,
            });
        } else if kind == "cgroup" {
            let controllers = v1_controllers(options);
            // The same hierarchy may be mounted twice; the first is the usual place.
            if !v1.iter().any(|known| {
                known.controllers == controllers && (!controllers.is_empty() || known.name == name)
            }) {
                v1.push(Hierarchy {
                    name,
                    controllers,
                    mount: point,
                    unified: false,
                });
            }
        }
    }
    match (v1.is_empty(), v2) {
        (true, None) => None,
        (true, Some(only)) => Some(Host {
            version: Version::V2,
            hierarchies: vec![only],
        }),
        (false, unified) => {
            v1.extend(unified);
            Some(Host {
                version: Version::V1,
                hierarchies: v1,
            })
        }
    }
}

/// Super options of a v1 mount: generic mount options, then controllers or `name=…`.
fn v1_controllers(options: &str) -> Vec<String> {
    const GENERIC: [&str; 7] = [
        "rw",
        "ro",
        "xattr",
        "noprefix",
        "clone_children",
        "cpuset_v2_mode",
        "favordynmods",
    ];
    options
        .split(',')
        .filter(|option| !GENERIC.contains(option) && !option.contains('=') && !option.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Pass every controller on to the children of a v2 cgroup. One that refuses (a threaded or busy parent) is
/// noticed when a limit that needs it is set.
pub(super) fn enable_controllers(directory: &Path) {
    let read = |file: &str| std::fs::read_to_string(directory.join(file)).unwrap_or_default();
    let enabled = read("cgroup.subtree_control");
    for controller in read("cgroup.controllers").split_whitespace() {
        if !enabled.split_whitespace().any(|known| known == controller) {
            std::fs::write(
                directory.join("cgroup.subtree_control"),
                format!("+{controller}"),
            )
            .ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:4 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
99 27 0:32 / /mnt/memory rw,relatime - cgroup cgroup rw,memory
";

    #[test]
    fn a_hybrid_host_is_v1_with_the_unified_mount_last() {
        let host = parse(HYBRID).expect("found");
        assert_eq!(host.version, Version::V1);
        let names: Vec<&str> = host
            .hierarchies
            .iter()
            .map(|hierarchy| hierarchy.name.as_str())
            .collect();
        assert_eq!(names, ["cpu,cpuacct", "memory", "systemd", "unified"]);
        assert_eq!(host.hierarchies[0].controllers, ["cpu", "cpuacct"]);
        assert!(host.hierarchies[2].controllers.is_empty());
    }

    #[test]
    fn a_lone_cgroup2_is_v2_and_nothing_is_nothing() {
        let host = parse("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw").expect("found");
        assert_eq!((host.version, host.hierarchies.len()), (Version::V2, 1));
        assert_eq!(parse("31 23 0:28 / /sys rw - sysfs sysfs rw"), None);
    }
}
