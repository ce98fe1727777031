//! Containers of a pod in one machine.

use std::fs;

use serde_json::{Value, json};

use crate::Case;
use crate::container::Bundle;
use crate::network::{Namespace, set_network};

/// With `CAISSON_GUEST`, as all containers.
pub(crate) const CASES: &[Case] = &[
    ("pod::has_one_machine", has_one_machine),
    ("pod::is_known_by_its_network", is_known_by_its_network),
    ("pod::that_is_not_there", that_is_not_there),
];

/// As containerd's CRI plugin marks them.
fn mark(config: &mut Value, kind: &str, pod: &str) {
    config["annotations"] = json!({
        "io.kubernetes.cri.container-type": kind,
        "io.kubernetes.cri.sandbox-id": pod,
    });
}

/// Name these namespaces of a process for one of ours.
fn share(config: &mut Value, pid: &str, kinds: &[&str]) {
    let namespaces = config["linux"]["namespaces"].as_array_mut();
    for namespace in namespaces.expect("namespaces") {
        let kind = namespace["type"].as_str().unwrap_or_default().to_owned();
        if kinds.contains(&kind.as_str()) {
            let file = if kind == "network" { "net" } else { &kind };
            namespace["path"] = json!(format!("/proc/{pid}/ns/{file}"));
        }
    }
}

/// How many machines run.
fn monitors() -> usize {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let named = processes.filter(|process| {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        line.starts_with(b"caisson-vmm\0")
    });
    named.count()
}

fn has_one_machine() {
    let network = Namespace::new("vmpods");
    let owner = Bundle::new(&["sleep", "1000"], |config| {
        network.join(config);
        mark(config, "sandbox", "vm-pod");
        config["hostname"] = json!("the-pod");
        config["annotations"]["io.kubernetes.cri.sandbox-memory"] = json!("268435456");
    });
    owner.create(&["--pid-file", "pid", "vm-pod"]);
    owner.done(&["start", "vm-pod"]);
    let pid = fs::read_to_string(owner.path("pid")).expect("the pid");
    let member = |arguments: &[&str], kinds: &[&str]| {
        Bundle::new(arguments, |config| {
            network.join(config);
            mark(config, "container", "vm-pod");
            share(config, &pid, kinds);
        })
        .beside(&owner)
    };
    // One that runs along.
    let long = member(&["sleep", "1001"], &["ipc", "uts"]);
    long.create(&["vm-long"]);
    long.done(&["start", "vm-long"]);
    assert_eq!(monitors(), 1);
    assert_eq!(long.done(&["exec", "vm-long", "hostname"]), "the-pod\n");
    let seen = long.done(&["exec", "vm-long", "ps"]);
    assert!(
        seen.contains("sleep 1001") && !seen.contains("sleep 1000"),
        "{seen}"
    );
    // Two that end, of the same name: nothing of the first is in the second's way.
    for number in ["first", "second"] {
        let script = "readlink /proc/self/ns/ipc; cat /number; ps; exit 3";
        let short = member(&["sh", "-c", script], &["ipc", "uts", "pid"]);
        fs::write(short.path("rootfs/number"), number).expect("a file");
        let output = short.run(&["run", "vm-short"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        let seen = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            seen.contains("sleep 1000") && !seen.contains("sleep 1001"),
            "{seen}"
        );
        assert!(seen.contains(number), "{number}: {seen}");
        let ipc = seen.lines().next().unwrap_or_default();
        let same = owner.done(&["exec", "vm-pod", "readlink", "/proc/self/ns/ipc"]);
        assert_eq!(ipc, same.trim());
    }
    // Killed and deleted, it leaves the others.
    long.done(&["delete", "-f", "vm-long"]);
    let total = owner.done(&["exec", "vm-pod", "grep", "MemTotal", "/proc/meminfo"]);
    let kib: u64 = total
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("a number");
    assert!((200 << 10..330 << 10).contains(&kib), "{total}");
    // The machine's end is everybody's.
    let last = member(&["sleep", "1002"], &[]);
    last.create(&["vm-last"]);
    last.done(&["start", "vm-last"]);
    owner.done(&["kill", "vm-pod", "KILL"]);
    last.wait_for_status("vm-last", "stopped");
    last.done(&["delete", "vm-last"]);
    owner.done(&["delete", "vm-pod"]);
    assert_eq!(monitors(), 0);
    owner.assert_nothing_left("vm-pod");
    network.assert_clean();
}

/// As Podman's pods and `--network container:` do it.
fn is_known_by_its_network() {
    let owner = Bundle::new(&["sleep", "1000"], |config| {
        set_network(config, &json!({"type": "network"}));
    });
    owner.create(&["--pid-file", "pid", "vm-first"]);
    owner.done(&["start", "vm-first"]);
    let pid = fs::read_to_string(owner.path("pid")).expect("the pid");
    let script = "nc -l -p 7003 < /proc/self/cmdline > /dev/null & sleep 1; nc 127.0.0.1 7003 < /dev/null | wc -c";
    let second = Bundle::new(&["sh", "-c", script], |config| {
        share(config, &pid, &["network"])
    });
    let second = second.beside(&owner);
    let seen = second.done(&["run", "vm-second"]);
    assert_ne!(seen, "0\n");
    // The host's own, and one of nobody's machine.
    let other = Bundle::new(&["true"], |config| share(config, &pid, &["ipc"])).beside(&owner);
    let output = other.run(&["run", "vm-other"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("ipc"), "{said}");
    owner.done(&["delete", "-f", "vm-first"]);
    owner.assert_nothing_left("vm-first");
}

fn that_is_not_there() {
    let bundle = Bundle::new(&["true"], |config| mark(config, "container", "vm-missing"));
    let output = bundle.run(&["run", "vm-lost"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("sandbox-id") && said.contains("vm-missing"),
        "{said}"
    );
    bundle.assert_nothing_left("vm-lost");
}
