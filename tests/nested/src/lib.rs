//! A machine with a true `/dev/kvm`, wherever the tests run.
//!
//! [`Job`] is a command; [`run`] boots a Debian kernel in QEMU, which emulates AMD's virtualisation in software,
//! and executes the command in it as root. The machine sees the host's whole tree, through an overlay whose
//! changes stay in its memory; only [`Job::results`] is shared for writing. It has cgroup v2 mounted and the
//! modules of [`modules::WANTED`] loaded.
//!
//! One boot takes some 5 seconds on an idle machine, so a suite runs all of its tests in one job.
//!
//! Must never: leave a process or a file behind, wait without a limit, or write to the host's tree.

mod cpio;
mod debian;
mod image;
mod job;
mod machine;
mod modules;
mod serial;

use std::io;
use std::path::{Path, PathBuf};

pub use cpio::Archive;
pub use debian::{GuestKernel, guest_kernel};
pub use job::{Hierarchy, Job};
pub use machine::run;

/// Whether `/dev/kvm` is there and runs guests by hardware virtualisation, so that no machine is needed for that.
#[must_use]
pub fn host_has_kvm() -> bool {
    Path::new("/dev/kvm").exists() && !Path::new("/sys/module/kvm_pvm").exists()
}

/// Why a job could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum NestedError {
    /// {action} {path}: {source}
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// a program that the machine consists of is not there
    #[error("cannot run {program} (`cargo xtask packages` installs it): {source}")]
    Spawn {
        /// The program.
        program: String,
        /// Why it failed.
        source: io::Error,
    },
    /// no virtiofsd was found
    #[error("no virtiofsd at {}: Debian 12 has it in qemu-system-common", candidates.join(" or "))]
    NoVirtiofsd {
        /// Where it was looked for.
        candidates: Vec<&'static str>,
    },
    /// the kernel package is not as expected
    #[error("{}: {problem}", path.display())]
    Kernel {
        /// The file of the package.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// a module that the machine needs is not in the kernel package
    #[error("the kernel package has no module {name}")]
    NoModule {
        /// The module.
        name: String,
    },
    /// the machine ended, or had to be ended, before it told how the command ended
    #[error("the nested machine {what}; it printed:\n{output}")]
    NoStatus {
        /// What happened.
        what: String,
        /// The end of what it printed.
        output: String,
    },
    /// the caller asked to stop
    #[error("interrupted")]
    Cancelled,
    /// the kernel package could not be had, or the cache not be written
    #[error(transparent)]
    Image(#[from] caisson_images::ImageError),
}

impl NestedError {
    /// For `map_err` on an operation on `path`.
    fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> NestedError {
        let path = path.into();
        move |source| NestedError::Io {
            action,
            path,
            source,
        }
    }
}
