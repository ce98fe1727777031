//! One run of one family of the guest program.

use std::fs;
use std::time::Duration;

use caisson_abi::{Disposition, TABLE};
use caisson_test_bundle::{Bundle, Config, Outcome, Runtime, User, run};

use crate::{GUEST, fixture, guest_program};

/// Families whose outcome is compared with the reference runtime's.
pub const PLAIN_FAMILIES: &[&str] = &[
    "open",
    "stat",
    "directory",
    "attributes",
    "xattr",
    "cwd",
    "mount",
    "cred",
    "capability",
    "limits",
    "process",
    "exec",
    "signal",
    "socket",
    "ioctl",
    "system",
    "prctl",
    "notify",
    "namespace",
    "io",
    "memory",
    "time",
    "thread",
    "ipc",
    "terminal",
    "poll",
    "splice",
    "hostile",
    "unix",
    "sysv",
    "inet",
    "interrupt",
    "timers",
    "futex",
    "tty",
    "procfs",
    "netlink",
    "files",
    "permission",
    "locks",
    "memfd",
    "authority",
    "children",
    "image",
    "foreign",
    "ptrace",
    "mounting",
    "aio",
    "interface",
    "walk",
    "spaces",
];

/// A family and who runs it.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    pub name: &'static str,
    pub user: User,
}

impl Family {
    /// Runs the family in a fresh container.
    ///
    /// # Panics
    /// If the container cannot be set up or does not end in time.
    #[must_use]
    pub fn run(&self, runtime: &Runtime) -> Outcome {
        let image = caisson_images::busybox().unwrap_or_else(|error| panic!("{error}"));
        let bundle = Bundle::new(&format!("{}-{}", self.name, runtime.name), &image);
        let mut config = Config::new(&[GUEST, self.name], self.user);
        fixture::lay_out(&bundle, guest_program(), &mut config);
        match self.name {
            "mounting" | "walk" if self.user == User::Root => config.grant("CAP_SYS_ADMIN"),
            "spaces" if self.user == User::Root => {
                config.grant("CAP_SYS_ADMIN");
                config.grant("CAP_NET_ADMIN");
            }
            "interface" if self.user == User::Root => config.grant("CAP_NET_ADMIN"),
            _ => {}
        }
        if self.name == "refused" {
            let path = bundle.rootfs().join("work/refused");
            fs::write(&path, refused_calls())
                .unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
        }
        if let Some(seed) = std::env::var_os("CAISSON_WALK_SEED") {
            let path = bundle.rootfs().join("work/walk-seed");
            fs::write(&path, seed.as_encoded_bytes())
                .unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
        }
        let outcome = run(runtime, &bundle, &config, Duration::from_secs(120));
        self.keep(runtime, &outcome);
        assert!(
            outcome.status.is_some_and(|status| status.success())
                && outcome.stdout.contains("end.family exited 0"),
            "family {} as {} under {}: {}\nstdout:\n{}\nstderr:\n{}",
            self.name,
            self.user.name(),
            runtime.name,
            outcome.status.map_or_else(
                || "killed at its deadline".to_owned(),
                |status| status.to_string()
            ),
            outcome.stdout,
            outcome.stderr
        );
        outcome
    }

    /// Keeps the transcript in `CAISSON_TEST_TRANSCRIPTS`, for a look at all of it.
    fn keep(&self, runtime: &Runtime, outcome: &Outcome) {
        if let Some(directory) = std::env::var_os("CAISSON_TEST_TRANSCRIPTS") {
            let name = format!("{}.{}.{}", self.name, self.user.name(), runtime.name);
            let path = std::path::Path::new(&directory).join(name);
            fs::write(&path, &outcome.stdout)
                .unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
        }
    }
}

/// `number name` lines of the calls that are refused whatever their arguments.
fn refused_calls() -> String {
    TABLE
        .iter()
        .filter(|row| matches!(row.standard, Disposition::Refuse(_)))
        .map(|row| format!("{} {}\n", row.number, row.name))
        .collect()
}
