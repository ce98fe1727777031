//! An ordinary user of this machine, made for the test: `caisson` and Podman without root. Needs root (to make the
//! user), busybox-static, uidmap, podman and slirp4netns.

mod user;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use caisson_oci_tests::{Done, Runtime};
use serde_json::{Value, json};
use user::User;

const TRANSPORTS: [&str; 2] = ["notify", "ptrace"];

/// A bundle in the user's home whose init runs `script`, and what `caisson spec --rootless` wrote for it.
fn bundle(user: &User, name: &str, script: &str) -> Value {
    let root = format!("{name}/rootfs");
    let made = user.run(&format!(
        "mkdir -p {root}/bin {root}/tmp {root}/proc {root}/sys {root}/dev {root}/etc && chmod 1777 {root}/tmp && \
         cp /bin/busybox {root}/bin/ && ln -s busybox {root}/bin/sh && caisson spec --rootless --bundle {name}"
    ));
    made.succeeded();
    let text = std::fs::read(user.home().join(name).join("config.json")).expect("config.json");
    let mut config: Value = serde_json::from_slice(&text).expect("json");
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["sh", "-c", script]);
    config["root"]["readonly"] = json!(false);
    config
}

fn write(user: &User, name: &str, config: &Value) {
    let file = user.home().join(name).join("config.json");
    std::fs::write(file, config.to_string()).expect("write config.json");
}

fn owner(user: &User, file: &str) -> (u32, u32) {
    let meta = user.home().join(file).symlink_metadata().expect("made");
    (meta.uid(), meta.gid())
}

/// Its own id for the container's root, and the subordinate ones behind it.
fn map_subordinate(user: &User, config: &mut Value) {
    let map = |own: u32| {
        json!([{"containerID": 0, "hostID": own, "size": 1},
            {"containerID": 1, "hostID": user.subordinate, "size": 65536}])
    };
    config["linux"]["uidMappings"] = map(user.uid);
    config["linux"]["gidMappings"] = map(user.gid);
    for set in ["bounding", "effective", "permitted"] {
        config["process"]["capabilities"][set] = json!([
            "CAP_CHOWN",
            "CAP_DAC_OVERRIDE",
            "CAP_SETUID",
            "CAP_SETGID",
            "CAP_NET_ADMIN",
            "CAP_SYS_ADMIN"
        ]);
    }
}

#[test]
fn a_user_runs_containers_as_their_root() {
    let user = User::new();
    let script = "id -u; cat /proc/self/uid_map /proc/self/setgroups; touch /tmp/f; chown 5 /tmp/f; \
        ls -ln /dev/null | tr -s ' ' | cut -d' ' -f3; ls /sys | head -n 1; exit 7";
    let config = bundle(&user, "b", script);
    write(&user, "b", &config);
    for transport in TRANSPORTS {
        let done = user.run(&format!(
            "rm -f b/rootfs/tmp/f; caisson --transport {transport} run -b b c"
        ));
        let map = format!("{:>10} {:>10} {:>10}\n", 0, user.uid, 1);
        let wanted = format!("0\n{map}deny\n65534\nblock\n");
        assert_eq!((done.status, done.stdout), (7, wanted), "{}", done.stderr);
        assert!(done.stderr.contains("Invalid argument"), "{}", done.stderr);
        assert_eq!(owner(&user, "b/rootfs/tmp/f"), (user.uid, user.gid));
    }
    user.assert_nothing_left();
}

