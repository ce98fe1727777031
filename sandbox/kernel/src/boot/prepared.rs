//! What is opened from the host before the app kernel pivots into the container's tree.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex};

use caisson_sys::user_namespace::Ids;
use rustix::fs::{Mode, OFlags, open};

use super::{BootError, View};
use crate::proc;
use crate::task::lock;

#[derive(Debug)]
pub struct Prepared {
    pub(super) view: Arc<View>,
    pub(super) loader: OwnedFd,
    pub(super) ids: Ids,
    pub(super) host_mounts: Option<OwnedFd>,
    fuse: Mutex<Vec<OwnedFd>>,
}

/// What had to be opened before this process was who it is now.
#[derive(Debug, Default)]
pub struct Held {
    /// Descriptors of /dev/fuse that this user namespace has opened, for the mounts to come.
    pub fuse: Vec<OwnedFd>,
    /// A mount namespace with the host's tree, which outside the initial user namespace a new procfs needs.
    pub host_mounts: Option<OwnedFd>,
}

impl Prepared {
    /// To be called after `unshare(CLONE_NEWNS)`, while `/proc` is still the host's.
    pub fn new(held: Held) -> Result<Prepared, BootError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let host_proc =
            open(c"/proc", flags, Mode::empty()).map_err(BootError::host("open /proc"))?;
        let loader = include_bytes!(concat!(env!("OUT_DIR"), "/loader"));
        let loader = caisson_sys::descriptor::sealed_executable(c"caisson-loader", loader)
            .map_err(BootError::host("memfd_create for the loader"))?;
        let ids = Ids::of(host_proc.as_fd(), "self")
            .map_err(BootError::host("read the user namespace's id map"))?;
        Ok(Prepared {
            view: Arc::new(View::new(host_proc)),
            loader,
            ids,
            host_mounts: held.host_mounts,
            fuse: Mutex::new(held.fuse),
        })
    }

    /// Mount the container's /proc, served by this process from now on.
    pub fn mount_proc(&self, target: &Path) -> Result<(), BootError> {
        self.mount("proc", target, proc::Kind::Proc)
    }

    /// Mount the container's /sys, served by this process from now on.
    pub fn mount_sys(&self, target: &Path, read_only: bool) -> Result<(), BootError> {
        let protection = if read_only {
            proc::Protection::ReadOnly
        } else {
            proc::Protection::Writable
        };
        self.mount("sysfs", target, proc::Kind::Sys(protection))
    }

    fn mount(&self, what: &'static str, target: &Path, kind: proc::Kind) -> Result<(), BootError> {
        let device = lock(&self.fuse).pop();
        proc::mount(target, kind, device, self.view.clone())
            .map(|server| self.view.add(server))
            .map_err(|source| BootError::Mount {
                what,
                path: target.display().to_string(),
                source,
            })
    }
}
