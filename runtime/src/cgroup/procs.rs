//! The processes of a cgroup: listing, freezing, killing.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use caisson_sys::descriptor;

use super::{Cgroup, CgroupError, Version, io};

/// Pids in this directory and all below it.
pub fn of(directory: &Path) -> Vec<i32> {
    let text = std::fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            pids.extend(of(&entry.path()));
        }
    }
    pids
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freezer {
    Frozen,
    Thawed,
}

impl Cgroup {
    /// Host pids of all guest processes.
    pub fn guest_pids(&self) -> Vec<i32> {
        self.guests()
            .map(|directory| of(&directory))
            .unwrap_or_default()
    }

    /// Host pids of the processes beside the guests: of the sandbox itself.
    pub fn kernel_pids(&self) -> Vec<i32> {
        let mut pids = self.members();
        for guest in self.guest_pids() {
            pids.remove(&guest);
        }
        pids.into_iter().collect()
    }

    fn freezer(&self) -> Option<(PathBuf, &'static str, &'static str)> {
        match self.version {
            Version::V1 => {
                let group = self.controller("freezer")?;
                Some((group.path.join("freezer.state"), "FROZEN", "THAWED"))
            }
            Version::V2 => Some((self.guests()?.join("cgroup.freeze"), "1", "0")),
        }
    }

    /// Whether the guest was told to freeze.
    pub fn freezer_state(&self) -> Freezer {
        let text = self
            .freezer()
            .and_then(|(file, ..)| std::fs::read_to_string(file).ok())
            .unwrap_or_default();
        match text.trim() {
            "FROZEN" | "FREEZING" | "1" => Freezer::Frozen,
            _ => Freezer::Thawed,
        }
    }

    /// Freeze or thaw every guest process and wait until it has happened.
    ///
    /// A guest that waits inside a call which the app kernel has not answered yet cannot be frozen by Linux,
    /// but does not run either: once none runs, the guest counts as frozen.
    pub fn set_freezer(&self, wanted: Freezer) -> Result<(), CgroupError> {
        const PATIENCE: Duration = Duration::from_secs(5);
        let (file, frozen, thawed) = self.freezer().ok_or(CgroupError::Without)?;
        let word = if wanted == Freezer::Frozen {
            frozen
        } else {
            thawed
        };
        std::fs::write(&file, word).map_err(io(&file, "write"))?;
        let started = Instant::now();
        while wanted == Freezer::Frozen && !self.is_frozen(&file) {
            if started.elapsed() > PATIENCE {
                std::fs::write(&file, thawed).map_err(io(&file, "write"))?;
                return Err(io(&file, "freeze")(std::io::Error::from(
                    std::io::ErrorKind::TimedOut,
                )));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn is_frozen(&self, file: &Path) -> bool {
        let by_kernel = match self.version {
            Version::V1 => std::fs::read_to_string(file).is_ok_and(|text| text.trim() == "FROZEN"),
            Version::V2 => std::fs::read_to_string(file.with_file_name("cgroup.events"))
                .is_ok_and(|text| text.lines().any(|line| line == "frozen 1")),
        };
        by_kernel || self.guest_pids().iter().all(|pid| all_threads_sleep(*pid))
    }

    /// SIGKILL to every process in any of the container's directories, in a loop against forks: guests, a sandbox
    /// whose creator died before it noted the pid, and a guest that had joined half of its cgroups.
    /// `unblock` is called for those that have not ended after a while.
    pub fn kill_all(&self, unblock: &dyn Fn(i32)) -> Result<(), CgroupError> {
        const PATIENCE: Duration = Duration::from_secs(5);
        const STUCK: Duration = Duration::from_millis(50);
        let started = Instant::now();
        loop {
            let pids = self.members();
            if pids.is_empty() || started.elapsed() > PATIENCE {
                return Ok(());
            }
            for group in &self.groups {
                let file = group.path.join("cgroup.kill");
                if file.exists() {
                    std::fs::write(&file, "1").map_err(io(&file, "write"))?;
                }
            }
            for pid in pids {
                signal_if(pid, libc::SIGKILL, || self.members().contains(&pid));
                if started.elapsed() > STUCK {
                    unblock(pid);
                }
            }
            // A frozen process of v1 dies only when it thaws.
            self.set_freezer(Freezer::Thawed).ok();
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn members(&self) -> BTreeSet<i32> {
        self.groups
            .iter()
            .flat_map(|group| of(&group.path))
            .collect()
    }
}

/// Send `signal` to every one of `pids`. One that has ended meanwhile needs none.
pub fn signal_all(pids: &dyn Fn() -> Vec<i32>, signal: i32) {
    for pid in pids() {
        signal_if(pid, signal, || pids().contains(&pid));
    }
}

/// Signal `pid` if, once it cannot change its meaning any more, it is `still` one of ours.
fn signal_if(pid: i32, signal: i32, still: impl Fn() -> bool) {
    if let Ok(process) = descriptor::pidfd_open(pid)
        && still()
    {
        // An error means that it has ended.
        descriptor::pidfd_send_signal(process.as_fd(), signal).ok();
    }
}

fn all_threads_sleep(pid: i32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return true;
    };
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        let state = stat
            .rsplit(") ")
            .next()
            .and_then(|rest| rest.chars().next());
        // Killable waits for the app kernel show as D, frozen tasks as D or S of the refrigerator.
        matches!(state, None | Some('D' | 'Z' | 'X' | 'T' | 't'))
    })
}
