//! Disks that are full or read-only, too few descriptors, processes and memory, cgroups that are busy: a clear error, and
//! nothing left behind or lost. Needs root and busybox-static.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use caisson_oci_tests::{Bundle, Done, Runtime, eventually};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

fn bundle(script: &str) -> Bundle {
    Bundle::under(Runtime::caisson_debug(), script)
}

/// `caisson arguments` after the shell command `limit`. What it says goes to a file: a sandbox that it leaves behind has
/// that open as well.
fn limited(bundle: &Bundle, limit: &str, arguments: &str) -> Done {
    let script = format!(
        "{limit}; exec '{}' --root '{}' {arguments}",
        bundle.runtime.program.display(),
        bundle.root().display(),
    );
    // Writes config.json as well.
    drop(bundle.command(&["list"]));
    let path = bundle.folder.join("said");
    let said = std::fs::File::create(&path).expect("create");
    let status = Command::new("sh")
        .args(["-c", &script])
        .current_dir(&bundle.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said)
        .status()
        .expect("sh");
    Done::from(std::process::Output {
        status,
        stdout: Vec::new(),
        stderr: std::fs::read(&path).expect("read"),
    })
}

/// `caisson arguments` with at most `files` open descriptors.
fn with_few_descriptors(bundle: &Bundle, files: u32, arguments: &str) -> Done {
    limited(bundle, &format!("ulimit -n {files}"), arguments)
}

#[test]
fn too_few_descriptors_are_an_error_and_no_leak() {
    let mut failures = 0;
    for files in 3..24 {
        let bundle = bundle("sleep 600");
        let done = with_few_descriptors(&bundle, files, &format!("create {}", bundle.id));
        if done.status == 0 {
            bundle
                .caisson(&["delete", "--force", &bundle.id])
                .succeeded();
        } else {
            failures += 1;
            assert!(
                !done.stderr.contains("panicked"),
                "{files}: {}",
                done.stderr
            );
        }
        bundle.assert_nothing_left();
    }
    assert!(failures > 3, "only {failures} runs had too few descriptors");
}

#[test]
fn a_read_only_state_folder_is_an_error_and_kill_still_works() {
    let bundle = bundle("sleep 600");
    let id = bundle.id.as_str();
    std::fs::create_dir_all(bundle.root()).expect("mkdir");
    mount(c"tmpfs", bundle.root(), c"tmpfs", MountFlags::empty(), None).expect("tmpfs");
    bundle.caisson(&["run", "-d", id]).succeeded();
    mount_remount(bundle.root(), MountFlags::RDONLY, c"").expect("read-only");
    bundle.caisson(&["kill", id, "KILL"]).succeeded();
    let other = bundle.caisson(&["create", "another"]);
    assert_eq!(other.status, 1);
    assert!(
        other.stderr.contains("Read-only file system"),
        "{}",
        other.stderr
    );
    bundle
        .caisson(&["delete", id])
        .refused(&["Read-only file system"]);
    mount_remount(bundle.root(), MountFlags::empty(), c"").expect("writable");
    bundle.caisson(&["delete", id]).succeeded();
    take_away(&bundle.root());
    bundle.assert_nothing_left();
}

/// A tmpfs of its own for the state of `bundle`.
fn state_on_tmpfs(bundle: &Bundle, options: &str) {
    std::fs::create_dir_all(bundle.root()).expect("mkdir");
    let options = std::ffi::CString::new(options).expect("options");
    mount(
        c"tmpfs",
        bundle.root(),
        c"tmpfs",
        MountFlags::empty(),
        options.as_c_str(),
    )
    .expect("tmpfs");
}

/// The other tests' new processes have it open for a moment, as they have everything.
fn take_away(disk: &Path) {
    eventually("the disk is not in use", || {
        unmount(disk, UnmountFlags::empty()).is_ok()
    });
}

#[test]
fn a_disk_too_small_for_the_state_is_an_error_and_leaves_nothing() {
    let pages = (1..6).map(|pages| format!("nr_blocks={pages}"));
    let files = (2..9).map(|files| format!("nr_inodes={files}"));
    let mut failures = 0;
    for options in pages.chain(files) {
        let bundle = bundle("sleep 600");
        state_on_tmpfs(&bundle, &options);
        let done = bundle.caisson(&["run", "-d", &bundle.id]);
        if done.status == 0 {
            bundle
                .caisson(&["delete", "--force", &bundle.id])
                .succeeded();
        } else {
            failures += 1;
            let state = bundle.root().display().to_string();
            done.refused(&["No space left on device", &state]);
        }
        let left: Vec<_> = std::fs::read_dir(bundle.root()).expect("read").collect();
        assert!(left.is_empty(), "{options}: {left:?}");
        take_away(&bundle.root());
        bundle.assert_nothing_left();
    }
    assert!(failures > 4, "only {failures} disks were too small");
}

/// No disk of these tests may be larger: what is on it is the machine's memory.
const SMALL_BYTES: u64 = 1 << 20;