#[test]
fn subordinate_ids_become_the_containers_users() {
    let user = User::new();
    let script = "touch /tmp/f && chown 5:6 /tmp/f; mkdir /tmp/m; mount -t tmpfs t /tmp/m && touch /tmp/m/x; \
        ls -ln /tmp/f | tr -s ' ' | cut -d' ' -f3,4; cat /proc/self/setgroups; \
        ip addr add 10.9.9.9/24 dev lo && echo address; chown 70000 /tmp/f";
    let mut config = bundle(&user, "b", script);
    map_subordinate(&user, &mut config);
    let namespaces = config["linux"]["namespaces"].as_array_mut().expect("list");
    namespaces.push(json!({"type": "network"}));
    write(&user, "b", &config);
    for transport in TRANSPORTS {
        let done = user.run(&format!(
            "rm -rf b/rootfs/tmp/m; caisson --transport {transport} run -b b c"
        ));
        assert_eq!(done.stdout, "5 6\nallow\naddress\n", "{}", done.stderr);
        assert!(done.stderr.contains("70000") || done.stderr.contains("Invalid argument"));
        let (uid, gid) = (user.subordinate + 4, user.subordinate + 5);
        assert_eq!(owner(&user, "b/rootfs/tmp/f"), (uid, gid));
        // Only a root of that mapping can remove it again.
        std::fs::remove_file(user.home().join("b/rootfs/tmp/f")).expect("remove");
    }
    let mut beyond = config.clone();
    beyond["linux"]["uidMappings"][1]["size"] = json!(900_000_000);
    write(&user, "b", &beyond);
    let refused = user.run("caisson run -b b c");
    refused.refused(&["linux.uidMappings", "900000000", "newuidmap"]);
    user.assert_nothing_left();
}

#[test]
fn every_command_works_without_cgroups() {
    let user = User::new();
    for (transport, subordinate) in [("notify", true), ("ptrace", false)] {
        let mut config = bundle(&user, transport, "sleep 600");
        if subordinate {
            map_subordinate(&user, &mut config);
        }
        write(&user, transport, &config);
        let caisson = |words: &str| user.run(&format!("caisson --transport {transport} {words}"));
        caisson(&format!("create -b {transport} c >log 2>&1 </dev/null")).succeeded();
        let state = || -> Value {
            serde_json::from_str(&caisson("state c").succeeded().stdout).expect("json")
        };
        assert_eq!(state()["status"], "created");
        caisson("start c").succeeded();
        let exec = caisson("exec c sh -c 'id -u; touch /tmp/e; echo $PPID; exit 9'");
        assert_eq!(
            (exec.status, exec.stdout.as_str()),
            (9, "0\n0\n"),
            "{}",
            exec.stderr
        );
        assert_eq!(
            owner(&user, &format!("{transport}/rootfs/tmp/e")),
            (user.uid, user.gid)
        );
        let other = caisson("exec -u 5 c sh -c 'id -u'");
        if subordinate {
            assert_eq!(other.succeeded().stdout, "5\n");
        } else {
            assert!(
                other.stderr.contains("process.user.uid: 5"),
                "{}",
                other.stderr
            );
        }
        let ps = caisson("ps c").succeeded().stdout;
        assert_eq!(ps.matches("sleep 600").count(), 1, "{ps}");
        caisson("events --stats c").succeeded();
        caisson("pause c").refused(&["has no cgroup"]);
        caisson("update --memory 64m c").refused(&["linux.resources.memory", "cgroup"]);
        caisson("exec -d c sh -c 'sleep 601'").succeeded();
        assert_eq!(state()["status"], "running");
        caisson("kill c KILL").succeeded();
        caisson_oci_tests::eventually("stopped", || state()["status"] == "stopped");
        caisson("delete c").succeeded();
        caisson("run -d -b b-none c").refused(&["b-none"]);
        user.assert_nothing_left();
    }
}

