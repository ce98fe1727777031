//! `--systemd-cgroup`, in machines whose init is systemd.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use caisson_nested::{Hierarchy, Job};
use caisson_oci_tests::{Bundle, Runtime, eventually};
use serde_json::json;

/// Set inside.
const INSIDE: &str = "CAISSON_OCI_TESTS_INSIDE";

#[test]
fn scopes_on_cgroup_v2() {
    under_systemd(Hierarchy::Unified);
}

#[test]
fn scopes_on_cgroup_v1() {
    under_systemd(Hierarchy::Legacy);
}

fn under_systemd(hierarchy: Hierarchy) {
    if std::env::var_os(INSIDE).is_some() {
        return;
    }
    let tests = std::env::current_exe().expect("path of the running test");
    let job = Job::new([tests])
        .argument("--test-threads=1")
        .argument("systemd::inside::")
        .under_systemd(hierarchy)
        .env(INSIDE, "1")
        .env("CAISSON_BIN", Runtime::caisson().program)
        .limit(Duration::from_secs(300));
    let mut lines = Vec::new();
    let status = caisson_nested::run(&job, &AtomicBool::new(false), &mut |line| {
        lines.push(line.to_owned());
    })
    .expect("the machine reports");
    assert_eq!(status, 0, "{}", lines.join("\n"));
    assert!(
        lines.iter().any(|line| line.contains("3 passed; 0 failed")),
        "{}",
        lines.join("\n")
    );
}

/// What runs in the machine; elsewhere these do nothing.
mod inside {
    use super::*;

    fn here() -> bool {
        std::env::var_os(INSIDE).is_some() && Path::new("/run/systemd/system").exists()
    }

    fn property(unit: &str, name: &str) -> String {
        let output = Command::new("systemctl")
            .args(["show", "--value", "-p", name, unit])
            .env("TERM", "dumb")
            .output()
            .expect("systemctl");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The scope's directory in the hierarchy of the memory controller.
    fn directory(unit: &str) -> std::path::PathBuf {
        let root = Path::new("/sys/fs/cgroup");
        let v2 = root.join("cgroup.controllers").exists();
        let mount = if v2 {
            root.to_owned()
        } else {
            root.join("memory")
        };
        mount.join("machine.slice").join(unit)
    }

    fn memory_limit(unit: &str) -> String {
        let directory = directory(unit);
        ["memory.max", "memory.limit_in_bytes"]
            .iter()
            .find_map(|file| std::fs::read_to_string(directory.join(file)).ok())
            .expect("a memory limit")
            .trim()
            .to_owned()
    }

    #[test]
    fn a_container_is_a_delegated_scope_with_its_limits_and_goes_with_it() {
        if !here() {
            return;
        }
        let mut bundle = Bundle::new("sleep 600");
        let id = bundle.id.clone();
        let unit = format!("libpod-{id}.scope");
        bundle.config["linux"]["cgroupsPath"] = json!(format!("machine.slice:libpod:{id}"));
        bundle.config["linux"]["resources"]["memory"] = json!({"limit": 67_108_864});
        bundle.config["linux"]["resources"]["cpu"] = json!({"quota": 50_000, "period": 100_000});
        bundle.config["annotations"]["org.systemd.property.TimeoutStopSec"] = json!("7");
        bundle
            .caisson(&["--systemd-cgroup", "run", "-d", &id])
            .succeeded();
        assert_eq!(property(&unit, "ActiveState"), "active");
        assert_eq!(property(&unit, "Slice"), "machine.slice");
        assert_eq!(property(&unit, "Delegate"), "yes");
        assert_eq!(property(&unit, "CPUQuotaPerSecUSec"), "500ms");
        assert_eq!(property(&unit, "TimeoutStopUSec"), "7s");
        assert_eq!(memory_limit(&unit), "67108864");
        // Commands find the cgroup without the option.
        bundle
            .caisson(&["update", "--memory", "128m", &id])
            .succeeded();
        // A reload makes systemd write what it knows.
        let reloaded = Command::new("systemctl").arg("daemon-reload").status();
        assert!(reloaded.expect("systemctl").success());
        assert_eq!(memory_limit(&unit), "134217728");
        bundle.caisson(&["exec", &id, "true"]).succeeded();
        bundle.caisson(&["pause", &id]).succeeded();
        assert_eq!(bundle.status(), "paused");
        bundle.caisson(&["delete", "--force", &id]).succeeded();
        assert_eq!(property(&unit, "ActiveState"), "inactive");
        assert!(!directory(&unit).exists());
        bundle.assert_nothing_left();
    }

    #[test]
    fn an_ended_container_leaves_no_unit_and_a_failed_one_neither() {
        if !here() {
            return;
        }
        let mut bundle = Bundle::new("exit 3");
        let id = bundle.id.clone();
        let unit = format!("caisson-{id}.scope");
        assert_eq!(bundle.caisson(&["--systemd-cgroup", "run", &id]).status, 3);
        eventually("the scope is gone", || {
            property(&unit, "ActiveState") == "inactive"
        });
        bundle.config["process"]["args"] = json!(["no-such-program"]);
        bundle
            .caisson(&["--systemd-cgroup", "run", &id])
            .refused(&["no-such-program"]);
        eventually("the scope is gone", || {
            property(&unit, "ActiveState") == "inactive"
        });
        bundle.assert_nothing_left();
    }

    #[test]
    fn what_systemd_cannot_take_is_refused_by_name() {
        if !here() {
            return;
        }
        let mut bundle = Bundle::new("true");
        let id = bundle.id.clone();
        let create = ["--systemd-cgroup", "create", id.as_str()];
        bundle.config["linux"]["cgroupsPath"] = json!("/some/path");
        bundle
            .caisson(&create)
            .refused(&["linux.cgroupsPath", "slice:prefix:name"]);
        bundle.config["linux"]["cgroupsPath"] = json!("");
        bundle.config["annotations"]["org.systemd.property.NoSuchThing"] = json!("true");
        bundle.caisson(&create).refused(&["NoSuchThing"]);
        bundle.config["annotations"] = json!({"org.systemd.property.Description": "bare"});
        bundle
            .caisson(&create)
            .refused(&["annotations.org.systemd.property.Description", "bare"]);
        bundle.assert_nothing_left();
    }
}
