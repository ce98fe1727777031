//! Tracees that are held in a stop, by tracers that never let them go on, end with their container, and so do those whose
//! tracer is killed in the middle of things.

use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use caisson_syscall_tests::of_family;
use caisson_test_bundle::{Bundle, Container, Runtime, caisson, run};

const LIMIT: Duration = Duration::from_secs(60);

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_container_ends_whatever_its_tracees_are_held_in() {
    let runtime = caisson();
    let image = caisson_images::busybox().unwrap_or_else(|error| panic!("{error}"));
    let bundle = Bundle::new("held", &image);
    let config = of_family(&bundle, "held");
    let outcome = run(&runtime, &bundle, &config, LIMIT);
    for line in ["killed.tracers all gone", "held.tracees 8 of 8"] {
        assert!(outcome.stdout.contains(line), "no {line}: {outcome:?}");
    }
    assert!(
        outcome.status.is_some_and(|status| status.success()),
        "{outcome:?}"
    );
}

/// A container whose first process is traced by another one, which never lets it end. `how` is to end it.
fn first_process_is_held(runtime: &Runtime, name: &str, how: impl FnOnce(&Container<'_>, &Path)) {
    let image = caisson_images::busybox().unwrap_or_else(|error| panic!("{error}"));
    let bundle = Bundle::new(name, &image);
    let config = of_family(&bundle, "held_first");
    let work = bundle.rootfs().join("work");
    std::fs::write(work.join("stays"), "").expect("write stays");
    let container = Container::new(runtime, &bundle, &config);
    let mut runner: Child = container.spawn();
    wait_until("the first process is traced", || {
        std::fs::read_to_string(work.join("seized")).is_ok_and(|text| text == "yes")
    });
    how(&container, &work);
    wait_until("the container ends", || {
        runner.try_wait().expect("wait for the runtime").is_some()
    });
}

#[test]
fn the_first_process_ends_though_its_end_is_held() {
    let runtime = caisson();
    first_process_is_held(&runtime, "held-exit", |_, work| {
        std::fs::remove_file(work.join("stays")).expect("remove stays");
    });
}

#[test]
fn kill_and_delete_end_a_first_process_whose_end_is_held() {
    let runtime = caisson();
    for command in [&["kill", "KILL"][..], &["delete", "--force"]] {
        first_process_is_held(&runtime, &format!("held-{}", command[0]), |container, _| {
            let mut process = container.command(command[0]);
            match command {
                [_, "KILL"] => process.args([container.id(), "KILL"]),
                _ => process.args(["--force", container.id()]),
            };
            let output = process.output().expect("execute the runtime");
            assert!(output.status.success(), "{command:?}: {output:?}");
        });
    }
}
