//! The container of the storm test: one that is looked at while it runs.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use caisson_test_bundle::{Bundle, Container, Runtime};

use crate::fixture;

/// The guest program's storm under way.
#[derive(Debug)]
pub struct Storm<'a> {
    container: Container<'a>,
    work: PathBuf,
    runner: Child,
    kernel: i64,
}

impl<'a> Storm<'a> {
    /// Starts so many rounds of guest/storm.c, of four seconds each.
    ///
    /// # Panics
    /// If it does not run within thirty seconds.
    #[must_use]
    pub fn start(runtime: &'a Runtime, bundle: &'a Bundle, rounds: u32) -> Storm<'a> {
        let mut config = fixture::of_family(bundle, "storm");
        std::fs::write(
            bundle.rootfs().join("work/storm-rounds"),
            rounds.to_string(),
        )
        .expect("write storm-rounds");
        config.grant("CAP_SYS_ADMIN");
        let container = Container::new(runtime, bundle, &config);
        let runner = container.spawn();
        let state = container.wait_for("running", Duration::from_secs(30));
        let kernel = state["pid"].as_i64().expect("pid in state");
        Storm {
            container,
            work: bundle.rootfs().join("work"),
            runner,
            kernel,
        }
    }

    /// The guest's /work.
    #[must_use]
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// Host pid of the app kernel.
    #[must_use]
    pub fn kernel(&self) -> i64 {
        self.kernel
    }

    /// Waits for the end and returns what was printed.
    ///
    /// # Panics
    /// If the container did not end well.
    #[must_use]
    pub fn end(mut self) -> String {
        let mut text = String::new();
        if let Some(mut stdout) = self.runner.stdout.take() {
            stdout.read_to_string(&mut text).expect("UTF-8 output");
        }
        let status = self.runner.wait().expect("the runtime");
        assert!(
            status.success(),
            "{}: {status}\n{text}",
            self.container.id()
        );
        text
    }
}
