//! The process that a scope starts with.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};

/// Its name in `ps`.
pub const PROCESS_NAME: &str = "caisson-scope";

/// Ends when this value is dropped, and with the process that made it.
#[derive(Debug)]
pub struct Placeholder(Child);

impl Placeholder {
    pub(super) fn spawn() -> std::io::Result<Placeholder> {
        let mut command = Command::new("/proc/self/exe");
        command.arg0(PROCESS_NAME).env_clear();
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().map(Placeholder)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Placeholder {
    fn drop(&mut self) {
        // Both fail only once it has ended.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Wait for the end of standard input, whose other end only the process that spawned this one has.
pub fn main() -> ExitCode {
    match std::io::stdin().read_to_end(&mut Vec::new()) {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
