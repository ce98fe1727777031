//! Events: all of them, in the order that containerd promises to its clients.

use caisson_shim_tests::{each_handler, eventually};

#[test]
fn come_in_order_even_for_a_process_that_ends_at_once() {
    each_handler(|containerd| {
        let events = containerd.events();
        for round in 0..3 {
            let id = containerd.id(&format!("quick{round}"));
            containerd
                .ctr()
                .run(&containerd.run_arguments(&["--rm"], &id, &["sh", "-c", "exit 9"]))
                .status_is(9);
            let wanted = [
                "/tasks/create",
                "/tasks/start",
                "/tasks/exit",
                "/tasks/delete",
            ];
            eventually("the last event", || {
                events.topics_of(&id).contains(&"/tasks/delete".to_owned())
            });
            assert_eq!(events.topics_of(&id), wanted);
            let (_, exit) = &events.of(&id)[2];
            assert!(exit.contains("\"exit_status\":9"), "{exit}");
        }
    });
}

#[test]
fn tell_of_execs_pauses_and_their_ends() {
    each_handler(|containerd| {
        let ctr = containerd.ctr();
        let id = containerd.id("long");
        let events = containerd.events();
        ctr.run(&containerd.run_arguments(&["-d"], &id, &["sleep", "1000"]))
            .success();
        ctr.run(&[
            "tasks",
            "exec",
            "--exec-id",
            "inner",
            &id,
            "sh",
            "-c",
            "exit 3",
        ])
        .status_is(3);
        ctr.run(&["tasks", "pause", &id]).success();
        ctr.run(&["tasks", "resume", &id]).success();
        ctr.run(&["tasks", "kill", "-s", "SIGKILL", &id]).success();
        eventually("it stops", || {
            containerd.task_status(&id).as_deref() == Some("STOPPED")
        });
        ctr.run(&["tasks", "delete", &id]);
        eventually("the last event", || {
            events.topics_of(&id).contains(&"/tasks/delete".to_owned())
        });
        let wanted = [
            "/tasks/create",
            "/tasks/start",
            "/tasks/exec-added",
            "/tasks/exec-started",
            "/tasks/exit",
            "/tasks/paused",
            "/tasks/resumed",
            "/tasks/exit",
            "/tasks/delete",
        ];
        assert_eq!(events.topics_of(&id), wanted);
        let all = events.of(&id);
        assert!(
            all[4].1.contains("\"id\":\"inner\"") && all[4].1.contains("\"exit_status\":3"),
            "{}",
            all[4].1
        );
        assert!(all[7].1.contains("\"exit_status\":137"), "{}", all[7].1);
    });
}

#[test]
fn tell_of_the_oom_killer_and_not_of_an_ordinary_end() {
    each_handler(|containerd| {
        let ctr = containerd.ctr();
        let events = containerd.events();
        let greedy = containerd.id("greedy");
        // The shell stays; what eats more than the limit is killed. A machine has little more than the limit.
        let command = [
            "sh",
            "-c",
            "dd if=/dev/zero of=/dev/null bs=60M count=1; sleep 1000",
        ];
        let limit = ["-d", "--memory-limit", "50331648"];
        ctr.run(&containerd.run_arguments(&limit, &greedy, &command))
            .success();
        eventually("the OOM event", || {
            events.topics_of(&greedy).contains(&"/tasks/oom".to_owned())
        });

        let modest = containerd.id("modest");
        ctr.run(&containerd.run_arguments(
            &["--rm", "--memory-limit", "50331648"],
            &modest,
            &["true"],
        ))
        .success();
        eventually("the last event", || {
            events
                .topics_of(&modest)
                .contains(&"/tasks/delete".to_owned())
        });
        assert!(
            !events.topics_of(&modest).contains(&"/tasks/oom".to_owned()),
            "{:?}",
            events.of(&modest)
        );
    });
}
