//! One program under two names: the name says which tier containers get.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The name under which containers get a virtual machine.
const VM: &str = "containerd-shim-caisson-vm-v2";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    Kernel,
    Vm,
}

impl Tier {
    /// By the name this process was executed under; the serving process inherits it.
    pub(crate) fn current() -> Tier {
        env::args_os()
            .next()
            .map_or(Tier::Kernel, |name| Tier::of(&name))
    }

    fn of(name: &OsStr) -> Tier {
        match Path::new(name).file_name() {
            Some(name) if name == VM => Tier::Vm,
            _ => Tier::Kernel,
        }
    }

    /// What containerd calls a runtime of this tier.
    pub(crate) fn handler(self) -> &'static str {
        match self {
            Tier::Kernel => "io.containerd.caisson.v2",
            Tier::Vm => "io.containerd.caisson-vm.v2",
        }
    }

    /// Options of `caisson` that make it this tier.
    pub(crate) fn options(self) -> &'static [&'static str] {
        match self {
            Tier::Kernel => &[],
            Tier::Vm => &["--sandbox", "vm"],
        }
    }
}

/// The name for the process that we execute ourselves again as.
pub(crate) fn own_name() -> OsString {
    env::args_os().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_the_name_decides() {
        assert_eq!(
            Tier::of(OsStr::new("/usr/local/bin/containerd-shim-caisson-vm-v2")),
            Tier::Vm
        );
        for other in [
            "",
            "containerd-shim-caisson-v2",
            "/containerd-shim-caisson-vm-v2/shim",
        ] {
            assert_eq!(Tier::of(OsStr::new(other)), Tier::Kernel, "{other}");
        }
    }
}
