//! What a user is told of the calls that guests make: the log of calls and the counts of those that were refused.

use std::fs;
use std::time::Duration;

use caisson_test_bundle::{Bundle, Config, Container, Runtime, User, caisson, run};

fn with_options(options: &[String]) -> Runtime {
    let mut runtime = caisson();
    runtime.options.extend(options.iter().cloned());
    runtime
}

/// Runs a command with the log on and returns the log.
fn log_of(name: &str, options: &[&str], command: &[&str]) -> String {
    let image = caisson_images::busybox().expect("the busybox image");
    let bundle = Bundle::new(name, &image);
    let path = bundle.path().join("calls.log");
    let mut all: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    all.extend(["--strace-log".to_owned(), path.display().to_string()]);
    let runtime = with_options(&all);
    let config = Config::new(command, User::Root);
    let outcome = run(&runtime, &bundle, &config, Duration::from_secs(60));
    assert!(outcome.status.is_some(), "{command:?}: {}", outcome.stderr);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_log_shows_served_calls_with_their_arguments() {
    for transport in ["--transport=notify", "--transport=ptrace"] {
        let script = "mkdir /tmp/a; cat /no/such/file; exit 3";
        let log = log_of(
            "strace",
            &["--strace", transport],
            &["/bin/sh", "-c", script],
        );
        for expected in [
            r#"mkdir("/tmp/a", 0777) = 0"#,
            r#""/no/such/file", O_RDONLY"#,
            "= -1 ENOENT (No such file or directory)",
        ] {
            assert!(
                log.contains(expected),
                "{transport}: no {expected} in\n{log}"
            );
        }
        assert!(
            !log.contains("write("),
            "{transport}: a native call:\n{log}"
        );
    }
}

#[test]
fn the_log_of_all_calls_has_native_ones_and_changes_no_outcome() {
    for transport in ["--transport=notify", "--transport=ptrace"] {
        let options = ["--strace=all", transport];
        let script = "echo one | cat; sleep 0.1 & wait; kill -0 $$";
        let log = log_of("strace-all", &options, &["/bin/sh", "-c", script]);
        for expected in ["write(1, ", "wait4(", "exit_group(0) = native"] {
            assert!(
                log.contains(expected),
                "{transport}: no {expected} in\n{log}"
            );
        }
    }
}

#[test]
fn events_count_what_was_refused() {
    let runtime = caisson();
    let image = caisson_images::busybox().expect("the busybox image");
    let bundle = Bundle::new("events", &image);
    let script = "unshare -m true; echo asked > /tmp/asked; sleep 1000";
    let config = Config::new(&["/bin/sh", "-c", script], User::Dev);
    let container = Container::new(&runtime, &bundle, &config);
    let mut runner = container.spawn();
    container.wait_for("running", Duration::from_secs(10));
    let mut last = String::new();
    let told = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        let output = container
            .command("events")
            .args(["--stats", container.id()])
            .output()
            .expect("execute the runtime");
        last = String::from_utf8_lossy(&output.stdout).into_owned();
        let event: serde_json::Value = serde_json::from_str(&last).unwrap_or_default();
        event["caisson"]["failed"].as_array().is_some_and(|list| {
            list.iter()
                .any(|entry| entry["call"] == "unshare" && entry["errno"] == "EPERM")
        })
    });
    drop(container);
    runner.kill().ok();
    runner.wait().expect("wait for the runtime");
    assert!(told, "{last}");
}