/// Write to `folder` until its disk is full; returns what has to be removed to make room again.
fn fill(folder: &Path) -> PathBuf {
    let disk = rustix::fs::statvfs(folder).expect("statvfs");
    let bytes = disk.f_blocks * disk.f_frsize;
    assert!(bytes <= SMALL_BYTES, "{}: {bytes} bytes", folder.display());
    let path = folder.join("fill");
    let mut file = std::fs::File::create(&path).expect("create");
    let mut zeros = std::io::Read::take(std::io::repeat(0), SMALL_BYTES + 1);
    let error = std::io::copy(&mut zeros, &mut file).expect_err("a full disk");
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    path
}

#[test]
fn a_disk_that_fills_up_loses_no_container() {
    let bundle = bundle("sleep 600");
    state_on_tmpfs(&bundle, "size=128k");
    let (running, created) = (bundle.id.clone(), format!("{}-created", bundle.id));
    bundle.caisson(&["run", "-d", &running]).succeeded();
    bundle.caisson(&["create", &created]).succeeded();
    let filler = fill(&bundle.root());
    let full = "No space left on device";
    bundle.caisson(&["start", &created]).refused(&[full]);
    bundle.caisson(&["create", "another"]).refused(&[full]);
    assert_eq!(bundle.status(), "running");
    let listed = bundle.caisson(&["list", "-q"]).succeeded().stdout;
    assert!(!listed.contains("another"), "{listed}");
    bundle.caisson(&["exec", &running, "true"]).succeeded();
    bundle.caisson(&["kill", &running, "KILL"]).succeeded();
    bundle.caisson(&["delete", &running]).succeeded();
    // What could not be started is started once there is room.
    std::fs::remove_file(filler).expect("rm");
    bundle.caisson(&["start", &created]).succeeded();
    let filler = fill(&bundle.root());
    bundle.caisson(&["delete", "--force", &created]).succeeded();
    std::fs::remove_file(filler).expect("rm");
    take_away(&bundle.root());
    bundle.assert_nothing_left();
}

#[test]
fn logs_and_pid_files_on_a_full_disk() {
    let bundle = bundle("sleep 600");
    let id = bundle.id.as_str();
    // The container runs all the same: its log is not worth more than it.
    bundle
        .caisson(&["--log", "/dev/full", "--debug", "run", "-d", id])
        .succeeded();
    bundle.caisson(&["delete", "--force", id]).succeeded();
    bundle.assert_nothing_left();

    let disk = bundle.folder.join("disk");
    std::fs::create_dir(&disk).expect("mkdir");
    mount(
        c"tmpfs",
        &disk,
        c"tmpfs",
        MountFlags::empty(),
        c"nr_blocks=1",
    )
    .expect("tmpfs");
    let filler = fill(&disk);
    let pid_file = disk.join("pid");
    let pid_file = pid_file.to_str().expect("utf-8");
    bundle
        .caisson(&["create", "--pid-file", pid_file, id])
        .refused(&["--pid-file", pid_file, "No space left on device"]);
    bundle.caisson(&["run", "-d", id]).succeeded();
    bundle
        .caisson(&["exec", "-d", "--pid-file", pid_file, id, "sleep", "600"])
        .refused_with(255, &["--pid-file", pid_file, "No space left on device"]);
    let processes = bundle.caisson(&["ps", id]).succeeded().stdout;
    assert_eq!(processes.matches("sleep 600").count(), 1, "{processes}");
    bundle.caisson(&["delete", "--force", id]).succeeded();
    assert_eq!(std::fs::read_dir(&disk).expect("read").count(), 1);
    std::fs::remove_file(filler).expect("rm");
    take_away(&disk);
    bundle.assert_nothing_left();
}

#[test]
fn an_output_that_takes_nothing_is_an_error_and_no_panic() {
    let bundle = bundle("sleep 600");
    let id = bundle.id.as_str();
    bundle.caisson(&["run", "-d", id]).succeeded();
    let full = || std::fs::File::create("/dev/full").expect("/dev/full");
    let commands: [&[&str]; 8] = [
        &["state", id],
        &["list"],
        &["list", "-q"],
        &["ps", id],
        &["events", "--stats", id],
        &["features"],
        &["check"],
        &["--version"],
    ];
    for command in commands {
        let output = bundle.command(command).stdout(full()).output();
        Done::from(output.expect("execute")).refused(&["No space left on device"]);
    }
    // Nobody to tell: the status has to do.
    for command in [["state", "nobody"], ["start", id]] {
        let mut command = bundle.command(&command);
        let status = command.stderr(full()).stdout(Stdio::null()).status();
        assert_eq!(status.expect("execute").code(), Some(1));
    }
    bundle.caisson(&["delete", "--force", id]).succeeded();
    bundle.assert_nothing_left();
}

/// What a want of descriptors is called: by Linux, by the dynamic loader, and with the step where F_DUPFD finds no number
/// below the limit, which fcntl(2) calls EINVAL.
const SAID_OF_FEW: [&str; 3] = ["Too many open files", "Error 24", "sandbox: arrange "];

