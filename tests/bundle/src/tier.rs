//! Which tier of the sandbox the tests are about, and how patient they are with it.

use std::time::Duration;

/// What stands between a container and the host's kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// An application kernel in user space.
    Kernel,
    /// A virtual machine.
    Vm,
}

/// Names the tier: `kernel`, which is the default, or `vm`.
const CHOICE: &str = "CAISSON_TEST_TIER";

impl Tier {
    /// # Panics
    /// If `CAISSON_TEST_TIER` names no tier.
    #[must_use]
    pub fn current() -> Tier {
        match std::env::var(CHOICE).as_deref() {
            Err(_) | Ok("" | "kernel") => Tier::Kernel,
            Ok("vm") => Tier::Vm,
            Ok(other) => panic!("{CHOICE}: {other:?} must be kernel or vm"),
        }
    }

    /// What `caisson` is given before its command.
    #[must_use]
    pub fn options(self) -> &'static [&'static str] {
        match self {
            Tier::Kernel => &[],
            Tier::Vm => &["--sandbox=vm"],
        }
    }

    /// What containerd calls it.
    #[must_use]
    pub fn handler(self) -> &'static str {
        match self {
            Tier::Kernel => "io.containerd.caisson.v2",
            Tier::Vm => "io.containerd.caisson-vm.v2",
        }
    }

    /// How long to wait for what takes at most `limit` with an application kernel. A virtual machine has to boot,
    /// and where the tests run that may be emulated.
    #[must_use]
    pub fn patience(self, limit: Duration) -> Duration {
        match self {
            Tier::Kernel => limit,
            Tier::Vm => limit * 6,
        }
    }
}
