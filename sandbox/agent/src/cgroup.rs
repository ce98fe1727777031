//! The control group of a container: what it uses, its limits, its processes, and kills for memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use caisson_wire::agent::{LIMIT_FILES, USAGE_FILES};
use rustix::fs::inotify;

use crate::bundle::Bundle;
use crate::error::AgentError;

/// Where the hierarchy is mounted.
const ROOT: &str = "/sys/fs/cgroup";

pub(crate) struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// Where libcontainer has put this container, as its config.json says.
    pub(crate) fn of(bundle: &Bundle) -> Cgroup {
        Cgroup {
            folder: Path::new(ROOT).join(&bundle.id),
        }
    }

    /// What the kernel has of [`USAGE_FILES`].
    pub(crate) fn usage(&self) -> BTreeMap<String, String> {
        let read = |name: &&str| {
            let text = fs::read_to_string(self.folder.join(name)).ok()?;
            Some(((*name).to_owned(), text))
        };
        USAGE_FILES.iter().filter_map(read).collect()
    }

    pub(crate) fn limit(&self, files: &[(String, String)]) -> Result<(), AgentError> {
        for (name, value) in files {
            if !LIMIT_FILES.contains(&name.as_str()) {
                return Err(AgentError::Limit(name.clone()));
            }
            let path = self.folder.join(name);
            fs::write(&path, value).map_err(AgentError::step(
                "write",
                format!("\"{value}\" to {}", path.display()),
            ))?;
        }
        Ok(())
    }

    /// Send a signal to every process, once to each, until no other has come meanwhile.
    pub(crate) fn signal(&self, signal: i32) {
        let mut told = BTreeSet::new();
        loop {
            let mut pids = Vec::new();
            collect(&self.folder, &mut pids);
            pids.retain(|pid| told.insert(*pid));
            if pids.is_empty() {
                return;
            }
            for pid in pids {
                caisson_sys::signal::send(pid, signal);
            }
        }
    }

    /// How often the kernel has killed for the memory limit.
    pub(crate) fn memory_kills(&self) -> u64 {
        let text = fs::read_to_string(self.folder.join("memory.events")).unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
            .unwrap_or(0)
    }

    /// Call `tell` with the number of kills whenever there are more, until the group is removed.
    pub(crate) fn watch_memory(&self, mut tell: impl FnMut(u64)) -> Result<(), AgentError> {
        let path = self.folder.join("memory.events");
        let fail = || AgentError::step::<rustix::io::Errno>("watch", path.display().to_string());
        let notices = inotify::init(inotify::CreateFlags::CLOEXEC).map_err(fail())?;
        inotify::add_watch(&notices, &path, inotify::WatchFlags::MODIFY).map_err(fail())?;
        let (mut told, mut notice) = (0, [0u8; 512]);
        loop {
            let kills = self.memory_kills();
            if kills > told {
                told = kills;
                tell(kills);
            }
            match rustix::io::read(&notices, &mut notice) {
                Ok(_) if path.exists() => {}
                Err(rustix::io::Errno::INTR) => {}
                _ => return Ok(()),
            }
        }
    }
}

fn collect(folder: &Path, pids: &mut Vec<i32>) {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), pids);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_can_write_limits_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("caisson-cgroup-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("memory.events"), "oom 3\noom_kill 2\n").expect("a file");
        let cgroup = Cgroup {
            folder: folder.clone(),
        };
        let limit = |name: &str| cgroup.limit(&[(name.to_owned(), "7".to_owned())]);
        let (known, unknown) = (limit("pids.max"), limit("cgroup.kill"));
        let (usage, kills) = (cgroup.usage(), cgroup.memory_kills());
        fs::remove_dir_all(&folder).expect("removed");
        known.expect("a limit");
        assert!(unknown.is_err_and(|error| error.to_string().contains("cgroup.kill")));
        assert_eq!(usage["pids.max"], "7");
        assert_eq!((usage.len(), kills), (2, 2));
    }
}
