//! `ctr task`: what can be done to a container that runs.

use std::time::Duration;

use caisson_shim_tests::{Containerd, each_handler, eventually};

/// Ends at SIGTERM with status 5.
const PATIENT: &str = "trap 'exit 5' TERM; while :; do sleep 0.05; done";

fn start(containerd: &Containerd, name: &str, command: &str) -> String {
    let id = containerd.id(name);
    containerd
        .ctr()
        .run(&containerd.run_arguments(&["-d"], &id, &["sh", "-c", command]))
        .success();
    id
}

fn is(containerd: &Containerd, id: &str, status: &str) {
    eventually(status, || {
        containerd.task_status(id).as_deref() == Some(status)
    });
}

#[test]
fn ends_by_the_signal_that_is_sent() {
    each_handler(|containerd| {
        let ctr = containerd.ctr();
        for (name, signal, status) in [("term", "SIGTERM", "5"), ("kill", "SIGKILL", "137")] {
            let id = start(containerd, name, PATIENT);
            is(containerd, &id, "RUNNING");
            // The shell needs a moment to set its trap.
            std::thread::sleep(Duration::from_millis(300));
            ctr.run(&["tasks", "kill", "-s", signal, &id]).success();
            is(containerd, &id, "STOPPED");
            let again = ctr.run(&["tasks", "kill", &id]).stderr_text();
            // Since 2.0, ctr leaves out the code.
            assert!(
                again.contains("not found") || again.contains("process already finished"),
                "{again}"
            );
            let deleted = ctr.run(&["tasks", "delete", &id]);
            assert!(
                deleted
                    .stderr_text()
                    .contains(&format!("exit code {status}")),
                "{}",
                deleted.stderr_text()
            );
        }
    });
}

#[test]
fn pauses_and_resumes() {
    each_handler(|containerd| {
        let ctr = containerd.ctr();
        let file = containerd.path("ticks");
        let uri = format!("file://{}", file.display());
        let id = containerd.id("pause");
        let command = ["sh", "-c", "while :; do echo tick; sleep 0.02; done"];
        ctr.run(&containerd.run_arguments(&["-d", "--log-uri", &uri], &id, &command))
            .success();
        let ticks = || std::fs::metadata(&file).map_or(0, |file| file.len());
        eventually("it ticks", || ticks() > 0);
        ctr.run(&["tasks", "pause", &id]).success();
        is(containerd, &id, "PAUSED");
        std::thread::sleep(Duration::from_millis(100)); // what was on its way arrives
        let before = ticks();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(ticks(), before, "a paused container goes on");
        ctr.run(&["tasks", "resume", &id]).success();
        is(containerd, &id, "RUNNING");
        eventually("it ticks again", || ticks() > before);
    });
}

#[test]
fn lists_processes_and_measures() {
    each_handler(|containerd| {
        let ctr = containerd.ctr();
        let id = start(
            containerd,
            "ps",
            "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; sleep 1000",
        );
        let pids = ctr.run(&["tasks", "ps", &id]).success().stdout_text();
        assert!(
            pids.lines()
                .skip(1)
                .any(|line| line.split_whitespace().next().is_some()),
            "{pids}"
        );
        let read = |name: &str| -> u64 {
            let json = ctr
                .run(&["tasks", "metrics", "--format", "json", &id])
                .success()
                .stdout_text();
            let value: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
            value
                .pointer(name)
                .and_then(serde_json::Value::as_u64)
                .unwrap_or(0)
        };
        // Fields of cgroup v1 and of v2.
        eventually("CPU time", || {
            read("/cpu/usage/total") + read("/cpu/usage_usec") > 1000
        });
        eventually("memory", || {
            read("/memory/usage/usage") + read("/memory/usage") > 0
        });
        assert!(read("/pids/current") > 0);
    });
}

#[test]
fn refuses_to_delete_what_runs() {
    each_handler(|containerd| {
        let id = start(containerd, "busy", PATIENT);
        let output = containerd.ctr().run(&["tasks", "delete", &id]);
        assert_ne!(output.status, Some(0), "{}", output.stderr_text());
        is(containerd, &id, "RUNNING");
    });
}

#[test]
fn refuses_a_second_task() {
    each_handler(|containerd| {
        let id = start(containerd, "twice", PATIENT);
        let output = containerd.ctr().run(&["tasks", "start", "-d", &id]);
        assert_ne!(output.status, Some(0));
        assert!(
            output.stderr_text().contains("already exists"),
            "{}",
            output.stderr_text()
        );
        is(containerd, &id, "RUNNING");
    });
}
