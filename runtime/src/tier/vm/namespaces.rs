//! The namespaces of a sandbox process, by which engines and further containers name those of its guest.

use std::os::fd::AsFd;
use std::path::Path;

use caisson_sys::namespace::{self, Namespaces as Kinds};
use rustix::mount::MountPropagationFlags;

use crate::RuntimeError;
use crate::namespace::{Namespaces, Origin};

/// Make or join them. Call while there is one thread.
pub(super) fn enter(namespaces: &Namespaces) -> Result<(), RuntimeError> {
    match &namespaces.network {
        Origin::New => {
            namespace::unshare(Kinds::NET).map_err(RuntimeError::step("unshare"))?;
            caisson_sys::loopback::up().map_err(RuntimeError::step("bring lo up"))?;
        }
        Origin::Join(path) => join(path, Kinds::NET)?,
        Origin::Host => {
            let message = "a virtual machine is not connected to the host's network".into();
            return Err(RuntimeError::Sandbox { message });
        }
    }
    for (origin, kind) in [(&namespaces.ipc, Kinds::IPC), (&namespaces.uts, Kinds::UTS)] {
        match origin {
            Origin::Join(path) => join(path, kind)?,
            Origin::New | Origin::Host => {
                namespace::unshare(kind).map_err(RuntimeError::step("unshare"))?;
            }
        }
    }
    Ok(())
}

pub(super) fn join(path: &Path, kind: Kinds) -> Result<(), RuntimeError> {
    let file = std::fs::File::open(path).map_err(RuntimeError::file(path, "open"))?;
    namespace::enter(file.as_fd(), kind).map_err(RuntimeError::file(path, "setns"))
}

/// Have mounts of our own, which the host's changes reach but which do not reach the host.
pub(super) fn leave_mounts() -> Result<(), RuntimeError> {
    namespace::unshare(Kinds::MOUNT).map_err(RuntimeError::step("unshare"))?;
    let flags = MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM;
    rustix::mount::mount_change("/", flags).map_err(RuntimeError::step("mount / rslave"))
}
