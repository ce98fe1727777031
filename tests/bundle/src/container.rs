//! One container of a bundle, from `run` to `delete`.

use std::io::Read;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Bundle, Config, Runtime};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// How a container ended.
#[derive(Debug)]
pub struct Outcome {
    pub stdout: String,
    pub stderr: String,
    /// `None` if it was killed at the deadline.
    pub status: Option<ExitStatus>,
    pub wall: Duration,
}

/// A container of `runtime`; deleted by force when dropped.
#[derive(Debug)]
pub struct Container<'a> {
    runtime: &'a Runtime,
    bundle: &'a Bundle,
    id: String,
}

impl<'a> Container<'a> {
    /// Writes the configuration; nothing runs yet.
    #[must_use]
    pub fn new(runtime: &'a Runtime, bundle: &'a Bundle, config: &Config) -> Container<'a> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!(
            "caisson-test-{}-{number}-{}",
            std::process::id(),
            runtime.name
        );
        let mut config = config.clone();
        config.cgroup(&format!("/{id}"));
        bundle.write_config(&config);
        Container {
            runtime,
            bundle,
            id,
        }
    }

    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `RUNTIME --root STATE COMMAND`, to which the caller adds what follows.
    #[must_use]
    pub fn command(&self, command: &str) -> std::process::Command {
        let mut process = self.runtime.command(&self.bundle.state());
        process.arg(command);
        process
    }

    /// Starts `run` in the foreground with pipes.
    ///
    /// # Panics
    /// If the runtime cannot be executed.
    #[must_use]
    pub fn spawn(&self) -> Child {
        self.command("run")
            .arg("--bundle")
            .arg(self.bundle.path())
            .arg(&self.id)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.runtime.program.display()))
    }

    /// `state`, or `None` when the runtime knows no such container.
    #[must_use]
    pub fn state(&self) -> Option<Value> {
        let output = self.command("state").arg(&self.id).output().ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Waits until `state` says `wanted`.
    ///
    /// # Panics
    /// If it does not within `limit`.
    pub fn wait_for(&self, wanted: &str, limit: Duration) -> Value {
        let start = Instant::now();
        loop {
            let state = self.state();
            if let Some(state) = state.filter(|state| state["status"] == wanted) {
                return state;
            }
            assert!(
                start.elapsed() < limit,
                "{} is not {wanted} after {limit:?}",
                self.id
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // Fails when `run` has deleted the container already, which is fine.
        let deleted = self.command("delete").args(["--force", &self.id]).output();
        if let Err(error) = deleted {
            eprintln!("cannot delete {}: {error}", self.id);
        }
    }
}

/// Runs the bundle's process to its end, or kills it after `limit`.
#[must_use]
pub fn run(runtime: &Runtime, bundle: &Bundle, config: &Config, limit: Duration) -> Outcome {
    let container = Container::new(runtime, bundle, config);
    let start = Instant::now();
    let mut child = container.spawn();
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let status = wait(&mut child, limit);
    let wall = start.elapsed();
    if status.is_none() {
        drop(container);
        let _ = child.kill();
        let _ = child.wait();
    }
    Outcome {
        stdout: text(&stdout),
        stderr: text(&stderr),
        status,
        wall,
    }
}

fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("wait for the runtime") {
            return Some(status);
        }
        if start.elapsed() > limit {
            return None;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Reads in a thread of its own: a full pipe must not stop the container.
fn collect(source: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    let mut source = source.expect("a pipe");
    thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok(count @ 1..) = source.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// What came until the end of file; a process that outlives its container and holds the pipe open
/// costs five seconds, not the test.
fn text(receiver: &Receiver<Vec<u8>>) -> String {
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut all = Vec::new();
    while let Ok(part) = receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        all.extend(part);
    }
    String::from_utf8_lossy(&all).into_owned()
}
