//! Containers for real: create, start, kill, delete, run, exec and what they leave behind.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use caisson_oci_tests::{Bundle, eventually};
use serde_json::{Value, json};

#[test]
fn run_reports_output_and_status_and_leaves_nothing() {
    let bundle = Bundle::new("echo out; echo err >&2; hostname; exit 7");
    let done = bundle.run();
    assert_eq!(
        (done.status, done.stdout.as_str(), done.stderr.as_str()),
        (7, "out\ncaisson\n", "err\n")
    );
    bundle.assert_nothing_left();
    let bundle = Bundle::new("kill -9 $$; sleep 60");
    // An init process does not die by a SIGKILL of its own.
    let killed = Bundle::new("sleep 60");
    killed.caisson(&["run", "--detach", &killed.id]).succeeded();
    killed.caisson(&["kill", &killed.id, "KILL"]).succeeded();
    eventually("stopped", || killed.status() == "stopped");
    drop(bundle);
}

#[test]
fn every_wrong_order_of_commands_is_an_error() {
    let bundle = Bundle::new("sleep 600");
    let id = bundle.id.as_str();
    for command in [
        &["start", id][..],
        &["kill", id],
        &["delete", id],
        &["state", id],
        &["pause", id],
        &["ps", id],
    ] {
        bundle
            .caisson(command)
            .refused(&["container does not exist", id]);
    }
    bundle.caisson(&["delete", "--force", id]).succeeded();
    bundle.caisson(&["create", id]).succeeded();
    assert_eq!(bundle.status(), "created");
    bundle
        .caisson(&["create", id])
        .refused(&["already exists", id]);
    assert_eq!(bundle.status(), "created");
    bundle.caisson(&["resume", id]).succeeded();
    bundle.caisson(&["start", id]).succeeded();
    assert_eq!(bundle.status(), "running");
    bundle
        .caisson(&["start", id])
        .refused(&["cannot start an already running container"]);
    bundle
        .caisson(&["delete", id])
        .refused(&["cannot delete", "running"]);
    bundle
        .caisson(&["kill", id, "SIGNONE"])
        .refused(&["signal", "SIGNONE"]);
    bundle.caisson(&["kill", id, "KILL"]).succeeded();
    assert_eq!(bundle.status(), "stopped");
    bundle
        .caisson(&["kill", id])
        .refused(&["container not running"]);
    bundle
        .caisson(&["start", id])
        .refused(&["cannot start a container that has stopped"]);
    assert_eq!(bundle.caisson(&["exec", id, "true"]).status, 255);
    bundle.caisson(&["delete", id]).succeeded();
    bundle.assert_nothing_left();
}

#[test]
fn paused_containers_are_seen_resumed_and_killed() {
    let bundle = Bundle::new("while :; do :; done");
    let id = bundle.id.as_str();
    bundle.caisson(&["run", "-d", id]).succeeded();
    bundle.caisson(&["pause", id]).succeeded();
    assert_eq!(bundle.status(), "paused");
    bundle
        .caisson(&["pause", id])
        .refused(&["cannot pause a paused container"]);
    assert_eq!(bundle.caisson(&["exec", id, "true"]).status, 255);
    bundle.caisson(&["resume", id]).succeeded();
    assert_eq!(bundle.status(), "running");
    // Time has gone on meanwhile.
    let now = || {
        let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
        since.as_secs()
    };
    let before = now();
    let date = bundle.caisson(&["exec", id, "date", "+%s"]).succeeded();
    let told: u64 = date.stdout.trim().parse().expect("seconds");
    assert!((before - 1..=now() + 1).contains(&told), "{told}: {before}");
    bundle.caisson(&["pause", id]).succeeded();
    bundle.caisson(&["kill", id, "9"]).succeeded();
    assert_eq!(bundle.status(), "stopped");
    bundle.caisson(&["delete", id]).succeeded();
    bundle.assert_nothing_left();
}