#[test]
fn limits_and_other_roots_are_refused_by_name() {
    let user = User::new();
    let mut config = bundle(&user, "b", "true");
    config["linux"]["resources"] = json!({"memory": {"limit": 1 << 30}});
    write(&user, "b", &config);
    user.run("caisson run -b b c").refused(&[
        "linux.resources.memory",
        "could not join or create a cgroup",
    ]);
    config["linux"]["resources"] = json!({});
    write(&user, "b", &config);
    user.run("caisson run -b b c").succeeded();
    user.run("caisson --rootless=true run -b b c").succeeded();
    user.run("caisson --rootless=false run -b b c")
        .refused(&["/sys/fs/cgroup", "Permission denied"]);
    config["linux"]["cgroupsPath"] = json!("/some/where");
    write(&user, "b", &config);
    user.run("caisson run -b b c")
        .refused(&["some", "Permission denied"]);
    config["linux"]["cgroupsPath"] = json!("");
    config["linux"]["uidMappings"][0]["hostID"] = json!(0);
    write(&user, "b", &config);
    user.run("caisson run -b b c")
        .refused(&["linux.uidMappings", "0 0 1"]);
    user.run("caisson --sandbox vm run -b b c")
        .refused(&["--sandbox", "vm", "root"]);
    user.assert_nothing_left();
}

#[test]
fn do_shows_a_user_what_it_can_read_itself() {
    let user = User::new();
    std::fs::write(user.home().join("mine"), "text\n").expect("write");
    for transport in TRANSPORTS {
        let done = user.run(&format!(
            "caisson --transport {transport} do -- sh -c 'id -u; cat ~/mine; touch ~/new; cat /etc/shadow; exit 4'"
        ));
        assert_eq!(
            (done.status, done.stdout.as_str()),
            (4, "0\ntext\n"),
            "{}",
            done.stderr
        );
        assert!(done.stderr.contains("Read-only"), "{}", done.stderr);
        assert!(done.stderr.contains("Permission denied"), "{}", done.stderr);
    }
    let check = user.run("caisson check").succeeded().stdout;
    let check: Value = serde_json::from_str(&check).expect("json");
    assert_eq!(
        (&check["ok"], &check["rootless"]),
        (&json!(true), &json!(true)),
        "{check}"
    );
    user.assert_nothing_left();
}

/// Set inside a machine whose only cgroups are those of version 2.
const INSIDE: &str = "CAISSON_ROOTLESS_TESTS_INSIDE";

/// As systemd gives one to each user's session. Where the cgroups of this machine are others, in a machine that has them.
#[test]
fn a_delegated_cgroup_is_used() {
    let root = Path::new("/sys/fs/cgroup");
    if !root.join("cgroup.controllers").exists() {
        assert!(std::env::var_os(INSIDE).is_none(), "no cgroup v2 inside");
        return again_on_cgroup_v2("a_delegated_cgroup_is_used");
    }
    let user = User::new();
    let mut config = bundle(&user, "b", "sleep 600");
    config["linux"]["resources"] = json!({"memory": {"limit": 1 << 28}, "pids": {"limit": 50}});
    write(&user, "b", &config);
    let own = user.delegate(root);
    let done = user.run_in(&own, "caisson run -d -b b c >log 2>&1 </dev/null; cat log");
    assert_eq!(done.succeeded().stdout, "");
    let group = own.parent().expect("parent").join("c");
    let read = |file: &str| std::fs::read_to_string(group.join(file)).expect(file);
    assert_eq!(
        (read("memory.max"), read("guest/pids.max")),
        ("268435456\n".into(), "50\n".into())
    );
    let run = |words: &str| user.run_in(&own, &format!("caisson {words}"));
    run("pause c").succeeded();
    assert!(run("state c").stdout.contains("paused"));
    run("resume c").succeeded();
    run("update --memory 128m c").succeeded();
    assert_eq!(read("memory.max"), "134217728\n");
    let ps = run("ps c").succeeded().stdout;
    assert_eq!(ps.matches("sleep 600").count(), 1, "{ps}");
    let list = run("list").succeeded().stdout;
    assert!(
        list.lines()
            .nth(1)
            .is_some_and(|line| line.ends_with(&user.name)),
        "{list}"
    );
    run("delete -f c").succeeded();
    assert!(!group.exists());
    user.assert_nothing_left();
    user.undelegate(&own);
}

