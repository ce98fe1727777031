//! kill -9 at every step of every command, then `delete --force`: nothing is left. Needs root and busybox-static.

use std::process::Stdio;

use caisson_oci_tests::{Bundle, Done, Runtime};
use caisson_runtime::fault;

fn bundle(script: &str) -> Bundle {
    Bundle::under(Runtime::caisson_debug(), script)
}

/// Run a command that is to die at `point`.
fn dying(bundle: &Bundle, point: &str, arguments: &[&str]) -> Option<i32> {
    let status = bundle
        .command(arguments)
        .env(fault::VARIABLE, point)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("execute");
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[test]
fn a_command_killed_at_any_step_leaves_nothing_that_delete_does_not_take() {
    let points = fault::POINTS.iter().filter(|point| **point != fault::USER);
    kill_at_each(points, |_| {});
}

#[test]
fn nor_does_one_with_a_user_namespace() {
    let points = fault::POINTS
        .iter()
        .filter(|point| !point.starts_with("delete"));
    kill_at_each(points, Bundle::map_ids);
}

fn kill_at_each(points: impl Iterator<Item = &'static &'static str>, prepare: fn(&mut Bundle)) {
    for point in points {
        let mut bundle = bundle("sleep 600");
        prepare(&mut bundle);
        let id = bundle.id.as_str();
        let pid_file = bundle.folder.join("pid");
        let create = [
            "create",
            "--pid-file",
            pid_file.to_str().expect("utf-8"),
            id,
        ];
        let command = point.split('.').next().expect("command");
        let signal = match command {
            "create" | "sandbox" => dying(&bundle, point, &create),
            "start" => {
                bundle.caisson(&create).succeeded();
                dying(&bundle, point, &["start", id])
            }
            _ => {
                bundle.caisson(&["run", "-d", id]).succeeded();
                dying(&bundle, point, &["delete", "--force", id])
            }
        };
        // The sandbox's death is an error of create, not its own death.
        assert_eq!(signal, (command != "sandbox").then_some(9), "{point}");
        if command == "sandbox" {
            bundle.assert_nothing_left();
        }
        for command in ["state", "kill"] {
            // Whatever they say, they do not hang and do not panic.
            let done = bundle.caisson(&[command, id]);
            assert!(
                !done.stderr.contains("panicked"),
                "{point}: {}",
                done.stderr
            );
        }
        bundle.caisson(&["delete", "--force", id]).succeeded();
        bundle.assert_nothing_left();
        // And the name is free again.
        bundle.caisson(&["run", "-d", id]).succeeded();
        bundle.caisson(&["delete", "--force", id]).succeeded();
        bundle.assert_nothing_left();
    }
}

#[test]
fn eight_at_once_again_and_again() {
    const WORKERS: usize = 8;
    const CYCLES: usize = 4;
    let worker = || {
        for _ in 0..CYCLES {
            let bundle = bundle("sleep 600");
            let id = bundle.id.as_str();
            bundle.caisson(&["create", id]).succeeded();
            bundle.caisson(&["start", id]).succeeded();
            bundle.caisson(&["kill", id, "KILL"]).succeeded();
            bundle.caisson(&["delete", id]).succeeded();
            bundle.assert_nothing_left();
        }
    };
    let threads: Vec<_> = (0..WORKERS).map(|_| std::thread::spawn(worker)).collect();
    for thread in threads {
        thread.join().expect("no worker failed");
    }
}

/// `caisson arguments` with at most `files` open descriptors.
fn with_few_descriptors(bundle: &Bundle, files: u32, arguments: &str) -> Done {
    let script = format!(
        "ulimit -n {files}; exec '{}' --root '{}' {arguments} {}",
        bundle.runtime.program.display(),
        bundle.root().display(),
        bundle.id
    );
    // Writes config.json as well.
    let mut command = bundle.command(&["list"]);
    command.stdout(Stdio::null()).status().expect("list");
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(&bundle.folder)
        .stdout(Stdio::null())
        .output()
        .expect("sh");
    Done::from(output)
}

#[test]
fn too_few_descriptors_are_an_error_and_no_leak() {
    let mut failures = 0;
    for files in 3..24 {
        let bundle = bundle("sleep 600");
        let done = with_few_descriptors(&bundle, files, "create");
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
    use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
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
    unmount(bundle.root(), UnmountFlags::empty()).expect("umount");
    bundle.assert_nothing_left();
}
