//! Debian's cloud kernel as a guest's, not the machine's own: as it is packaged, with the modules of our devices.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cpio::Archive;
use crate::image::{META_PACKAGE, Package};
use crate::{NestedError, modules};

/// The drivers of the monitor's devices, and the file system of the shares.
const WANTED: &[&str] = &[
    "virtio_mmio",
    "vmw_vsock_virtio_transport",
    "virtio_blk",
    "virtio_net",
    "virtiofs",
    "virtio_rng",
    "virtio_balloon",
    "virtio_mem",
];

/// A kernel of a distribution.
#[derive(Debug)]
pub struct GuestKernel {
    /// A bzImage.
    pub image: PathBuf,
    /// An archive for the end of an initial ramdisk: the folder `/modules` with a file `order`, by whose lines
    /// `<name>.ko` beside it are to be loaded.
    pub modules: PathBuf,
}

/// From the cache, or newly unpacked.
///
/// # Errors
/// When the package cannot be had or is not as expected.
pub fn guest_kernel() -> Result<GuestKernel, NestedError> {
    let recipe = format!("{META_PACKAGE}{WANTED:?}");
    let home = caisson_images::publish("debian-kernel", &recipe, build)?;
    Ok(GuestKernel {
        image: home.join("vmlinuz"),
        modules: home.join("modules"),
    })
}

fn build(staging: &Path) -> Result<(), NestedError> {
    let scratch = staging.join("scratch");
    let Package { image, tree } = Package::unpack(&scratch)?;
    let path = staging.join("vmlinuz");
    fs::rename(image, &path).map_err(NestedError::io("rename to", &path))?;
    let mut archive = Archive::default();
    modules::add_to(&mut archive, &tree, WANTED)?;
    let path = staging.join("modules");
    fs::write(&path, archive.finish()).map_err(NestedError::io("write", &path))?;
    fs::remove_dir_all(&scratch).map_err(NestedError::io("remove", &scratch))
}
