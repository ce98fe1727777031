//! A scratch bundle with busybox, a state folder of its own, and the binary under test. Needs root and
//! busybox-static; everything is taken back when the value is dropped.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use caisson_test_bundle::Tier;
use serde_json::{Value, json};

use crate::Runtime;

/// Copy a program that is to be executed. Not by this process: what other tests start meanwhile would inherit the
/// open file and keep it busy.
///
/// # Panics
/// If it cannot be copied.
pub fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status().expect("cp");
    assert!(copied.success(), "cp {} {}", from.display(), to.display());
}

/// The applets tests use.
const APPLETS: &[&str] = &[
    "sh", "true", "cat", "sleep", "ls", "id", "mount", "touch", "kill", "hostname", "dd", "grep",
    "stat", "tty", "cut", "head", "tr", "wc", "uname", "mkdir", "ln", "date", "httpd", "nc", "rm",
];

/// The host's id of the root of a container with a user namespace, see [`Bundle::map_ids`].
pub const MAPPED: u32 = 100_000;

fn give(path: &Path) {
    std::os::unix::fs::lchown(path, Some(MAPPED), Some(MAPPED)).expect("chown");
    if path.is_dir() && !path.is_symlink() {
        for entry in path.read_dir().expect("read").flatten() {
            give(&entry.path());
        }
    }
}

#[derive(Debug)]
pub struct Bundle {
    pub runtime: Runtime,
    pub folder: PathBuf,
    /// Where the runtime keeps its state.
    state: PathBuf,
    /// Unique on this machine; also the name of the container's cgroup.
    pub id: String,
    pub config: Value,
}

/// What a command did.
#[derive(Debug)]
pub struct Done {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// What a finished command has left.
    #[must_use]
    pub fn from(output: Output) -> Done {
        Done {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub fn succeeded(self) -> Done {
        assert_eq!(
            self.status, 0,
            "stdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        self
    }

    /// Failed with status 1 and a message that holds all `parts`.
    #[track_caller]
    pub fn refused(self, parts: &[&str]) -> Done {
        self.refused_with(1, parts)
    }

    /// The same with another status.
    #[track_caller]
    pub fn refused_with(self, status: i32, parts: &[&str]) -> Done {
        assert_eq!(
            self.status, status,
            "stdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "{part:?} is not in: {}",
                self.stderr
            );
        }
        self
    }
}

impl Bundle {
    /// A bundle for caisson whose init runs `script` in a shell.
    #[must_use]
    pub fn new(script: &str) -> Bundle {
        Bundle::under(Runtime::caisson(), script)
    }

    /// A bundle for any runtime.
    #[must_use]
    pub fn under(runtime: Runtime, script: &str) -> Bundle {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!(
            "rt-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(&id);
        let bin = folder.join("rootfs/bin");
        std::fs::create_dir_all(&bin).expect("make the root file system");
        for name in ["etc", "tmp", "proc", "sys", "dev"] {
            std::fs::create_dir_all(folder.join("rootfs").join(name)).expect("mkdir");
        }
        copy_program(Path::new("/bin/busybox"), &bin.join("busybox"));
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).expect("symlink");
        }
        let written = Command::new(Runtime::caisson().program)
            .args(["spec", "--bundle"])
            .arg(&folder)
            .status()
            .expect("spec");
        assert!(written.success());
        let text = std::fs::read(folder.join("config.json")).expect("config.json");
        let mut config: Value = serde_json::from_slice(&text).expect("json");
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["sh", "-c", script]);
        Bundle {
            runtime,
            state: folder.join("state"),
            folder,
            id,
            config,
        }
    }

    /// Give the container a user namespace with [`MAPPED`] ids, and its root file system, which becomes writable, to the
    /// root of that.
    ///
    /// # Panics
    /// If the files cannot be given away.
    pub fn map_ids(&mut self) {
        let list = self.config["linux"]["namespaces"].as_array_mut();
        list.expect("namespaces").push(json!({"type": "user"}));
        let line = json!([{"containerID": 0, "hostID": MAPPED, "size": 65536}]);
        self.config["linux"]["uidMappings"] = line.clone();
        self.config["linux"]["gidMappings"] = line;
        self.config["root"]["readonly"] = json!(false);
        give(&self.rootfs());
    }

