//! `ctr run`: exit status, output, input, terminal.

use caisson_shim_tests::{Containerd, Output, each_handler, eventually};

fn run(containerd: &Containerd, name: &str, command: &[&str]) -> Output {
    let id = containerd.id(name);
    containerd
        .ctr()
        .run(&containerd.run_arguments(&["--rm"], &id, command))
}

#[test]
fn reports_the_exit_status() {
    each_handler(|containerd| {
        run(containerd, "zero", &["true"]).success();
        run(containerd, "seven", &["sh", "-c", "exit 7"]).status_is(7);
    });
}

#[test]
fn keeps_output_and_errors_apart() {
    each_handler(|containerd| {
        let output = run(
            containerd,
            "streams",
            &["sh", "-c", "echo out; echo err >&2"],
        )
        .success();
        assert_eq!(
            (output.stdout_text().as_str(), output.stderr_text().as_str()),
            ("out\n", "err\n")
        );
    });
}

#[test]
fn loses_no_byte_of_much_output() {
    each_handler(|containerd| {
        // busybox's seq: more than all pipes on the way hold.
        let output = run(containerd, "much", &["seq", "1", "300000"]).success();
        let expected: String = (1..=300_000).map(|n| format!("{n}\n")).collect();
        assert_eq!(output.stdout.len(), expected.len());
        assert!(output.stdout == expected.as_bytes());
    });
}

#[test]
fn passes_input_and_its_end() {
    each_handler(|containerd| {
        if !containerd.handler.is_our_shim() {
            return; // this ctr loses the end of a short input with containerd's own shim
        }
        for (name, length) in [("short", 3), ("long", 2_000_000)] {
            let input: Vec<u8> = (0..length).map(|n: u32| (n % 253) as u8).collect();
            let id = containerd.id(name);
            let arguments = containerd.run_arguments(&["--rm"], &id, &["cat"]);
            let output = containerd
                .ctr()
                .run_with_input(&arguments, &input)
                .success();
            assert!(
                output.stdout == input,
                "{name}: {} of {} bytes",
                output.stdout.len(),
                input.len()
            );
        }
    });
}

#[test]
fn gives_a_terminal() {
    each_handler(|containerd| {
        // The long name makes the bundle's path too long for a socket in it.
        for name in [
            "tty",
            "a-name-so-long-that-the-console-socket-needs-another-path",
        ] {
            let id = containerd.id(name);
            let command = "test -t 0 && test -t 1 && test -t 2 && echo terminal; exit 4";
            let arguments = containerd.run_arguments(&["--rm", "-t"], &id, &["sh", "-c", command]);
            let output = containerd.ctr().run_in_terminal(&arguments).status_is(4);
            assert!(
                output.stdout_text().contains("terminal"),
                "{}",
                output.stdout_text()
            );
        }
    });
}

#[test]
fn refuses_a_program_that_is_not_there() {
    each_handler(|containerd| {
        let output = run(containerd, "absent", &["/no/such/program"]);
        assert_ne!(output.status, Some(0));
        assert!(
            output.stderr_text().contains("/no/such/program"),
            "{}",
            output.stderr_text()
        );
    });
}

#[test]
fn writes_output_to_a_file_without_a_client() {
    each_handler(|containerd| {
        let id = containerd.id("file");
        let file = containerd.path("output");
        let uri = format!("file://{}", file.display());
        let arguments = containerd.run_arguments(
            &["-d", "--log-uri", &uri],
            &id,
            &["sh", "-c", "echo one; echo two >&2"],
        );
        containerd.ctr().run(&arguments).success();
        let read = || std::fs::read_to_string(&file).unwrap_or_default();
        eventually("both lines are in the file", || {
            read().contains("one\n") && read().contains("two\n")
        });
    });
}
