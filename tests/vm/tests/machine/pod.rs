//! Containers of a pod in one machine.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use caisson_vm_tests::guest::PATIENCE;
use serde_json::{Value, json};

use crate::Case;
use crate::container::Bundle;
use crate::network::{Namespace, set_network};

/// With `CAISSON_GUEST`, as all containers.
pub(crate) const CASES: &[Case] = &[
    ("pod::has_one_machine", has_one_machine),
    (
        "pod::limits_each_of_its_members",
        limits_each_of_its_members,
    ),
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

/// What a member's control group in the guest says, one line a file.
const LIMITS: &str = "cd /sys/fs/cgroup; cat cpu.max cpu.weight cpuset.cpus memory.max pids.max";

fn limits_each_of_its_members() {
    let network = Namespace::new("vmlimits");
    // Quotas that throttle nobody: an emulated processor is slow enough.
    let owner = Bundle::new(&["sleep", "1000"], |config| {
        network.join(config);
        mark(config, "sandbox", "vm-owner");
        config["annotations"]["io.kubernetes.cri.sandbox-memory"] = json!("201326592");
        config["linux"]["resources"]["cpu"] = json!({"shares": 512, "quota": 100_000});
    });
    owner.create(&["vm-owner"]);
    owner.done(&["start", "vm-owner"]);
    let script = "[ ! -e /last ] || exit 4; while :; do echo >> /ticks; sleep 0.2; done";
    let member = Bundle::new(&["sh", "-c", script], |config| {
        network.join(config);
        mark(config, "container", "vm-owner");
        config["root"]["readonly"] = json!(false);
        config["linux"]["resources"] = json!({
            "memory": {"limit": 50_331_648},
            "pids": {"limit": 50},
            "cpu": {"shares": 2048, "quota": 90_000, "period": 100_000, "cpus": "0"},
        });
    });
    let member = member.beside(&owner);
    member.create(&["--pid-file", "pid", "vm-member"]);
    member.done(&["start", "vm-member"]);
    let limits = |bundle: &Bundle, id: &str| bundle.done(&["exec", id, "sh", "-c", LIMITS]);
    let own = limits(&owner, "vm-owner");
    assert_eq!(own, "100000 100000\n20\n\nmax\nmax\n");
    let first = limits(&member, "vm-member");
    assert_eq!(first, "90000 100000\n79\n0\n50331648\n50\n");
    let changes = [
        "--cpu-quota",
        "95000",
        "--memory",
        "40m",
        "--pids-limit",
        "40",
    ];
    member.done(&[&["update"], &changes[..], &["vm-member"]].concat());
    let second = limits(&member, "vm-member");
    assert_eq!(second, "95000 100000\n79\n0\n41943040\n40\n");
    assert_eq!(limits(&owner, "vm-owner"), own);
    refuses_more_processors(&owner, &network);
    measures_and_kills(&owner, &member);
    pauses(&owner, &member);
    ends_alone(&owner, &member);
    owner.done(&["delete", "-f", "vm-owner"]);
    owner.assert_nothing_left("vm-owner");
    network.assert_clean();
}

/// Than the machine has, for one that is made as for one that runs.
fn refuses_more_processors(owner: &Bundle, network: &Namespace) {
    let large = Bundle::new(&["true"], |config| {
        network.join(config);
        mark(config, "container", "vm-owner");
        config["linux"]["resources"]["cpu"] = json!({"quota": 150_000, "period": 100_000});
    });
    let large = large.beside(owner);
    for command in [
        &["run", "vm-large"][..],
        &["update", "--cpu-quota", "150000", "vm-member"],
    ] {
        let output = large.run(command);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success()
                && said.contains("linux.resources.cpu.quota")
                && said.contains("is worth 2 processors"),
            "{command:?}: {said}"
        );
    }
    assert!(!owner.path("state").join("vm-large").exists());
}

fn measures_and_kills(owner: &Bundle, member: &Bundle) {
    let used = |bundle: &Bundle, id: &str, field: &str| {
        let line = bundle.done(&["events", "--stats", id]);
        let event: Value = serde_json::from_str(&line).expect("JSON");
        event["data"].pointer(field).and_then(Value::as_u64)
    };
    let limit = used(member, "vm-member", "/memory/usage/limit");
    assert_eq!(limit, Some(41_943_040));
    assert!(used(member, "vm-member", "/cpu/usage/total") > Some(0));
    assert_ne!(used(owner, "vm-owner", "/memory/usage/limit"), limit);
    // What eats more than the member may have is killed, and nobody else.
    let greedy = ["dd", "if=/dev/zero", "of=/dev/null", "bs=60M", "count=1"];
    let output = member.run(&[&["exec", "vm-member"], &greedy[..]].concat());
    assert_eq!(output.status.code(), Some(137));
    let counted = |id: &str, kills: &str| {
        let file = owner.path("state").join(id).join("cgroup/memory.events");
        let text = fs::read_to_string(file).expect("the counter");
        text.lines().any(|line| line == kills)
    };
    eventually("the kill is counted", || counted("vm-member", "oom_kill 1"));
    assert!(counted("vm-owner", "oom_kill 0"));
    assert_eq!(member.status("vm-member"), "running");
}

/// Whether the member writes another line.
fn ticks(member: &Bundle) -> bool {
    let length = || fs::metadata(member.path("rootfs/ticks")).map_or(0, |file| file.len());
    let before = length();
    let deadline = Instant::now() + Duration::from_secs(2);
    while Instant::now() < deadline {
        if length() > before {
            return true;
        }
        thread::sleep(Duration::from_millis(50));
    }
    false
}

fn pauses(owner: &Bundle, member: &Bundle) {
    eventually("it ticks", || ticks(member));
    member.done(&["pause", "vm-member"]);
    assert_eq!(member.status("vm-member"), "paused");
    thread::sleep(Duration::from_millis(300)); // what was on its way arrives
    assert!(!ticks(member), "a paused member goes on");
    // The others of the machine do.
    owner.done(&["exec", "vm-owner", "true"]);
    member.done(&["resume", "vm-member"]);
    eventually("it ticks again", || ticks(member));
    // A host that does not do its part: what the guest did is undone.
    let file = "/sys/fs/cgroup/vm-member/guest/cgroup.freeze";
    let mount = Command::new("mount")
        .args(["--bind", "/proc/version", file])
        .status();
    assert!(mount.expect("mount runs").success());
    let output = member.run(&["pause", "vm-member"]);
    let unmount = Command::new("umount").arg(file).status();
    assert!(unmount.expect("umount runs").success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("cgroup.freeze"),
        "{said}"
    );
    assert_eq!(member.status("vm-member"), "running");
    eventually("it goes on in the guest too", || ticks(member));
}

/// A member whose process on the host is killed goes, and is gone in the guest too.
fn ends_alone(owner: &Bundle, member: &Bundle) {
    let pid = fs::read_to_string(member.path("pid")).expect("the pid");
    let killed = Command::new("kill").args(["-9", pid.trim()]).status();
    assert!(killed.expect("kill runs").success());
    member.wait_for_status("vm-member", "stopped");
    eventually("its program ends", || !ticks(member));
    assert_eq!(owner.status("vm-owner"), "running");
    member.done(&["delete", "vm-member"]);
    // Nothing of it is in its successor's way.
    fs::write(member.path("rootfs/last"), "").expect("a file");
    let next = member.run(&["run", "vm-member"]).status;
    assert_eq!(next.code(), Some(4));
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(50));
    }
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
