//! Containers for real: create, start, kill, delete and run, and what they leave behind.

mod exec;
mod hooks;
mod killed;
mod places;
mod tree;
mod usage;

use std::io::{BufRead, BufReader};
use std::time::Duration;

use caisson_oci_tests::{Bundle, eventually};
use serde_json::json;

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
    let mut patient = bundle.command(&["exec", "--ignore-paused", id, "sh", "-c", "exit 6"]);
    let mut patient = patient.spawn().expect("spawn");
    std::thread::sleep(Duration::from_millis(300));
    // It is in nobody's way.
    bundle.caisson(&["events", "--stats", id]).succeeded();
    assert!(patient.try_wait().expect("wait").is_none());
    bundle.caisson(&["resume", id]).succeeded();
    assert_eq!(patient.wait().expect("wait").code(), Some(6));
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
