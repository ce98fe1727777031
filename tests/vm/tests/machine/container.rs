//! Containers in virtual machines, by the commands that users and engines run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use caisson_vm_tests::guest::{self, PATIENCE};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Case;

/// With `CAISSON_GUEST`, the folder of the guest's own files.
pub(crate) const CASES: &[Case] = &[
    ("container::runs_to_its_end", runs_to_its_end),
    ("container::lifecycle", lifecycle),
    ("container::ends_with_its_sandbox", ends_with_its_sandbox),
    ("container::bad_input", bad_input),
    ("container::no_kvm", no_kvm),
];

/// A busybox bundle; everything of it is deleted with this.
pub(crate) struct Bundle {
    folder: TempDir,
    state: PathBuf,
}

impl Bundle {
    pub(crate) fn new(arguments: &[&str], change: impl FnOnce(&mut Value)) -> Bundle {
        let folder = guest::scratch();
        let state = folder.path().join("state");
        let bundle = Bundle { folder, state };
        let image = caisson_images::busybox().expect("the busybox image");
        let copied = Command::new("cp")
            .arg("-a")
            .arg(&image.rootfs)
            .arg(bundle.path("rootfs"))
            .status();
        assert!(copied.expect("cp runs").success());
        let made = bundle.command(&["spec"]).status().expect("caisson runs");
        assert!(made.success());
        let path = bundle.path("config.json");
        let text = fs::read(&path).expect("config.json");
        let mut config: Value = serde_json::from_slice(&text).expect("JSON");
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(arguments);
        change(&mut config);
        fs::write(&path, config.to_string()).expect("config.json is written");
        bundle
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// With its state in the same folder as the other's.
    pub(crate) fn beside(self, other: &Bundle) -> Bundle {
        Bundle {
            state: other.state.clone(),
            ..self
        }
    }

    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(caisson());
        command
            .arg("--root")
            .arg(self.state())
            .args(["--sandbox", "vm"])
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("caisson runs")
    }

    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The container keeps our standard output and error: pipes would stay open as long as it lives.
    pub(crate) fn create(&self, arguments: &[&str]) {
        self.create_with(arguments, Stdio::null());
    }

    /// With that as the container's standard output.
    pub(crate) fn create_with(&self, arguments: &[&str], output: impl Into<Stdio>) {
        let log = self.path("create.log");
        let made = self
            .command(&["--log", "create.log", "create"])
            .args(arguments)
            .stdout(output)
            .stderr(Stdio::null())
            .status()
            .expect("caisson runs");
        let said = fs::read_to_string(log).unwrap_or_default();
        assert!(made.success(), "create {arguments:?}: {said}");
    }