    /// Keep the state in the same folder as the other's: containers of a pod.
    #[must_use]
    pub fn beside(mut self, other: &Bundle) -> Bundle {
        self.state = other.root();
        self
    }

    pub fn root(&self) -> PathBuf {
        self.state.clone()
    }

    pub fn rootfs(&self) -> PathBuf {
        self.folder.join("rootfs")
    }

    /// The command `caisson --root … arguments`, with config.json as it is now.
    pub fn command(&self, arguments: &[&str]) -> Command {
        std::fs::write(self.folder.join("config.json"), self.config.to_string())
            .expect("write config.json");
        let mut command = Command::new(&self.runtime.program);
        command
            .args(self.runtime.options)
            .arg("--root")
            .arg(self.root())
            .args(arguments)
            .stdin(Stdio::null())
            .current_dir(&self.folder);
        command
    }

    /// Run a command to its end. Its output goes to files, because a sandbox it leaves behind keeps it open; and each
    /// command's to files of its own, because the guest of an earlier one may still write to those.
    pub fn caisson(&self, arguments: &[&str]) -> Done {
        let (out, err) = (self.folder.join("stdout"), self.folder.join("stderr"));
        let create = |path: &Path| {
            std::fs::remove_file(path).ok();
            std::fs::File::create_new(path).expect("output file")
        };
        let status = self
            .command(arguments)
            .stdout(create(&out))
            .stderr(create(&err))
            .status()
            .expect("execute");
        let read = |path: &Path| std::fs::read(path).expect("output");
        Done::from(Output {
            status,
            stdout: read(&out),
            stderr: read(&err),
        })
    }

    /// `run` of the bundle in the foreground.
    pub fn run(&self) -> Done {
        self.caisson(&["run", &self.id])
    }

    pub fn status(&self) -> String {
        let done = self.caisson(&["state", &self.id]);
        let state: Value = serde_json::from_str(&done.stdout).unwrap_or(Value::Null);
        state["status"].as_str().unwrap_or("none").to_owned()
    }

    pub fn pid(&self) -> i32 {
        let state: Value =
            serde_json::from_str(&self.caisson(&["state", &self.id]).succeeded().stdout)
                .expect("json");
        state["pid"].as_i64().expect("pid") as i32
    }

    /// Mounts that a test has made below its folder.
    fn unmount_all(&self) {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        for point in points.filter(|point| Path::new(point).starts_with(&self.folder)) {
            // Whatever is busy goes when it is not.
            rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH).ok();
        }
    }

    /// No process, cgroup, mount or state of this container exists.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let limit = std::time::Instant::now() + Tier::current().patience(Duration::from_secs(5));
        loop {
            let left = self.leftovers();
            if left.is_empty() {
                return;
            }
            assert!(std::time::Instant::now() < limit, "left behind: {left:?}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        if self.root().join(&self.id).exists() {
            left.push("state folder".to_owned());
        }
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup").expect("cgroups");
        let groups = hierarchies
            .flatten()
            .map(|entry| entry.path().join(&self.id))
            .filter(|path| path.exists());
        left.extend(groups.map(|path| path.display().to_string()));
        left.extend(
            sandboxes(&self.id)
                .into_iter()
                .map(|pid| format!("process {pid}")),
        );
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        left.extend(
            mounts
                .lines()
                .filter(|line| line.contains(&self.id))
                .map(str::to_owned),
        );
        left
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        if self.root().join(&self.id).exists() {
            self.command(&["delete", "--force", &self.id])
                .stderr(Stdio::null())
                .status()
                .ok();
        }
        self.unmount_all();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// Pids of sandbox processes with this id, of whatever tier.
fn sandboxes(id: &str) -> Vec<i32> {
    const NAMES: [&[u8]; 3] = [b"caisson-kernel", b"caisson-vm", b"caisson-vm-exec"];
    let pids = std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.next().is_some_and(|name| NAMES.contains(&name))
            && words.next() == Some(id.as_bytes())
    })
    .collect()
}

/// Wait until `condition` holds.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = std::time::Instant::now() + Tier::current().patience(Duration::from_secs(10));
    while !condition() {
        assert!(std::time::Instant::now() < limit, "never: {what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
