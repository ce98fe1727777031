//! Commands and sandboxes that are killed.

use std::time::Duration;

use caisson_oci_tests::{Bundle, eventually};
use caisson_test_bundle::Tier;

/// Some of so many where each boots a machine.
fn rounds(count: u64) -> impl Iterator<Item = u64> {
    let step = match Tier::current() {
        Tier::Kernel => 1,
        Tier::Vm => 4,
    };
    (0..count).step_by(step)
}

#[test]
fn create_killed_at_any_moment_leaves_nothing_after_delete() {
    for round in rounds(24) {
        let bundle = Bundle::new("sleep 600");
        let mut create = bundle
            .command(&["create", &bundle.id])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("spawn");
        std::thread::sleep(Duration::from_micros(round * 1700));
        create.kill().expect("kill");
        create.wait().expect("wait");
        bundle
            .caisson(&["delete", "--force", &bundle.id])
            .succeeded();
        bundle.assert_nothing_left();
    }
}

#[test]
fn a_killed_sandbox_takes_its_guests_along() {
    let bundle = Bundle::new("sleep 601 & sleep 602; true");
    let id = bundle.id.as_str();
    bundle.caisson(&["run", "-d", id]).succeeded();
    let mut pids: Vec<i32> = Vec::new();
    eventually("both guests run", || {
        pids = serde_json::from_str(&bundle.caisson(&["ps", "-f", "json", id]).succeeded().stdout)
            .expect("json");
        pids.len() == 3
    });
    let sandbox = rustix::process::Pid::from_raw(bundle.pid()).expect("pid");
    rustix::process::kill_process(sandbox, rustix::process::Signal::KILL).expect("kill");
    eventually("guests are gone", || {
        pids.iter().all(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/stat"))
                .map_or(true, |stat| stat.contains(") Z"))
        })
    });
    assert_eq!(bundle.status(), "stopped");
    bundle.caisson(&["delete", id]).succeeded();
    bundle.assert_nothing_left();
}

#[test]
fn start_exec_and_delete_killed_at_any_moment_leave_nothing_after_delete() {
    for round in rounds(12) {
        let bundle = Bundle::new("sleep 600");
        let id = bundle.id.as_str();
        bundle.caisson(&["create", id]).succeeded();
        let killed = |arguments: &[&str], after: Duration| {
            let quiet = || std::process::Stdio::null();
            let mut command = bundle.command(arguments);
            let mut child = command
                .stdout(quiet())
                .stderr(quiet())
                .spawn()
                .expect("spawn");
            std::thread::sleep(after);
            child.kill().expect("kill");
            child.wait().expect("wait");
        };
        killed(&["start", id], Duration::from_micros(round * 500));
        assert!(["created", "running", "stopped"].contains(&bundle.status().as_str()));
        if bundle.status() == "created" {
            bundle.caisson(&["start", id]).succeeded();
        }
        killed(
            &["exec", id, "sleep", "600"],
            Duration::from_micros(round * 1500),
        );
        killed(
            &["delete", "--force", id],
            Duration::from_micros(round * 700),
        );
        bundle.caisson(&["delete", "--force", id]).succeeded();
        bundle.assert_nothing_left();
    }
}
