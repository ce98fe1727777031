//! Fields of config.json whose effect a guest can see. Each runs under runc and crun as well; where they agree, so
//! do we.

use caisson_oci_tests::Bundle;
use caisson_oci_tests::reference::assert_agreed;
use serde_json::{Value, json};

fn push_mount(bundle: &mut Bundle, mount: Value) {
    let mounts = bundle.config["mounts"].as_array_mut();
    mounts.expect("mounts").push(mount);
}

/// Make `source/file` owned by `uid` and `gid`.
fn source(bundle: &Bundle, uid: u32, gid: u32) -> std::path::PathBuf {
    let folder = bundle.folder.join("source");
    std::fs::create_dir(&folder).expect("mkdir");
    std::fs::write(folder.join("file"), "content\n").expect("write");
    std::os::unix::fs::chown(folder.join("file"), Some(uid), Some(gid)).expect("chown");
    folder
}

#[test]
fn process_fields() {
    let script =
        "pwd; id -u; id -g; id -G; umask; echo $A; ulimit -n; ulimit -Hn; hostname; exit 3";
    let done = assert_agreed(script, |bundle| {
        let process = &mut bundle.config["process"];
        process["cwd"] = json!("/tmp");
        process["user"] = json!({"uid": 7, "gid": 8, "additionalGids": [9, 10], "umask": 0o27});
        process["env"] = json!(["PATH=/bin", "A=b c"]);
        process["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]);
        bundle.config["hostname"] = json!("named");
    });
    assert_eq!(done.status, 3, "{}", done.stderr);
    assert!(
        done.stdout
            .starts_with("/tmp\n7\n8\n8 9 10\n0027\nb c\n100\n200\nnamed\n"),
        "{}",
        done.stdout
    );
}

#[test]
fn niceness_and_policy_of_the_scheduler() {
    let mut bundle = Bundle::new("cut -d' ' -f19,41 /proc/self/stat");
    bundle.config["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 7});
    bundle.config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_IDLE", "priority": 0});
    let done = bundle.run().succeeded();
    assert_eq!(done.stdout.trim(), "7 3");
}

#[test]
fn exec_has_its_processors() {
    let bundle = Bundle::new("sleep 600");
    let id = bundle.id.as_str();
    bundle.caisson(&["run", "-d", id]).succeeded();
    let file = bundle.folder.join("process.json");
    let process = json!({"args": ["sh", "-c", "grep Cpus_allowed_list /proc/self/status"], "env": ["PATH=/bin"],
        "cwd": "/", "execCPUAffinity": {"initial": "0", "final": "0"}});
    std::fs::write(&file, process.to_string()).expect("write");
    let done = bundle
        .caisson(&["exec", "--process", file.to_str().expect("utf-8"), id])
        .succeeded();
    assert_eq!(done.stdout.split_whitespace().last(), Some("0"));
    let wrong = json!({"args": ["true"], "cwd": "/", "execCPUAffinity": {"final": "8000"}});
    std::fs::write(&file, wrong.to_string()).expect("write");
    let done = bundle.caisson(&["exec", "--process", file.to_str().expect("utf-8"), id]);
    assert_eq!(done.status, 255);
    assert!(
        done.stderr.contains("process.execCPUAffinity.final"),
        "{}",
        done.stderr
    );
    bundle.caisson(&["delete", "-f", id]).succeeded();
    bundle.assert_nothing_left();
}

#[test]
fn a_tmpfs_shows_its_source_and_begins_with_what_it_covers() {
    let mount = |options: Value| json!({"destination": "/data", "type": "tmpfs", "source": "mine", "options": options});
    let fill = |bundle: &Bundle| {
        let data = bundle.rootfs().join("data");
        std::fs::create_dir_all(data.join("sub")).expect("mkdir");
        std::fs::write(data.join("sub/file"), "content\n").expect("write");
        std::os::unix::fs::symlink("sub/file", data.join("link")).expect("symlink");
    };
    let script = "cat /data/link; ls -l /data/sub/file | cut -c1-10; grep ' /data ' /proc/mounts | cut -d' ' -f1-3";
    let done = assert_agreed(script, |bundle| {
        fill(bundle);
        push_mount(bundle, mount(json!(["tmpcopyup", "ro"])));
    });
    assert_eq!(
        done.stdout, "content\n-rw-r--r--\nmine /data tmpfs\n",
        "{}",
        done.stderr
    );
    let done = assert_agreed("ls -A /data", |bundle| {
        fill(bundle);
        push_mount(bundle, mount(json!([])));
    });
    assert_eq!(done.stdout, "");
}

#[test]
fn owners_of_an_idmapped_mount() {
    let mut bundle = Bundle::new(
        "ls -n /in/file | tr -s ' ' | cut -d' ' -f3,4; touch /in/new && ls -n /in/new | tr -s ' ' | cut -d' ' -f3,4",
    );
    let folder = source(&bundle, 1000, 1001);
    let line =
        |first: u32, shown: u32| json!([{"containerID": first, "hostID": shown, "size": 10}]);
    let mount = json!({"destination": "/in", "type": "bind", "source": folder, "options": ["rbind"],
        "uidMappings": line(1000, 5), "gidMappings": line(1000, 30)});
    push_mount(&mut bundle, mount);
    let done = bundle.run();
    if done.stderr.contains("MOUNT_ATTR_IDMAP") {
        // The file system of the temporary folder cannot do it; the refusal says where.
        assert!(done.stderr.contains("mounts[7]"), "{}", done.stderr);
        return;
    }
    assert!(
        done.stdout.starts_with("5 31\n"),
        "{} {}",
        done.stdout,
        done.stderr
    );
    bundle.assert_nothing_left();
}

#[test]
fn options_of_binds_reach_as_far_as_they_say() {
    let tree = |bundle: &Bundle| {
        let folder = source(bundle, 0, 0);
        std::fs::create_dir(folder.join("below")).expect("mkdir");
        folder
    };
    for (option, below) in [("ro", "written"), ("rro", "refused")] {
        let script = "touch /in/x 2>/dev/null || echo refused; (touch /in/below/x 2>/dev/null && echo written) || echo refused";
        let done = assert_agreed(script, |bundle| {
            let folder = tree(bundle);
            let inner = json!({"destination": "/in/below", "type": "tmpfs", "source": "tmpfs"});
            push_mount(
                bundle,
                json!({"destination": "/in", "type": "bind", "source": folder, "options": ["rbind"]}),
            );
            push_mount(bundle, inner);
            // Bound once more, with what is below it.
            let again = json!({"destination": "/in", "type": "bind", "source": "/nonexistent", "options": ["rbind", option]});
            bundle.config["mounts"]
                .as_array_mut()
                .expect("mounts")
                .pop();
            bundle.config["mounts"]
                .as_array_mut()
                .expect("mounts")
                .pop();
            let below = folder.join("below");
            std::fs::create_dir_all(&below).expect("mkdir");
            let mut outer = again;
            outer["source"] = json!(folder);
            rustix::mount::mount(
                c"tmpfs",
                &below,
                c"tmpfs",
                rustix::mount::MountFlags::empty(),
                None,
            )
            .expect("tmpfs");
            push_mount(bundle, outer);
        });
        assert_eq!(
            done.stdout,
            format!("refused\n{below}\n"),
            "{option}: {}",
            done.stderr
        );
    }
}

#[test]
fn paths_masked_and_read_only() {
    let script = "cat /secret; ls -A /hidden; touch /sealed/x 2>/dev/null || echo sealed";
    let done = assert_agreed(script, |bundle| {
        bundle.config["root"]["readonly"] = json!(false);
        let root = bundle.rootfs();
        std::fs::write(root.join("secret"), "secret").expect("write");
        std::fs::create_dir_all(root.join("hidden/sub")).expect("mkdir");
        std::fs::create_dir(root.join("sealed")).expect("mkdir");
        bundle.config["linux"]["maskedPaths"] = json!(["/secret", "/hidden"]);
        bundle.config["linux"]["readonlyPaths"] = json!(["/sealed"]);
    });
    assert_eq!(done.stdout, "sealed\n");
}

#[test]
fn devices_with_their_owner_and_mode() {
    let done = assert_agreed(
        "ls -l /dev/mine | tr -s ' ' | cut -d' ' -f1,3-6; head -c1 /dev/mine | wc -c",
        |bundle| {
            bundle.config["linux"]["devices"] = json!([{"path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o664, "uid": 0, "gid": 4}]);
        },
    );
    assert_eq!(done.stdout, "crw-rw-r-- 0 4 1, 5\n1\n", "{}", done.stderr);
}

#[test]
fn propagation_of_the_root_and_of_mounts() {
    // runc leaves the root private where it is to be shared; its own test suite calls that wrong.
    let marks = [
        ("private", ""),
        ("rshared", "shared"),
        ("unbindable", "unbindable"),
    ];
    for (kind, mark) in marks {
        let script =
            "grep ' / r[ow],' /proc/self/mountinfo | grep -o 'shared\\|master\\|unbindable'; true";
        let mut bundle = Bundle::new(script);
        bundle.config["linux"]["rootfsPropagation"] = json!(kind);
        assert_eq!(bundle.run().succeeded().stdout.trim(), mark, "{kind}");
    }
    let script = "grep ' /t ' /proc/self/mountinfo | grep -o shared";
    let done = assert_agreed(script, |bundle| {
        let mount = json!({"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["rshared"]});
        push_mount(bundle, mount);
    });
    assert_eq!(done.stdout, "shared\n", "{}", done.stderr);
}

#[test]
fn sysctls_and_oom_score() {
    let done = assert_agreed(
        "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni /proc/sys/kernel/domainname /proc/self/oom_score_adj",
        |bundle| {
            bundle.config["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1", "kernel.shmmni": "1000", "kernel.domainname": "home"});
            bundle.config["process"]["oomScoreAdj"] = json!(500);
        },
    );
    assert_eq!(done.stdout, "1\n1000\nhome\n500\n", "{}", done.stderr);
}

/// What an engine in the container does first.
#[test]
fn bridges_of_whoever_may_change_the_network() {
    let script = "brctl addbr br7 && ip link set br7 up && ip -o link show br7 | cut -d: -f2; \
                  ip link set br7 down; brctl delbr br7 && ls /sys/class/net";
    let done = assert_agreed(script, |bundle| {
        for set in ["bounding", "effective", "permitted"] {
            let set = &mut bundle.config["process"]["capabilities"][set];
            *set = json!(["CAP_NET_ADMIN"]);
        }
    });
    assert_eq!(done.stdout, " br7\nlo\n", "{}", done.stderr);
    let done = assert_agreed("brctl addbr br7 2>&1", |_| {});
    assert_eq!(done.status, 1, "{}", done.stdout);
}

#[test]
fn personality_and_clocks() {
    let done = assert_agreed("uname -m", |bundle| {
        bundle.config["linux"]["personality"] = json!({"domain": "LINUX"});
    });
    assert_eq!(done.stdout, "x86_64\n");
    let mut bundle = Bundle::new("uname -m");
    bundle.config["linux"]["personality"] = json!({"domain": "LINUX32"});
    assert_eq!(bundle.run().succeeded().stdout, "i686\n");
    let mut bundle = Bundle::new("cat /proc/self/timens_offsets; sleep 600");
    bundle.config["linux"]["namespaces"]
        .as_array_mut()
        .expect("namespaces")
        .push(json!({"type": "time"}));
    bundle.config["linux"]["timeOffsets"] =
        json!({"monotonic": {"secs": 100_000, "nanosecs": 5}, "boottime": {"secs": 200_000}});
    let id = bundle.id.as_str();
    bundle.caisson(&["run", "-d", id]).succeeded();
    let host = std::fs::read_link("/proc/self/ns/time").expect("time namespace");
    let pids = bundle.caisson(&["ps", "-f", "json", id]).succeeded().stdout;
    let pids: Vec<i64> = serde_json::from_str(&pids).expect("json");
    let guest = std::fs::read_link(format!("/proc/{}/ns/time", pids[0])).expect("guest's");
    assert_ne!(host, guest);
    let offsets = std::fs::read_to_string(format!("/proc/{}/timens_offsets", pids[0]));
    let offsets = offsets.expect("offsets");
    let fields: Vec<&str> = offsets.split_whitespace().collect();
    assert_eq!(
        fields,
        ["monotonic", "100000", "5", "boottime", "200000", "0"]
    );
    bundle.caisson(&["delete", "-f", id]).succeeded();
    bundle.assert_nothing_left();
}

#[test]
fn a_seccomp_profile_is_enforced() {
    let rule = |names: &[&str], action: &str, args: Value| json!({"names": names, "action": action, "args": args});
    // mkdir of busybox with and without arguments that match; mknod by type; what the profile leaves alone works.
    let script = "mkdir /tmp/a 2>&1; echo $?; ln -s x /tmp/l 2>&1; echo $?; sleep 0; cat /proc/self/comm; grep Seccomp: /proc/self/status";
    let done = assert_agreed(script, |bundle| {
        bundle.config["root"]["readonly"] = json!(false);
        bundle.config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [
                rule(&["mkdir", "mkdirat", "bdflush"], "SCMP_ACT_ERRNO", json!([])),
                rule(&["symlink", "symlinkat"], "SCMP_ACT_ERRNO", json!([{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}])),
            ],
        });
    });
    assert_eq!(
        done.stdout,
        "mkdir: can't create directory '/tmp/a': Operation not permitted\n1\n0\ncat\nSeccomp:\t2\n",
        "{}",
        done.stderr
    );
    let done = assert_agreed("mkdir /tmp/a; echo not reached", |bundle| {
        bundle.config["root"]["readonly"] = json!(false);
        bundle.config["process"]["args"] = json!(["mkdir", "/tmp/a"]);
        bundle.config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
            [rule(&["mkdir", "mkdirat"], "SCMP_ACT_KILL_PROCESS", json!([]))]});
    });
    assert_eq!(done.status, 128 + 31, "{}", done.stderr);
    // The same for what is executed later.
    let mut bundle = Bundle::new("sleep 600");
    bundle.config["root"]["readonly"] = json!(false);
    bundle.config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
        [rule(&["mkdir"], "SCMP_ACT_ERRNO", json!([]))]});
    let id = bundle.id.as_str();
    bundle.caisson(&["run", "-d", id]).succeeded();
    let done = bundle.caisson(&["exec", id, "mkdir", "/tmp/b"]);
    assert_eq!(done.status, 1, "{}", done.stderr);
    bundle.caisson(&["delete", "-f", id]).succeeded();
    bundle.assert_nothing_left();
}