#[test]
fn too_few_descriptors_for_a_command_are_no_loss_of_the_container() {
    // The last one but one is refused in any case.
    for command in ["state", "kill", "exec", "pause", "delete", "delete --force"] {
        let bundle = bundle("sleep 600");
        bundle.caisson(&["run", "-d", &bundle.id]).succeeded();
        let mut failures = 0;
        for files in 3..24 {
            let arguments = match command {
                "exec" => format!("exec {} true", bundle.id),
                other => format!("{other} {}", bundle.id),
            };
            let done = with_few_descriptors(&bundle, files, &arguments);
            assert!(
                !done.stderr.contains("panicked"),
                "{command} {files}: {}",
                done.stderr
            );
            if done.status == 0 || done.stderr.contains("that is not stopped") {
                break;
            }
            failures += 1;
            // Whatever was done of it, the container is known until all is done.
            assert_ne!(bundle.status(), "none", "{command} {files}");
            let text = &done.stderr;
            let told = SAID_OF_FEW.iter().any(|words| text.contains(words));
            assert!(told, "{command} {files}: {text}");
        }
        assert!(failures > 0, "{command}: three descriptors were enough");
        bundle
            .caisson(&["delete", "--force", &bundle.id])
            .succeeded();
        bundle.assert_nothing_left();
    }
}

/// A cgroup of the test's own, in which at most `tasks` may be.
struct FewTasks(PathBuf);

impl FewTasks {
    fn new(tasks: u32) -> FewTasks {
        let hierarchy = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"]
            .into_iter()
            .find(|path| Path::new(path).join("cgroup.procs").exists());
        let name = format!("chaos-{}-{tasks}", std::process::id());
        let group = Path::new(hierarchy.expect("a hierarchy")).join(name);
        std::fs::create_dir(&group).expect("mkdir");
        std::fs::write(group.join("pids.max"), tasks.to_string()).expect("pids.max");
        FewTasks(group)
    }
}

impl Drop for FewTasks {
    fn drop(&mut self) {
        // A task that has just ended keeps it for a moment.
        eventually("the test's cgroup goes", || {
            std::fs::remove_dir(&self.0).is_ok()
        });
    }
}

#[test]
fn too_few_processes_are_an_error_and_no_leak() {
    let mut failures = 0;
    for tasks in 1..12 {
        let bundle = bundle("sleep 600");
        let group = FewTasks::new(tasks);
        let join = format!("echo $$ > {}/cgroup.procs", group.0.display());
        let done = limited(&bundle, &join, &format!("create {}", bundle.id));
        if done.status == 0 {
            bundle
                .caisson(&["delete", "--force", &bundle.id])
                .succeeded();
        } else {
            failures += 1;
            let text = &done.stderr;
            assert!(!text.contains("panicked"), "{tasks}: {text}");
            assert!(
                text.contains("Resource temporarily unavailable"),
                "{tasks}: {text}"
            );
        }
        bundle.assert_nothing_left();
    }
    assert!(failures > 1, "only {failures} runs had too few processes");
}

/// A process of the host's that is ended with the test.
struct Stranger(Child);

impl Stranger {
    fn sleeping(command: &mut Command) -> Stranger {
        Stranger(command.spawn().expect("sleep"))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        // It may have been killed on purpose.
        self.0.kill().ok();
        self.0.wait().expect("wait");
    }
}

#[test]
fn a_cgroup_with_strangers_below_it_is_emptied_and_removed() {
    let bundle = bundle("sleep 600");
    let id = bundle.id.as_str();
    bundle.caisson(&["run", "-d", id]).succeeded();
    let hierarchies = ["/sys/fs/cgroup/freezer", "/sys/fs/cgroup"];
    let group = hierarchies
        .iter()
        .map(|path| Path::new(path).join(id))
        .find(|path| path.exists())
        .expect("the container's cgroup");
    let below = group.join("guest-made/deeper");
    std::fs::create_dir_all(&below).expect("mkdir");
    let mut stranger = Stranger::sleeping(Command::new("sleep").arg("600"));
    let pid = stranger.0.id().to_string();
    std::fs::write(below.join("cgroup.procs"), pid).expect("join");
    bundle.caisson(&["delete", "--force", id]).succeeded();
    bundle.assert_nothing_left();
    let status = stranger.0.wait().expect("wait");
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9)
    );
}

#[test]
fn files_and_folders_in_use_do_not_keep_a_container() {
    let bundle = bundle("sleep 600");
    let id = bundle.id.as_str();
    bundle.caisson(&["run", "-d", id]).succeeded();
    let pid = bundle.pid();
    // Somebody looks at the container's tree, at its state and at its cgroup.
    let inside = format!("/proc/{pid}/root/proc");
    let state = bundle.root().join(id);
    let group = format!("/sys/fs/cgroup/memory/{id}");
    let folders = [Path::new(&inside), &state, Path::new(&group)];
    let _strangers: Vec<Stranger> = folders
        .into_iter()
        .filter(|folder| folder.exists())
        .map(|folder| Stranger::sleeping(Command::new("sleep").arg("600").current_dir(folder)))
        .collect();
    bundle.caisson(&["delete", "--force", id]).succeeded();
    bundle.assert_nothing_left();
}
