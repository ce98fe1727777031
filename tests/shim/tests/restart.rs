//! containerd dies and comes back: containers go on, and what happened meanwhile is told.

use std::time::Duration;

use caisson_shim_tests::{Containerd, Handler, Release, each_handler, eventually};

#[test]
fn containers_go_on_and_lose_no_output() {
    each_handler(|containerd| {
        let ctr = containerd.ctr();
        let id = containerd.id("long");
        let file = containerd.path("ticks");
        let uri = format!("file://{}", file.display());
        let command = [
            "sh",
            "-c",
            "i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); echo $i; sleep 0.01; done",
        ];
        ctr.run(&containerd.run_arguments(&["-d", "--log-uri", &uri], &id, &command))
            .success();
        let shim = containerd.shim_pid(&id);
        let lines = || {
            std::fs::read_to_string(&file)
                .unwrap_or_default()
                .lines()
                .count()
        };
        eventually("it counts", || lines() > 0);
        containerd.kill();
        let before = lines();
        eventually("it counts without containerd", || lines() > before + 10);
        containerd.launch();
        eventually("it is known again", || {
            containerd.task_status(&id).as_deref() == Some("RUNNING")
        });
        assert_eq!(containerd.shim_pid(&id), shim);
        ctr.run(&[
            "tasks",
            "exec",
            "--exec-id",
            "after",
            &id,
            "sh",
            "-c",
            "exit 6",
        ])
        .status_is(6);
        ctr.run(&["tasks", "kill", "-s", "SIGKILL", &id]).success();
        eventually("it stops", || {
            containerd.task_status(&id).as_deref() == Some("STOPPED")
        });
        let text = std::fs::read_to_string(&file).expect("the output");
        let whole = text
            .lines()
            .take(lines() - 1)
            .enumerate()
            .all(|(n, line)| line == (n + 1).to_string());
        assert!(whole, "lines are missing or broken");
    });
}

#[test]
fn an_exit_meanwhile_is_told_afterwards() {
    each_handler(|containerd| {
        let ctr = containerd.ctr();
        let id = containerd.id("short");
        ctr.run(&containerd.run_arguments(&["-d"], &id, &["sh", "-c", "sleep 1; exit 4"]))
            .success();
        containerd.kill();
        std::thread::sleep(Duration::from_millis(1300));
        containerd.launch();
        eventually("it is known to have stopped", || {
            containerd.task_status(&id).as_deref() == Some("STOPPED")
        });
        let deleted = ctr.run(&["tasks", "delete", &id]);
        assert!(
            deleted.stderr_text().contains("exit code 4"),
            "{}",
            deleted.stderr_text()
        );
    });
}

#[test]
fn an_upgrade_of_containerd_keeps_the_container() {
    let first = Release::selected()[0];
    let containerd = Containerd::start(first, Handler::Caisson);
    let ctr = containerd.ctr();
    let id = containerd.id("upgraded");
    ctr.run(&containerd.run_arguments(&["-d"], &id, &["sleep", "1000"]))
        .success();
    let shim = containerd.shim_pid(&id);
    let task = containerd.task_pid(&id);
    assert!(shim.is_some() && task.is_some());
    for release in Release::selected().into_iter().skip(1) {
        containerd.kill();
        containerd.upgrade(release);
        eventually("it is known again", || {
            containerd.task_status(&id).as_deref() == Some("RUNNING")
        });
        assert_eq!(containerd.shim_pid(&id), shim);
        assert_eq!(containerd.task_pid(&id), task);
        let ctr = containerd.ctr();
        let name = format!("after-{release:?}");
        ctr.run(&[
            "tasks",
            "exec",
            "--exec-id",
            &name,
            &id,
            "sh",
            "-c",
            "exit 6",
        ])
        .status_is(6);
    }
    containerd
        .ctr()
        .run(&["tasks", "kill", "-s", "SIGKILL", &id])
        .success();
    eventually("it stops", || {
        containerd.task_status(&id).as_deref() == Some("STOPPED")
    });
    containerd.stop_clean();
}