fn again_on_cgroup_v2(test: &str) {
    let tests = std::env::current_exe().expect("path of the running test");
    let job = caisson_nested::Job::new([tests])
        .argument("--exact")
        .argument(test)
        .env(INSIDE, "1")
        .env("CAISSON_BIN", Runtime::caisson().program)
        .limit(Duration::from_secs(300));
    let mut lines = Vec::new();
    let status = caisson_nested::run(&job, &AtomicBool::new(false), &mut |line| {
        lines.push(line.to_owned());
    })
    .expect("the machine reports");
    let lines = lines.join("\n");
    assert_eq!(status, 0, "{lines}");
    assert!(lines.contains("1 passed; 0 failed"), "{lines}");
}

/// Podman with what it needs to say to run under this user.
fn podman(user: &User, transport: &str, words: &str) -> Done {
    user.run(&format!(
        "podman --cgroup-manager=cgroupfs --events-backend=none --storage-driver=vfs --runtime ~/caisson-{transport} {words}"
    ))
}

#[test]
fn podman_runs_containers_for_a_user() {
    let user = User::new();
    let image = caisson_images::busybox().expect("image");
    user.copy(&image.archive, "busybox.tar");
    for transport in TRANSPORTS {
        let program = user.home().join("bin/caisson");
        user.script(
            &format!("caisson-{transport}"),
            &format!("exec {} --transport {transport} \"$@\"", program.display()),
        );
        let podman = |words: &str| podman(&user, transport, words);
        podman("load -q -i busybox.tar").succeeded();
        let id = "localhost/busybox";
        let done = podman(&format!(
            "run --rm --network=none {id} sh -c 'id -u; cat /proc/self/uid_map; uname -v; exit 7'"
        ));
        let map = format!(
            "{:>10} {:>10} {:>10}\n{:>10} {:>10} {:>10}\n",
            0, user.uid, 1, 1, user.subordinate, 65536
        );
        assert_eq!(done.status, 7, "{}", done.stderr);
        assert!(
            done.stdout.starts_with(&format!("0\n{map}")),
            "{}",
            done.stdout
        );
        assert!(done.stdout.contains("Caisson"), "{}", done.stdout);
        // A volume of the user's, by the container's users.
        user.run("mkdir -p volume && chmod 777 volume").succeeded();
        podman(&format!(
            "run --rm --network=none -v ~/volume:/v {id} sh -c 'touch /v/f; chown 7:8 /v/f'"
        ))
        .succeeded();
        assert_eq!(
            owner(&user, "volume/f"),
            (user.subordinate + 6, user.subordinate + 7)
        );
        std::fs::remove_file(user.home().join("volume/f")).expect("remove");
        podman(&format!(
            "run --rm --network=none --userns=keep-id -v ~/volume:/v {id} sh -c 'id -u; touch /v/k'"
        ))
        .succeeded();
        assert_eq!(owner(&user, "volume/k"), (user.uid, user.gid));
        // One that stays, with a network.
        podman(&format!(
            "run -d --name c --network=slirp4netns {id} sh -c 'echo begun; exec sleep 600'"
        ))
        .succeeded();
        let exec = podman(
            "exec -u 1000 -e A=b c sh -c 'id -u; echo $A; ip -4 addr show tap0 | grep -c inet'",
        );
        assert_eq!(exec.stdout, "1000\nb\n1\n", "{}", exec.stderr);
        let top = podman("top c").succeeded().stdout;
        assert!(top.contains("sleep 600"), "{top}");
        assert_eq!(podman("logs c").succeeded().stdout, "begun\n");
        podman("stop -t 0 c").succeeded();
        podman("rm c").succeeded();
    }
    user.run("podman --storage-driver=vfs system migrate")
        .succeeded();
    user.assert_nothing_left();
}