    pub(crate) fn status(&self, id: &str) -> String {
        let state: Value = serde_json::from_str(&self.done(&["state", id])).expect("JSON");
        state["status"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn wait_for_status(&self, id: &str, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.status(id) != wanted {
            assert!(Instant::now() < deadline, "{id} is not {wanted}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Neither state nor processes nor cgroups.
    pub(crate) fn assert_nothing_left(&self, id: &str) {
        let left = fs::read_dir(self.state()).map_or(0, Iterator::count);
        assert_eq!(left, 0, "in {}", self.state().display());
        assert!(!Path::new("/sys/fs/cgroup").join(id).exists());
        let state = self.state().display().to_string();
        for process in fs::read_dir("/proc").expect("/proc").flatten() {
            let cwd = fs::read_link(process.path().join("cwd")).unwrap_or_default();
            assert!(!cwd.starts_with(&state), "{}", process.path().display());
        }
    }
}

/// The binary under test, else the one beside this test program's folder.
pub(crate) fn caisson() -> PathBuf {
    std::env::var_os("CAISSON_BIN")
        .map_or_else(|| guest::monitor().with_file_name("caisson"), PathBuf::from)
}

fn runs_to_its_end() {
    let script = "uname -r; echo oops >&2; wc -c; exit 7";
    let bundle = Bundle::new(&["sh", "-c", script], |_| {});
    let mut child = bundle
        .command(&["run", "vm-run"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("caisson runs");
    let mut input = child.stdin.take().expect("a pipe");
    // More than pipes and connections hold: somebody has to wait for the reader.
    let bytes = vec![b'x'; 300_000];
    let writer = thread::spawn(move || std::io::Write::write_all(&mut input, &bytes));
    let output = child.wait_with_output().expect("caisson ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{said}");
    writer.join().expect("writer").expect("everything is read");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("-guest\n") && text.ends_with("300000\n"),
        "{text}"
    );
    assert_eq!(said, "oops\n");
    bundle.assert_nothing_left("vm-run");
}

fn lifecycle() {
    let script = "trap 'exit 3' TERM; while :; do sleep 0.1; done";
    let bundle = Bundle::new(&["sh", "-c", script], |config| {
        config["hostname"] = json!("inside");
    });
    bundle.create(&["vm-life"]);
    assert_eq!(bundle.status("vm-life"), "created");
    bundle.done(&["start", "vm-life"]);
    assert_eq!(bundle.status("vm-life"), "running");
    assert_eq!(bundle.done(&["exec", "vm-life", "hostname"]), "inside\n");
    let output = bundle.run(&["exec", "vm-life", "sh", "-c", "exit 5"]);
    assert_eq!(output.status.code(), Some(5));
    let output = bundle.run(&["exec", "vm-life", "/no/such"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(255) && said.contains("/no/such"),
        "{said}"
    );
    bundle.done(&["pause", "vm-life"]);
    assert_eq!(bundle.status("vm-life"), "paused");
    bundle.done(&["resume", "vm-life"]);
    bundle.done(&["kill", "vm-life", "TERM"]);
    bundle.wait_for_status("vm-life", "stopped");
    bundle.done(&["delete", "vm-life"]);
    bundle.assert_nothing_left("vm-life");
}

fn ends_with_its_sandbox() {
    let bundle = Bundle::new(&["sleep", "1000"], |_| {});
    bundle.create(&["--pid-file", "pid", "vm-kill"]);
    bundle.done(&["start", "vm-kill"]);
    let pid = fs::read_to_string(bundle.path("pid")).expect("the pid");
    let killed = Command::new("kill").args(["-9", pid.trim()]).status();
    assert!(killed.expect("kill runs").success());
    bundle.wait_for_status("vm-kill", "stopped");
    bundle.done(&["delete", "vm-kill"]);
    bundle.assert_nothing_left("vm-kill");
}

fn bad_input() {
    let bundle = Bundle::new(&["/no/such/program"], |_| {});
    let output = bundle.run(&["run", "vm-bad"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("/no/such/program"),
        "{said}"
    );
    bundle.assert_nothing_left("vm-bad");

    let bundle = Bundle::new(&["true"], |config| {
        let mounts = config["mounts"].as_array_mut().expect("mounts");
        mounts.push(
            json!({"destination": "/x", "type": "bind", "source": "/dev/null", "options": ["bind"]}),
        );
    });
    let output = bundle.run(&["run", "vm-bad"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("mounts[") && said.contains("/dev/null"),
        "{said}"
    );
    bundle.assert_nothing_left("vm-bad");
}

/// A host without KVM.
fn no_kvm() {
    for (hide, words) in [
        (
            "mount -t tmpfs tmpfs /dev && mknod -m 666 /dev/null c 1 3",
            "/dev/kvm: No such file",
        ),
        (
            "mount --bind /dev/null /dev/kvm",
            "/dev/kvm: not the KVM device",
        ),
    ] {
        let bundle = Bundle::new(&["true"], |_| {});
        let output = Command::new("unshare")
            .args(["--mount", "sh", "-c"])
            .arg(format!("{hide} && exec \"$0\" \"$@\""))
            .arg(caisson())
            .args(["--sandbox=vm", "--root"])
            .arg(bundle.state())
            .args(["run", "vm-bad"])
            .current_dir(bundle.folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("unshare runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(1) && said.contains(words),
            "{said}"
        );
        bundle.assert_nothing_left("vm-bad");
    }
}
