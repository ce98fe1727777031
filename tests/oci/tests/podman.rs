//! `podman --runtime caisson`: Podman of this machine, with storage of its own. Needs root and the busybox image.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use caisson_oci_tests::{Done, Runtime, Tier};

struct Podman {
    folder: PathBuf,
}

impl Podman {
    fn new() -> Podman {
        let folder = std::env::temp_dir().join(format!("caisson-podman-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("mkdir");
        let podman = Podman { folder };
        let image = caisson_images::busybox().expect("image");
        let archive = image.archive.to_str().expect("utf-8").to_owned();
        podman.run(&["load", "-i", &archive]).succeeded();
        podman
    }

    fn run(&self, arguments: &[&str]) -> Done {
        let (out, err) = (self.folder.join("out"), self.folder.join("err"));
        let create = |path: &PathBuf| std::fs::File::create(path).expect("output file");
        let runtime = Runtime::caisson();
        // Podman writes the dashes.
        let flags = runtime.options.iter().flat_map(|option| {
            let option = option.trim_start_matches('-').to_owned();
            ["--runtime-flag".to_owned(), option]
        });
        let status = Command::new("podman")
            .arg("--root")
            .arg(self.folder.join("root"))
            .arg("--runroot")
            .arg(self.folder.join("run"))
            .arg("--tmpdir")
            .arg(self.folder.join("tmp"))
            .args(["--cgroup-manager=cgroupfs", "--storage-driver=vfs"])
            .args(["--events-backend=none", "--runtime"])
            .arg(&runtime.program)
            .args(flags)
            .args(arguments)
            .stdin(Stdio::null())
            // Files: conmon keeps what it inherits open.
            .stdout(create(&out))
            .stderr(create(&err))
            .status()
            .expect("podman is installed");
        let read = |path: &PathBuf| std::fs::read_to_string(path).expect("output");
        Done {
            status: status.code().unwrap_or(-1),
            stdout: read(&out),
            stderr: read(&err),
        }
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.run(&["rm", "--all", "--force", "--time", "0"]);
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

const IMAGE: &str = "localhost/busybox:latest";

#[test]
fn a_container_lives_under_podman_as_under_runc() {
    let podman = Podman::new();
    let id = format!("caisson-test-{}", std::process::id());
    let done = podman.run(&[
        "run",
        "--rm",
        "--network=none",
        IMAGE,
        "sh",
        "-c",
        "uname -rv; exit 7",
    ]);
    assert_eq!(done.status, 7, "{}", done.stderr);
    let kernel = match Tier::current() {
        Tier::Kernel => "Caisson",
        Tier::Vm => "-guest",
    };
    assert!(done.stdout.contains(kernel), "{}", done.stdout);
    let create = [
        "run",
        "-d",
        "--name",
        &id,
        "--network=none",
        "--memory=64m",
        "--pids-limit=50",
    ];
    let script = ["sh", "-c", "echo begun; exec sleep 600"];
    let all: Vec<&str> = create.into_iter().chain([IMAGE]).chain(script).collect();
    podman.run(&all).succeeded();
    let exec = podman.run(&[
        "exec",
        "-e",
        "A=b",
        "-u",
        "1000",
        &id,
        "sh",
        "-c",
        "id -u; echo $A",
    ]);
    assert_eq!(exec.succeeded().stdout, "1000\nb\n");
    let top = podman.run(&["top", &id]).succeeded().stdout;
    assert!(top.contains("sleep 600"), "{top}");
    podman.run(&["pause", &id]).succeeded();
    let state = |podman: &Podman| {
        let done = podman.run(&["inspect", "-f", "{{.State.Status}}", &id]);
        done.stdout.trim().to_owned()
    };
    assert_eq!(state(&podman), "paused");
    podman.run(&["unpause", &id]).succeeded();
    podman.run(&["update", "--memory=128m", &id]).succeeded();
    assert_eq!(podman.run(&["logs", &id]).succeeded().stdout, "begun\n");
    podman.run(&["stop", "-t", "0", &id]).succeeded();
    assert_eq!(state(&podman), "exited");
    podman.run(&["rm", &id]).succeeded();
}
