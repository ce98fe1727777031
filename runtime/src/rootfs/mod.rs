//! The container's mount tree, assembled inside caisson-kernel's own mount namespace.
//!
//! [`Tree::assemble`] builds everything of `config.json` below the root file system; [`Tree::enter`] makes it
//! the `/` of this process and detaches the host's tree for good.
//!
//! Must never: follow a symbolic link of the image out of the root (every target is resolved by openat2
//! with RESOLVE_IN_ROOT, see [`target`]), or keep a mount or path of the host reachable afterwards.

pub mod attributes;
pub mod cgroups;
pub mod copy_up;
pub mod detached;
pub mod devices;
pub mod idmap;
pub mod masks;
pub mod mounts;
pub mod options;
pub mod target;
mod tree;

pub use detached::Lent;
pub use devices::Nodes;
pub use tree::{KernelMounts, Plan, Tree};

/// What went wrong with the mount tree.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    #[error("root.path: \"{path}\": {source}")]
    Root {
        path: String,
        source: std::io::Error,
    },
    #[error("{field}: \"{value}\": {step}: {source}")]
    Mount {
        field: String,
        value: String,
        step: &'static str,
        source: std::io::Error,
    },
    #[error("{field}: \"{value}\": {message}")]
    Served {
        field: String,
        value: String,
        message: String,
    },
    #[error("mount tree: {step}: {source}")]
    Step {
        step: &'static str,
        source: std::io::Error,
    },
    #[error(transparent)]
    Spec(#[from] crate::spec::SpecError),
}

/// Attach the field of config.json to an errno.
pub(crate) fn at(
    field: &str,
    value: &str,
    step: &'static str,
) -> impl FnOnce(rustix::io::Errno) -> RootfsError + use<> {
    let (field, value) = (field.to_owned(), value.escape_debug().to_string());
    move |errno| RootfsError::Mount {
        field,
        value,
        step,
        source: errno.into(),
    }
}

pub(crate) fn step(step: &'static str) -> impl FnOnce(rustix::io::Errno) -> RootfsError + use<> {
    move |errno| RootfsError::Step {
        step,
        source: errno.into(),
    }
}

/// A path that names the object behind a descriptor, whatever is mounted or renamed meanwhile.
pub(crate) fn by_descriptor(fd: &impl std::os::fd::AsRawFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}
