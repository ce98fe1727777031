//! A running container and its processes on the host.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use caisson_test_bundle::{Bundle, Config, Container, Runtime, User};

/// A container that runs a shell with two sleeping children.
#[derive(Debug)]
pub struct Sandbox<'a> {
    // Deleted before the process that runs it is waited for.
    container: Option<Container<'a>>,
    runner: Child,
    /// Host pid of the app kernel.
    pub kernel: i32,
    /// Host pid of the guest's first process.
    pub init: i32,
}

/// The shell itself is traced by the application kernel as soon as it has children, and nobody else could stop it.
const SHELL: &str = "sleep 1000 & sleep 1001 & exec sleep 1002";

impl<'a> Sandbox<'a> {
    /// Starts it and waits until all three processes are there.
    ///
    /// # Panics
    /// If they are not within ten seconds.
    #[must_use]
    pub fn start(runtime: &'a Runtime, bundle: &'a Bundle, user: User) -> Sandbox<'a> {
        let sandbox = Self::start_shell(runtime, bundle, user, SHELL);
        // They are there as soon as they are forked; this is about them when they sleep.
        thread::sleep(Duration::from_millis(200));
        sandbox
    }

    /// As `start` with a script of the caller's, which must have at least two children.
    ///
    /// # Panics
    /// As `start`.
    #[must_use]
    pub fn start_shell(
        runtime: &'a Runtime,
        bundle: &'a Bundle,
        user: User,
        script: &str,
    ) -> Sandbox<'a> {
        let config = Config::new(&["/bin/sh", "-c", script], user);
        let container = Container::new(runtime, bundle, &config);
        let runner = container.spawn();
        let start = Instant::now();
        let limit = Duration::from_secs(10);
        let state = container.wait_for("running", limit);
        let kernel = state["pid"]
            .as_i64()
            .and_then(|pid| i32::try_from(pid).ok())
            .expect("pid in state");
        let init = init_pid(bundle, container.id());
        let sandbox = Sandbox {
            container: Some(container),
            runner,
            kernel,
            init,
        };
        while sandbox.guests().len() < 3 {
            assert!(
                start.elapsed() < limit,
                "guest processes: {:?}",
                sandbox.guests()
            );
            thread::sleep(Duration::from_millis(10));
        }
        sandbox
    }

    /// `caisson delete --force` for this container.
    ///
    /// # Panics
    /// Never: the container is there until this is dropped.
    #[must_use]
    pub fn delete_command(&self) -> Command {
        let container = self.container.as_ref().expect("a container");
        let mut command = container.command("delete");
        command.args(["--force", container.id()]);
        command
    }

    /// Host pids of all processes in the guest's pid namespace.
    #[must_use]
    pub fn guests(&self) -> Vec<i32> {
        let Some(namespace) = namespace(self.init, "pid") else {
            return Vec::new();
        };
        processes()
            .into_iter()
            .filter(|pid| self::namespace(*pid, "pid").as_ref() == Some(&namespace))
            .collect()
    }
}

impl Drop for Sandbox<'_> {
    fn drop(&mut self) {
        drop(self.container.take());
        let _ = self.runner.kill();
        let _ = self.runner.wait();
    }
}

/// `init.pid` of the runtime's state file, which no OCI command shows.
fn init_pid(bundle: &Bundle, id: &str) -> i32 {
    let path = bundle.state().join(id).join("state.json");
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let state: serde_json::Value = serde_json::from_str(&text).expect("state.json");
    let pid = state["init"]["pid"]
        .as_i64()
        .and_then(|pid| i32::try_from(pid).ok());
    pid.unwrap_or_else(|| panic!("no init.pid in {}: {text}", path.display()))
}

/// Identity of a namespace of a process, `pid:[4026531836]`.
#[must_use]
pub(crate) fn namespace(pid: i32, kind: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()
}

fn processes() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("list /proc");
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}