#[test]
fn kill_all_reaches_every_process_with_any_signal() {
    let script = "(trap 'echo child; exit 0' USR1; echo ready; while :; do sleep 0.1; done) &
        trap 'wait; echo init; exit 4' USR1; echo ready; while :; do sleep 0.1; done";
    let bundle = Bundle::new(script);
    let mut run = bundle
        .command(&["run", &bundle.id])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("spawn");
    let mut lines = BufReader::new(run.stdout.take().expect("a pipe")).lines();
    let mut line = || lines.next().expect("a line").expect("text");
    assert_eq!([line(), line()], ["ready", "ready"]);
    bundle
        .caisson(&["kill", "--all", &bundle.id, "USR1"])
        .succeeded();
    assert_eq!([line(), line()], ["child", "init"]);
    assert_eq!(run.wait().expect("wait").code(), Some(4));
    bundle.assert_nothing_left();
}

#[test]
fn exec_gives_status_output_user_environment_and_directory() {
    let bundle = Bundle::new("sleep 600");
    let id = bundle.id.as_str();
    bundle.caisson(&["run", "-d", id]).succeeded();
    let done = bundle.caisson(&[
        "exec",
        "-u",
        "5:6",
        "-e",
        "A=b",
        "--cwd",
        "/tmp",
        id,
        "sh",
        "-c",
        "id -u; id -g; echo $A; pwd; exit 9",
    ]);
    assert_eq!(
        (done.status, done.stdout.as_str()),
        (9, "5\n6\nb\n/tmp\n"),
        "{}",
        done.stderr
    );
    assert_eq!(
        bundle
            .caisson(&["exec", id, "sh", "-c", "kill -15 $$"])
            .status,
        128 + 15
    );
    let missing = bundle.caisson(&["exec", id, "no-such-program"]);
    assert_eq!(missing.status, 255);
    assert!(
        missing.stderr.contains("no-such-program"),
        "{}",
        missing.stderr
    );
    let file = bundle.folder.join("process.json");
    let process = json!({"args": ["sh", "-c", "echo from-file"], "env": ["PATH=/bin"], "cwd": "/", "user": {"uid": 0, "gid": 0}});
    std::fs::write(&file, process.to_string()).expect("write");
    let done = bundle.caisson(&["exec", "--process", file.to_str().expect("utf-8"), id]);
    assert_eq!(
        (done.status, done.stdout.as_str()),
        (0, "from-file\n"),
        "{}",
        done.stderr
    );
    let pid_file = bundle.folder.join("exec.pid");
    bundle
        .caisson(&[
            "exec",
            "-d",
            "--pid-file",
            pid_file.to_str().expect("utf-8"),
            id,
            "sleep",
            "600",
        ])
        .succeeded();
    let pid: i64 = std::fs::read_to_string(&pid_file)
        .expect("pid file")
        .parse()
        .expect("a number");
    let pids: Value =
        serde_json::from_str(&bundle.caisson(&["ps", "-f", "json", id]).succeeded().stdout)
            .expect("json");
    assert!(
        pids.as_array().expect("list").contains(&json!(pid)),
        "{pid} in {pids}"
    );
    assert_eq!(pids.as_array().expect("list").len(), 2);
    bundle.caisson(&["delete", "--force", id]).succeeded();
    bundle.assert_nothing_left();
}

#[test]
fn hooks_run_in_order_with_the_state_and_a_failing_one_undoes_the_container() {
    let mut bundle = Bundle::new("true");
    let log = bundle.folder.join("hooks.log");
    let script = bundle.folder.join("hook.sh");
    std::fs::write(
        &script,
        format!(
            "#!/bin/sh\nread -r state\necho \"$1 $state\" >> {}\nexit ${{2:-0}}\n",
            log.display()
        ),
    )
    .expect("write");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    let hook = |name: &str, status: &str| json!([{"path": script, "args": ["hook", name, status], "env": ["PATH=/bin:/usr/bin"]}]);
    let kinds = [
        "prestart",
        "createRuntime",
        "createContainer",
        "poststart",
        "poststop",
    ];
    for kind in kinds {
        bundle.config["hooks"][kind] = hook(kind, "0");
    }
    assert_eq!(bundle.run().status, 0);
    let text = std::fs::read_to_string(&log).expect("log");
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(names, kinds);
    let state = |line: &str| {
        serde_json::from_str::<Value>(line.split_once(' ').expect("state").1).expect("json")
    };
    let states: Vec<Value> = text.lines().map(state).collect();
    let statuses: Vec<&str> = states
        .iter()
        .filter_map(|state| state["status"].as_str())
        .collect();
    assert_eq!(
        statuses,
        ["creating", "creating", "creating", "running", "stopped"]
    );
    assert!(
        states[0]["pid"].as_i64().is_some_and(|pid| pid > 1)
            && states[0]["id"] == bundle.id.as_str()
    );
    std::fs::remove_file(&log).expect("remove");
    bundle.config["hooks"]["createRuntime"] = hook("createRuntime", "4");
    bundle
        .caisson(&["create", &bundle.id])
        .refused(&["hooks.createRuntime[0]", "exit status 4"]);
    let text = std::fs::read_to_string(&log).expect("log");
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(names, ["prestart", "createRuntime", "poststop"]);
    bundle.assert_nothing_left();
}

