//! The trees mounted for real, over a pid namespace of our own. Needs root and /dev/fuse.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::proc::ThreadNames;
use crate::system::Names;

use super::{
    CapabilityMasks, Guests, Ids, Kind, ProcessFacts, Rights, ServerHandle, SystemFacts, WalkMode,
    Walker,
};

mod machine;
mod processes;

/// A guest of three processes, and a walker for every thread that asks.
struct Fake {
    host: OwnedFd,
    guest: Arc<OwnedFd>,
    walker: Arc<Walker>,
    system: SystemFacts,
    hostname: Mutex<String>,
    thread_names: ThreadNames,
    /// Effective set of process 1.
    capabilities: Arc<AtomicU64>,
    uid_of_init: Arc<AtomicU32>,
}

impl Guests for Fake {
    fn host_proc(&self) -> BorrowedFd<'_> {
        self.host.as_fd()
    }

    fn guest_proc(&self) -> Option<Arc<OwnedFd>> {
        Some(Arc::clone(&self.guest))
    }

    fn facts(&self, pid: u32, _: u32) -> Option<ProcessFacts> {
        let id = if pid == 1 {
            self.uid_of_init.load(Ordering::Relaxed)
        } else {
            1000
        };
        let ids = Ids {
            real: id,
            effective: id,
            saved: id,
            filesystem: id,
        };
        (pid < 3).then(|| ProcessFacts {
            uid: ids,
            gid: ids,
            groups: vec![id],
            umask: 0o22,
            dumpable: true,
            exe: b"/bin/guest".to_vec(),
            cwd: b"/tmp".to_vec(),
            root: b"/".to_vec(),
            capabilities: CapabilityMasks {
                effective: if pid == 1 {
                    self.capabilities.load(Ordering::Relaxed)
                } else {
                    0
                },
                ..CapabilityMasks::default()
            },
            ..ProcessFacts::default()
        })
    }

    fn rights(&self, pid: u32) -> Option<Rights> {
        let facts = self.facts(pid, pid)?;
        Some(Rights {
            uid: facts.uid,
            gid: facts.gid,
            effective: facts.capabilities.effective,
            permitted: facts.capabilities.permitted,
            dumpable: facts.dumpable,
            serial: pid.into(),
        })
    }

    fn walker(&self, _: u32) -> Option<Arc<Walker>> {
        Some(Arc::clone(&self.walker))
    }

    fn system(&self) -> Option<&SystemFacts> {
        Some(&self.system)
    }

    fn thread_names(&self) -> Option<&ThreadNames> {
        Some(&self.thread_names)
    }

    fn names(&self, _: u32) -> Names {
        Names {
            host: self.hostname.lock().unwrap().clone(),
            domain: String::new(),
        }
    }

    fn set_hostname(&self, _: u32, name: &str) -> Result<(), Errno> {
        *self.hostname.lock().unwrap() = name.to_owned();
        Ok(())
    }
}

/// A mounted tree and the processes behind it; all of it goes with the value.
struct Stand {
    directory: PathBuf,
    mount: ServerHandle,
    processes: Child,
    /// Host pid of process 1.
    init: u32,
    walker: Arc<Walker>,
    capabilities: Arc<AtomicU64>,
    uid_of_init: Arc<AtomicU32>,
}

impl Stand {
    fn new(kind: Kind) -> Stand {
        Stand::with_cgroups(kind, Vec::new())
    }

    fn with_cgroups(kind: Kind, cgroups: Vec<(String, OwnedFd)>) -> Stand {
        let mut processes = Command::new("unshare")
            .args([
                "--pid",
                "--ipc",
                "--fork",
                "--mount-proc",
                "--kill-child",
                "sh",
                "-c",
            ])
            .arg("sleep 1000 & sleep 1000 & readlink /proc/1/ns/pid; exec sleep 1000")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Once the line is there the namespace and its procfs are.
        let mut line = String::new();
        BufReader::new(processes.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let children = format!("/proc/{0}/task/{0}/children", processes.id());
        let init: u32 = fs::read_to_string(children)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let guest = File::open(format!("/proc/{init}/root/proc")).unwrap();
        let ready = |pid: u32| {
            let comm = fs::read_to_string(format!("/proc/{init}/root/proc/{pid}/comm"));
            comm.is_ok_and(|comm| comm == "sleep\n")
        };
        wait_for("the guest to start", || (1..=3).all(ready));
        let walker = Arc::new(Walker::default());
        walker.begin(1, 1, WalkMode::ReadLink);
        let capabilities = Arc::new(AtomicU64::new(0));
        let uid_of_init = Arc::new(AtomicU32::new(0));
        let fake = Fake {
            uid_of_init: Arc::clone(&uid_of_init),
            capabilities: Arc::clone(&capabilities),
            host: File::open("/proc").unwrap().into(),
            guest: Arc::new(guest.into()),
            walker: Arc::clone(&walker),
            system: SystemFacts {
                release: "6.1.0-test".to_owned(),
                version: "#1 SMP".to_owned(),
                cgroups,
                sysctl: vec![("kernel.shmmax".to_owned(), "4711".to_owned())],
                ..SystemFacts::default()
            },
            hostname: Mutex::new("testhost".to_owned()),
            thread_names: ThreadNames::default(),
        };
        let directory = std::env::temp_dir().join(format!("caisson-{kind:?}-{}", processes.id()));
        fs::create_dir(&directory).unwrap();
        caisson_sys::signal::prepare_wake();
        let mount = super::mount(&directory, kind, None, Arc::new(fake)).unwrap();
        Stand {
            directory,
            mount,
            processes,
            init,
            walker,
            capabilities,
            uid_of_init,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn read(&self, name: &str) -> String {
        let path = self.path(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        let _ = self.processes.kill();
        let _ = self.processes.wait();
        let stopped = self.mount.unmount(&self.directory);
        let _ = fs::remove_dir(&self.directory);
        if !std::thread::panicking() {
            stopped.unwrap();
            wait_for("the threads to end with the mount", || {
                self.mount.is_finished()
            });
        }
    }
}

fn wait_for(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Every file below `directory`, links not followed.
fn all_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            all_files(&entry.path(), found);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
}
