//! The OCI images that the tests, the demo and the benchmarks run, built without a registry.
//!
//! [`busybox`] and [`debian`] return an [`Image`]: an OCI image-layout archive that `ctr images import`
//! takes, and the same tree extracted, to be the lower layer of an [`Overlay`] or a read-only root.
//! Images are kept in `$CAISSON_CACHE` (`~/.cache/caisson`) under a hash of their recipe; nothing but time
//! is lost when that directory is removed. [`unpacked`] keeps programs of other Debian suites there, to test with.
//!
//! Must never: write into an extracted tree after it was published, write a mirror's address into an
//! image or into the source tree, or install anything on the machine.

mod apt;
mod busybox;
mod cache;
mod command;
mod debian;
mod layout;
mod overlay;
mod package;
mod release;

use std::io;
use std::path::PathBuf;

pub use apt::{AptSource, backports, sources};
pub use busybox::program as busybox_program;
pub use cache::publish;
pub use overlay::Overlay;
pub use package::unpack;
pub use release::unpacked;

/// A built image.
#[derive(Debug, Clone)]
pub struct Image {
    /// The reference under which `ctr images import` knows it.
    pub reference: String,
    /// The image-layout archive (tar).
    pub archive: PathBuf,
    /// The extracted tree. Shared by everybody: never write to it.
    pub rootfs: PathBuf,
}

/// Why an image could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
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
    /// a program could not be started
    #[error("cannot run {program}: {source}")]
    Spawn {
        /// The program.
        program: String,
        /// Why it failed.
        source: io::Error,
    },
    /// a program failed
    #[error("{program} failed ({status}):\n{output}")]
    Failed {
        /// The program with its arguments.
        program: String,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// The end of what it printed.
        output: String,
    },
    /// /etc/os-release has no VERSION_CODENAME, so the suite to build from is unknown
    #[error("/etc/os-release has no VERSION_CODENAME: the Debian suite to build from is unknown")]
    NoCodename,
    /// the machine's apt sources do not list the suite
    #[error("the apt sources of this machine (/etc/apt/sources.list*) name no suite {suite:?}")]
    NoSuite {
        /// The suite that was looked for.
        suite: String,
    },
    /// neither CAISSON_CACHE nor HOME is set
    #[error("neither CAISSON_CACHE nor HOME is set: nowhere to keep images")]
    NoCacheDirectory,
}

impl ImageError {
    /// For `map_err` on an operation on `path`.
    pub fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> ImageError {
        let path = path.into();
        move |source| ImageError::Io {
            action,
            path,
            source,
        }
    }
}

/// What an image runs when nobody says what to.
const SHELL: &[&str] = &["/bin/sh"];

/// What a pod's own container runs: sleeps, collects the children of others, ends when asked to.
const PAUSE: &[&str] = &[
    "/bin/sh",
    "-c",
    "trap 'exit 0' TERM INT; while :; do sleep 86400 & wait $!; done",
];

/// busybox-static with every applet linked, `/etc/passwd` with `root` and `dev` (1000); about 2 MB.
pub fn busybox() -> Result<Image, ImageError> {
    cache::image("busybox", &busybox::recipe(), SHELL, busybox::layer)
}

/// The same tree as the image of the container that holds a Kubernetes pod together.
pub fn pause() -> Result<Image, ImageError> {
    let recipe = format!("{}{PAUSE:?}", busybox::recipe());
    cache::image("pause", &recipe, PAUSE, busybox::layer)
}

/// The suite of this machine with the programs that the tests run; `dev` (1000) may `sudo` without a
/// password; about 1 GB, a minute or two to build.
pub fn debian() -> Result<Image, ImageError> {
    cache::image("debian", &debian::recipe()?, SHELL, debian::layer)
}
