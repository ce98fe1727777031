//! `linux.resources.devices`: which devices a container may open, and how.

use caisson_oci_tests::Bundle;
use caisson_oci_tests::reference::assert_agreed;
use serde_json::json;
use std::path::Path;
use std::process::Command;

/// The host's /dev/fuse, which root may open any way, and no other rules than these.
fn with_rules(rules: &serde_json::Value) -> impl Fn(&mut Bundle) {
    let rules = rules.clone();
    move |bundle: &mut Bundle| {
        bundle.config["linux"]["resources"]["devices"] = rules.clone();
        let mounts = bundle.config["mounts"].as_array_mut().expect("mounts");
        mounts.push(json!({
            "destination": "/dev/node", "type": "bind", "source": "/dev/fuse", "options": ["bind"],
        }));
    }
}

const TRY: &str = "for way in '<' '>>' '<>'; do \
    sh -c \"exec 3$way /dev/node\" 2>/dev/null && echo \"$way yes\" || echo \"$way no\"; done";

#[test]
fn reading_and_writing_are_allowed_apart() {
    for (access, expected) in [
        ("r", "< yes\n>> no\n<> no\n"),
        ("w", "< no\n>> yes\n<> no\n"),
        ("rw", "< yes\n>> yes\n<> yes\n"),
        ("m", "< no\n>> no\n<> no\n"),
    ] {
        let rules = json!([
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 10, "minor": 229, "access": access},
        ]);
        let done = assert_agreed(TRY, with_rules(&rules));
        assert_eq!(done.stdout, expected, "{access}: {}", done.stderr);
    }
}

#[test]
fn an_exception_from_a_wider_rule_holds() {
    let rules = json!([
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 10, "access": "rwm"},
        {"allow": false, "type": "c", "major": 10, "minor": 229, "access": "w"},
    ]);
    // runc cannot say this to cgroup v1.
    let mut bundle = Bundle::new(TRY);
    with_rules(&rules)(&mut bundle);
    let done = bundle.run();
    assert_eq!(done.stdout, "< yes\n>> no\n<> no\n", "{}", done.stderr);
}

/// A node that config.json has made is no permission, and neither is the lack of rules.
#[test]
fn a_node_alone_allows_nothing() {
    let deny = json!({"allow": false, "access": "rwm"});
    let read = json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": "r"});
    for (rules, expected) in [
        (json!([]), "< no\n>> no\n<> no\n"),
        (json!([deny]), "< no\n>> no\n<> no\n"),
        (json!([deny, read]), "< yes\n>> no\n<> no\n"),
    ] {
        let done = assert_agreed(TRY, |bundle| {
            bundle.config["linux"]["devices"] =
                json!([{"path": "/dev/node", "type": "c", "major": 10, "minor": 229}]);
            bundle.config["linux"]["resources"]["devices"] = rules.clone();
        });
        assert_eq!(done.stdout, expected, "{rules}: {}", done.stderr);
    }
}

/// The app kernel opens devices for guests. Were one to get past it, Linux knows the rules, by the devices controller or,
/// on cgroup v2, by a program.
#[test]
fn linux_is_told_of_the_rules() {
    let bundle = Bundle::new("sleep 600");
    let id = bundle.id.as_str();
    bundle.caisson(&["run", "-d", id]).succeeded();
    let folders = [
        format!("/sys/fs/cgroup/devices/{id}"),
        format!("/sys/fs/cgroup/{id}/guest"),
    ];
    let group = folders.iter().find(|folder| Path::new(folder).exists());
    let group = group.expect("the guests' cgroup");
    let opens = |device: &str| {
        let script = format!("echo $$ > {group}/cgroup.procs; : < {device}");
        let shell = Command::new("sh").args(["-c", &script]).output();
        shell.expect("sh").status.success()
    };
    assert!(opens("/dev/zero"));
    assert!(std::fs::File::open("/dev/kmsg").is_ok());
    assert!(!opens("/dev/kmsg"));
    bundle.caisson(&["delete", "--force", id]).succeeded();
    bundle.assert_nothing_left();
}
