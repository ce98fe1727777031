//! Whether tests can run here, or where.

use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use caisson_nested::Job;

/// Set in the nested machine.
const INSIDE: &str = "CAISSON_VM_TESTS_INSIDE";

/// All of the tests together; a nested guest takes some 6 seconds to boot.
const LIMIT: Duration = Duration::from_secs(12 * 60);

/// Whether this is the place for the tests.
#[must_use]
pub fn has_kvm() -> bool {
    std::env::var_os(INSIDE).is_some() || caisson_nested::host_has_kvm()
}

/// Runs this program with the same arguments in a nested machine.
#[must_use]
pub fn run_in_nested_machine() -> ExitCode {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => {
            eprintln!("cannot find this program: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut job = Job::new([program])
        .env(INSIDE, "1")
        .limit(LIMIT)
        .memory_mib(3072);
    for argument in std::env::args_os().skip(1) {
        job = job.argument(argument);
    }
    for name in [
        "CAISSON_BIN",
        "CAISSON_CACHE",
        "CAISSON_GUEST",
        "CAISSON_GUEST_KERNEL",
        "HOME",
    ] {
        if let Some(value) = std::env::var_os(name) {
            job = job.env(name, value);
        }
    }
    let never = AtomicBool::new(false);
    match caisson_nested::run(&job, &never, &mut |line| println!("{line}")) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("the tests in the nested machine ended with status {status}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
