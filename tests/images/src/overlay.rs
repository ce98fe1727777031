//! A writable view of an image's tree: an overlay mount, undone when dropped.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::{Image, ImageError};

/// A mounted overlay over [`Image::rootfs`].
#[derive(Debug)]
pub struct Overlay {
    root: PathBuf,
}

impl Overlay {
    /// Mounts one with its upper, work and merged directories under `scratch`, which must be on a
    /// file system that can hold an upper layer (ext4, xfs, tmpfs; not another overlay).
    pub fn mount(image: &Image, scratch: &Path) -> Result<Overlay, ImageError> {
        let directory = |name: &str| -> Result<PathBuf, ImageError> {
            let path = scratch.join(name);
            fs::create_dir_all(&path).map_err(ImageError::io("create", &path))?;
            Ok(path)
        };
        let (upper, work, root) = (
            directory("upper")?,
            directory("work")?,
            directory("rootfs")?,
        );
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            image.rootfs.display(),
            upper.display(),
            work.display()
        );
        let options = std::ffi::CString::new(options)
            .map_err(|nul| ImageError::io("mount an overlay at", &root)(nul.into()))?;
        mount(
            "overlay",
            &root,
            "overlay",
            MountFlags::empty(),
            options.as_c_str(),
        )
        .map_err(|errno| ImageError::io("mount an overlay at", &root)(errno.into()))?;
        Ok(Overlay { root })
    }

    /// The merged tree.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        if let Err(errno) = unmount(&self.root, UnmountFlags::DETACH) {
            eprintln!("cannot unmount {}: {errno}", self.root.display());
        }
    }
}
