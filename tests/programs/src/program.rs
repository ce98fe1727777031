//! One script under one runtime.

use std::fs;
use std::path::Path;
use std::time::Duration;

use caisson_test_bundle::{Bundle, Config, Outcome, Runtime, Tier, User, run};

/// A script of scripts/.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    pub name: &'static str,
    pub user: User,
    pub limit: Duration,
}

/// What is compared between two runtimes.
#[derive(Debug)]
pub struct Report {
    pub runtime: String,
    pub outcome: Outcome,
}

impl Program {
    #[must_use]
    pub fn new(name: &'static str, user: User) -> Program {
        Program {
            name,
            user,
            limit: Tier::current().patience(Duration::from_secs(180)),
        }
    }

    /// The bundle and configuration in which the script runs.
    #[must_use]
    pub fn prepare(&self, runtime: &Runtime) -> (Bundle, Config) {
        let image = caisson_images::debian().unwrap_or_else(|error| panic!("{error}"));
        let bundle = Bundle::new(&format!("{}-{}", self.name, runtime.name), &image);
        let hosts = bundle.rootfs().join("etc/hosts");
        fs::write(&hosts, "127.0.0.1 localhost pod\n")
            .unwrap_or_else(|error| panic!("{}: {error}", hosts.display()));
        copy_scripts(&bundle.rootfs().join("scripts"));
        let script = format!("/scripts/{}.sh", self.name);
        let mut config = Config::new(&["/bin/bash", &script], self.user);
        config.open_files(1024);
        if Tier::current() == Tier::Vm {
            // The guest's memory is small, and these are the files that go through the server.
            config.unmount("/tmp");
        }
        (bundle, config)
    }

    /// Runs it to its end.
    #[must_use]
    pub fn run(&self, runtime: &Runtime) -> Report {
        let (bundle, config) = self.prepare(runtime);
        let outcome = run(runtime, &bundle, &config, self.limit);
        if let Some(directory) = std::env::var_os("CAISSON_TEST_TRANSCRIPTS") {
            let path = Path::new(&directory).join(format!(
                "{}.{}.{}",
                self.name,
                self.user.name(),
                runtime.name
            ));
            fs::write(&path, &outcome.stdout)
                .unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
        }
        Report {
            runtime: runtime.name.clone(),
            outcome,
        }
    }

    /// Asserts that the reference succeeded and that `other` did the same, and prints both wall times.
    ///
    /// # Panics
    /// With both transcripts, if not.
    pub fn assert_same(&self, reference: &Report, other: &Report) {
        let name = format!("{} as {}", self.name, self.user.name());
        assert!(
            reference
                .outcome
                .status
                .is_some_and(|status| status.success()),
            "{name} fails under {} itself: {:?}\n{}\n{}",
            reference.runtime,
            reference.outcome.status,
            reference.outcome.stdout,
            reference.outcome.stderr
        );
        let (expected, got) = (&reference.outcome, &other.outcome);
        assert!(
            expected.stdout == got.stdout
                && expected.status.map(|s| s.code()) == got.status.map(|s| s.code()),
            "{name} under {}: {}\n{}\nstderr:\n{}",
            other.runtime,
            got.status.map_or_else(
                || format!("killed after {:?}", self.limit),
                |status| status.to_string()
            ),
            difference(&expected.stdout, &got.stdout),
            got.stderr
        );
        println!(
            "{name}: {} {:.2} s, {} {:.2} s, ratio {:.2}",
            reference.runtime,
            expected.wall.as_secs_f64(),
            other.runtime,
            got.wall.as_secs_f64(),
            got.wall.as_secs_f64() / expected.wall.as_secs_f64()
        );
    }
}

fn copy_scripts(target: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let copy = || -> std::io::Result<()> {
        fs::create_dir(target)?;
        for script in fs::read_dir(&source)?.flatten() {
            fs::copy(script.path(), target.join(script.file_name()))?;
        }
        Ok(())
    };
    copy().unwrap_or_else(|error| panic!("copy {}: {error}", source.display()));
}

/// The first lines that differ, with what came before.
fn difference(expected: &str, got: &str) -> String {
    let (expected, got): (Vec<&str>, Vec<&str>) =
        (expected.lines().collect(), got.lines().collect());
    let common = expected
        .iter()
        .zip(&got)
        .take_while(|(a, b)| a == b)
        .count();
    let show = |mark: char, lines: &[&str]| -> String {
        lines
            .iter()
            .skip(common)
            .take(15)
            .map(|line| format!("{mark} {line}\n"))
            .collect()
    };
    let before: String = expected[common.saturating_sub(5)..common]
        .iter()
        .map(|line| format!("  {line}\n"))
        .collect();
    format!(
        "after {common} equal lines:\n{before}{}{}",
        show('-', &expected),
        show('+', &got)
    )
}
