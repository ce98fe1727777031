//! `ctr task exec`: more processes in a container.

use std::time::{Duration, Instant};

use caisson_shim_tests::{Containerd, Ctr, Output, each_handler, eventually};

fn sleeper(containerd: &Containerd) -> String {
    let id = containerd.id("sleeper");
    containerd
        .ctr()
        .run(&containerd.run_arguments(&["-d"], &id, &["sleep", "1000"]))
        .success();
    id
}

fn exec(ctr: &Ctr, id: &str, exec_id: &str, command: &str, input: &[u8]) -> Output {
    let arguments = [
        "tasks",
        "exec",
        "--exec-id",
        exec_id,
        id,
        "sh",
        "-c",
        command,
    ];
    ctr.run_with_input(&arguments, input)
}

#[test]
fn reports_status_and_output_of_each() {
    each_handler(|containerd| {
        let id = sleeper(containerd);
        let output = exec(
            &containerd.ctr(),
            &id,
            "one",
            "echo out; echo err >&2; exit 3",
            b"",
        )
        .status_is(3);
        assert_eq!(
            (output.stdout_text().as_str(), output.stderr_text().as_str()),
            ("out\n", "err\n")
        );
        exec(&containerd.ctr(), &id, "two", "kill -9 $$", b"").status_is(137);
        // An id is free again once its process is deleted.
        exec(&containerd.ctr(), &id, "one", "true", b"").success();
        assert_eq!(containerd.task_status(&id).as_deref(), Some("RUNNING"));
    });
}

#[test]
fn many_that_end_at_once_are_all_told() {
    each_handler(|containerd| {
        let id = sleeper(containerd);
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let (ctr, id) = (containerd.ctr(), &id);
                scope.spawn(move || {
                    for round in 0..5 {
                        let exec_id = format!("e{worker}-{round}");
                        let status = 1 + worker * 5 + round;
                        let command = format!("exit {status}");
                        let arguments = [
                            "tasks",
                            "exec",
                            "--exec-id",
                            &exec_id,
                            id,
                            "sh",
                            "-c",
                            &command,
                        ];
                        ctr.run(&arguments).status_is(status);
                    }
                });
            }
        });
    });
}

#[test]
fn takes_input() {
    each_handler(|containerd| {
        if !containerd.handler.is_our_shim() {
            return;
        }
        let id = sleeper(containerd);
        let output = exec(
            &containerd.ctr(),
            &id,
            "input",
            "cat; echo end",
            b"some input\n",
        )
        .success();
        assert_eq!(output.stdout_text(), "some input\nend\n");
    });
}

#[test]
fn a_missing_program_fails_alone() {
    each_handler(|containerd| {
        let id = sleeper(containerd);
        let output = containerd.ctr().run(&[
            "tasks",
            "exec",
            "--exec-id",
            "absent",
            &id,
            "/no/such/program",
        ]);
        assert_ne!(output.status, Some(0));
        assert_eq!(containerd.task_status(&id).as_deref(), Some("RUNNING"));
    });
}

#[test]
fn a_daemon_left_behind_does_not_hold_the_client() {
    each_handler(|containerd| {
        let id = sleeper(containerd);
        let begun = Instant::now();
        let output = exec(
            &containerd.ctr(),
            &id,
            "daemon",
            "sleep 1000 & echo started",
            b"",
        )
        .success();
        assert_eq!(output.stdout_text(), "started\n");
        assert!(
            begun.elapsed() < Duration::from_secs(8),
            "took {:?}",
            begun.elapsed()
        );
    });
}

#[test]
fn is_killed_alone() {
    each_handler(|containerd| {
        let id = sleeper(containerd);
        let ctr = containerd.ctr();
        let running = std::thread::scope(|scope| {
            let victim = scope.spawn(|| exec(&ctr, &id, "victim", "sleep 1000", b""));
            eventually("the exec is listed", || {
                ctr.run(&["tasks", "ps", &id])
                    .stdout_text()
                    .contains("victim")
            });
            ctr.run(&["tasks", "kill", "-s", "SIGKILL", "--exec-id", "victim", &id])
                .success();
            victim.join().expect("the client")
        });
        running.status_is(137);
        assert_eq!(containerd.task_status(&id).as_deref(), Some("RUNNING"));
    });
}
