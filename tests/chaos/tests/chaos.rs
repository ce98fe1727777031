//! kill -9 at every step of every command, then `delete --force`: nothing is left. Needs root and busybox-static.

use std::process::Stdio;

use caisson_oci_tests::{Bundle, Runtime};
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