/// As Linux has it in capset(2), and runc with it.
#[test]
fn what_is_inheritable_must_be_in_the_bounding_set() {
    let mut bundle = Bundle::new("true");
    bundle.config["process"]["capabilities"] = json!({"inheritable": ["CAP_KILL"]});
    bundle.run().refused(&[
        "process.capabilities.inheritable",
        "CAP_KILL",
        "not permitted",
    ]);
    bundle.assert_nothing_left();
}

/// What a process sees of its own policy.
#[test]
fn memory_policies_hold_for_the_container_and_for_exec() {
    let mut bundle = Bundle::new("grep -c bind:0 /proc/self/numa_maps && exec sleep 600");
    bundle.config["linux"]["memoryPolicy"] = json!({"mode": "MPOL_BIND", "nodes": "0"});
    let id = bundle.id.as_str();
    bundle.caisson(&["run", "-d", id]).succeeded();
    let exec = ["exec", id, "grep", "-c", "bind:0", "/proc/self/numa_maps"];
    let counted = bundle.caisson(&exec).succeeded().stdout;
    assert!(
        counted.trim().parse::<u32>().is_ok_and(|count| count > 0),
        "{counted}"
    );
    let mut bundle = Bundle::new("true");
    bundle.config["linux"]["memoryPolicy"] = json!({"mode": "MPOL_BIND", "nodes": "1000"});
    bundle.run().refused(&["memory policy"]);
}

#[test]
fn a_failing_poststart_hook_ends_the_container_and_unknown_capabilities_are_told() {
    let mut bundle = Bundle::new("sleep 600");
    bundle.config["process"]["capabilities"] = json!({"bounding": ["CAP_FLY", "CAP_KILL"]});
    bundle.config["hooks"]["poststart"] =
        json!([{"path": "/bin/sh", "args": ["sh", "-c", "echo no luck >&2; exit 3"]}]);
    let id = bundle.id.as_str();
    let created = bundle.caisson(&["create", id]).succeeded();
    assert!(
        created.stderr.contains("level=warning")
            && created
                .stderr
                .contains("unavailable capabilities: [CAP_FLY]"),
        "{}",
        created.stderr
    );
    bundle
        .caisson(&["start", id])
        .refused(&["hooks.poststart[0]", "no luck"]);
    assert_eq!(bundle.status(), "stopped");
    bundle.caisson(&["delete", id]).succeeded();
    bundle.assert_nothing_left();
}
