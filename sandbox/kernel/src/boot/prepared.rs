//! What is opened from the host before the app kernel pivots into the container's tree.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, open};

use super::{BootError, View};
use crate::proc;

#[derive(Debug)]
pub struct Prepared {
    pub(super) view: Arc<View>,
    pub(super) loader: OwnedFd,
}

impl Prepared {
    /// To be called after `unshare(CLONE_NEWNS)`, while `/proc` is still the host's.
    pub fn new(_id: &str) -> Result<Prepared, BootError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let host_proc =
            open(c"/proc", flags, Mode::empty()).map_err(BootError::host("open /proc"))?;
        let loader = include_bytes!(concat!(env!("OUT_DIR"), "/loader"));
        let loader = caisson_sys::descriptor::sealed_executable(c"caisson-loader", loader)
            .map_err(BootError::host("memfd_create for the loader"))?;
        Ok(Prepared {
            view: Arc::new(View::new(host_proc)),
            loader,
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
        proc::mount(target, kind, self.view.clone())
            .map(|server| self.view.add(server))
            .map_err(|source| BootError::Mount {
                what,
                path: target.display().to_string(),
                source,
            })
    }
}