#[test]
fn create_killed_at_any_moment_leaves_nothing_after_delete() {
    for round in 0..24u64 {
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
fn limits_reach_the_cgroup_and_can_be_updated() {
    let mut bundle = Bundle::new("sleep 600");
    let id = bundle.id.clone();
    bundle.config["linux"]["resources"]["memory"] = json!({"limit": 67_108_864});
    bundle.config["linux"]["resources"]["pids"] = json!({"limit": 33});
    bundle.caisson(&["run", "-d", &id]).succeeded();
    let stats = || -> Value {
        serde_json::from_str(
            &bundle
                .caisson(&["events", "--stats", &id])
                .succeeded()
                .stdout,
        )
        .expect("json")
    };
    let before = stats();
    assert_eq!(before["data"]["memory"]["usage"]["limit"], 67_108_864);
    assert_eq!(before["data"]["pids"]["limit"], 33);
    assert_eq!(before["data"]["pids"]["current"], 1);
    bundle
        .caisson(&["update", "--memory", "134217728", "--pids-limit", "44", &id])
        .succeeded();
    let after = stats();
    assert_eq!(after["data"]["memory"]["usage"]["limit"], 134_217_728);
    assert_eq!(after["data"]["pids"]["limit"], 44);
}

#[test]
fn start_container_hooks_run_inside_before_the_program() {
    let mut bundle = Bundle::new("cat /tmp/mark; echo program");
    bundle.config["root"]["readonly"] = json!(false);
    let script = "cat > /tmp/mark; echo >> /tmp/mark; [ \"$WORD\" = here ] || exit 3; exit $0";
    let hook = |status: &str| json!([{"path": "/bin/sh", "args": ["sh", "-c", script, status], "env": ["PATH=/bin", "WORD=here"]}]);
    bundle.config["hooks"]["startContainer"] = hook("0");
    let text = bundle.run().succeeded().stdout;
    let (state, rest) = text.split_once('\n').expect("two lines");
    let state: Value = serde_json::from_str(state).expect("the hook's standard input");
    assert_eq!(
        (state["status"].as_str(), state["id"].as_str()),
        (Some("created"), Some(bundle.id.as_str()))
    );
    assert_eq!(rest, "program\n");
    bundle.config["hooks"]["startContainer"] = hook("6");
    bundle.caisson(&["create", &bundle.id]).succeeded();
    bundle
        .caisson(&["start", &bundle.id])
        .refused(&["hooks.startContainer[0]", "exit status 6"]);
    assert_eq!(bundle.status(), "stopped");
    bundle.caisson(&["delete", &bundle.id]).succeeded();
    bundle.assert_nothing_left();
}

#[test]
fn home_is_that_of_the_images_user() {
    let mut bundle = Bundle::new("echo $HOME");
    std::fs::write(
        bundle.rootfs().join("etc/passwd"),
        "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/var/www:/bin/sh\n",
    )
    .expect("write");
    assert_eq!(bundle.run().succeeded().stdout, "/root\n");
    bundle.config["process"]["user"] = json!({"uid": 33, "gid": 33});
    assert_eq!(bundle.run().succeeded().stdout, "/var/www\n");
    bundle.config["process"]["env"] = json!(["PATH=/bin", "HOME=/here"]);
    assert_eq!(bundle.run().succeeded().stdout, "/here\n");
    bundle.config["process"]["args"] = json!(["sleep", "600"]);
    bundle.caisson(&["run", "-d", &bundle.id]).succeeded();
    let process = json!({"args": ["sh", "-c", "echo $HOME"], "env": ["PATH=/bin"], "cwd": "/", "user": {"uid": 33, "gid": 33}});
    let file = bundle.folder.join("process.json");
    std::fs::write(&file, process.to_string()).expect("write");
    let done = bundle
        .caisson(&["exec", "-p", file.to_str().expect("utf-8"), &bundle.id])
        .succeeded();
    assert_eq!(done.stdout, "/var/www\n");
}

#[test]
fn start_exec_and_delete_killed_at_any_moment_leave_nothing_after_delete() {
    for round in 0..12u64 {
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

#[test]
fn containers_of_a_pod_share_namespaces_by_path() {
    let mut pod = Bundle::new("sleep 600");
    pod.config["linux"]["sysctl"] =
        json!({"kernel.shm_rmid_forced": "1", "fs.mqueue.msg_max": "100"});
    pod.caisson(&["run", "-d", &pod.id]).succeeded();
    let mut member = Bundle::new(
        "hostname; cat /proc/net/dev | grep -c lo:; cd /proc/sys; cat kernel/shm_rmid_forced fs/mqueue/msg_max",
    );
    let pid = pod.pid();
    for namespace in member.config["linux"]["namespaces"]
        .as_array_mut()
        .expect("namespaces")
    {
        let file = match namespace["type"].as_str() {
            Some("network") => "net",
            Some("ipc") => "ipc",
            Some("uts") => "uts",
            _ => continue,
        };
        namespace["path"] = json!(format!("/proc/{pid}/ns/{file}"));
    }
    member.config["hostname"] = json!("");
    let text = member.run().succeeded().stdout;
    assert_eq!(text, "caisson\n1\n1\n100\n");
    let own = |kind: &str, pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
    let mut other = Bundle::new("sleep 600");
    other.config["linux"]["namespaces"] = member.config["linux"]["namespaces"].clone();
    other.config["hostname"] = json!("");
    other.caisson(&["run", "-d", &other.id]).succeeded();
    for kind in ["net", "ipc", "uts"] {
        assert_eq!(own(kind, other.pid()), own(kind, pid), "{kind}");
        assert_ne!(
            own(kind, pid),
            own(kind, std::process::id() as i32),
            "{kind} is the host's"
        );
    }
    let done = other.caisson(&["exec", &other.id, "hostname"]).succeeded();
    assert_eq!(done.stdout, "caisson\n");
}

#[test]
fn a_host_with_cgroup_v2_alone_is_served() {
    let bundle = Bundle::new("sleep 600");
    let script =
        "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && cd \"$1\" || exit 9
        c() { \"$0\" --root state \"$@\"; }
        c run -d \"$2\" >/dev/null 2>&1 || exit 8
        cat /sys/fs/cgroup/$2/guest/cgroup.procs | wc -l
        cat /sys/fs/cgroup/$2/kernel/cgroup.procs | wc -l
        c pause \"$2\"; grep frozen /sys/fs/cgroup/$2/guest/cgroup.events
        c kill \"$2\" KILL; c delete \"$2\"; ls -d /sys/fs/cgroup/$2 2>/dev/null; echo end";
    bundle
        .command(&["list"])
        .stdout(std::process::Stdio::null())
        .status()
        .expect("write config.json");
    let output = std::process::Command::new("unshare")
        .args([
            "-m",
            "sh",
            "-c",
            script,
            &bundle.runtime.program.to_string_lossy(),
        ])
        .arg(&bundle.folder)
        .arg(&bundle.id)
        .output()
        .expect("unshare");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        text,
        "1\n1\nfrozen 1\nend\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    bundle.assert_nothing_left();
}

#[test]
fn a_sandbox_that_hangs_can_be_killed_and_deleted() {
    let bundle = Bundle::new("sleep 600");
    let id = bundle.id.as_str();
    bundle.caisson(&["create", id]).succeeded();
    let sandbox = rustix::process::Pid::from_raw(bundle.pid()).expect("pid");
    rustix::process::kill_process(sandbox, rustix::process::Signal::STOP).expect("stop");
    // Waits for an answer, with the container's lock in its hands.
    let mut start = bundle
        .command(&["start", id])
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("spawn");
    std::thread::sleep(Duration::from_millis(300));
    assert!(start.try_wait().expect("wait").is_none());
    bundle.caisson(&["delete", "--force", id]).succeeded();
    assert!(!start.wait().expect("wait").success());
    bundle.assert_nothing_left();
}

/// `ps` of the host would show the caller's own processes, which a guest's are not.
#[test]
fn ps_takes_options_that_select_nothing() {
    let bundle = Bundle::new("sleep 600");
    let id = bundle.id.as_str();
    bundle.caisson(&["run", "-d", id]).succeeded();
    let shown = bundle
        .caisson(&["ps", id, "-o", "pid,args"])
        .succeeded()
        .stdout;
    assert!(shown.contains("sleep 600"), "{shown}");
}

#[test]
fn events_tell_of_kills_for_lack_of_memory() {
    let script = "for i in 1 2; do dd if=/dev/zero of=/dev/null bs=200M count=1; done; sleep 600";
    let mut bundle = Bundle::new(script);
    let id = bundle.id.clone();
    bundle.config["linux"]["resources"]["memory"] =
        json!({"limit": 33_554_432, "swap": 33_554_432});
    bundle.caisson(&["create", &id]).succeeded();
    let out = bundle.folder.join("events");
    let mut events = bundle
        .command(&["events", "--interval", "60s", &id])
        .stdout(std::fs::File::create(&out).expect("file"))
        .spawn()
        .expect("events");
    let text = || std::fs::read_to_string(&out).expect("file");
    eventually("the first line", || text().contains("stats"));
    bundle.caisson(&["start", &id]).succeeded();
    eventually("both kills", || text().matches("\"oom\"").count() == 2);
    let last = text().lines().last().expect("a line").to_owned();
    let event: Value = serde_json::from_str(&last).expect("json");
    assert_eq!((&event["type"], &event["id"]), (&json!("oom"), &json!(id)));
    bundle.caisson(&["delete", "--force", &id]).succeeded();
    assert!(events.wait().expect("events ends").success());
}

/// An image decides nothing about where the runtime's own file systems go.
#[test]
fn a_link_in_place_of_proc_is_refused_in_runcs_words() {
    let bundle = Bundle::new("true");
    std::fs::remove_dir(bundle.rootfs().join("proc")).expect("rmdir");
    std::os::unix::fs::symlink("tmp", bundle.rootfs().join("proc")).expect("symlink");
    bundle
        .caisson(&["run", &bundle.id])
        .refused(&["must be mounted on ordinary directory", "/proc"]);
    bundle.assert_nothing_left();
}

/// What runs a terminal's container may read the command's output to its end.
#[test]
fn nobody_but_the_command_holds_its_output_where_there_is_a_terminal() {
    let mut bundle = Bundle::new("sleep 600");
    let id = bundle.id.clone();
    bundle.config["process"]["terminal"] = json!(true);
    let socket = bundle.folder.join("console.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("bind");
    let path = socket.to_str().expect("utf-8").to_owned();
    let output = bundle
        .command(&["create", "--console-socket", &path, &id])
        .output()
        .expect("create");
    assert!(output.status.success(), "{output:?}");
    drop(listener);
    bundle.caisson(&["delete", "--force", &id]).succeeded();
}

/// A tmpfs over nothing has Linux's own mode, over a directory that one's: as runc has it.
#[test]
fn modes_of_tmpfs_are_runcs() {
    let done = caisson_oci_tests::reference::assert_agreed("stat -c %a /new /old", |bundle| {
        let old = bundle.rootfs().join("old");
        std::fs::create_dir(&old).expect("mkdir");
        std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o705)).expect("chmod");
        let mounts = bundle.config["mounts"].as_array_mut().expect("mounts");
        for place in ["/new", "/old"] {
            mounts.push(json!({"destination": place, "type": "tmpfs", "source": "tmpfs"}));
        }
    });
    assert_eq!(done.stdout, "1777\n705\n");
}
