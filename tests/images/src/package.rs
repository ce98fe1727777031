//! Unpacks a Debian package without installing it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{ImageError, command};

/// Downloads `package` from this machine's apt sources and unpacks it into a directory of that name in
/// `scratch`, which is returned.
pub fn unpack(package: &str, scratch: &Path) -> Result<PathBuf, ImageError> {
    let download = scratch.join(format!("{package}.download"));
    fs::create_dir(&download).map_err(ImageError::io("create", &download))?;
    // apt drops to its own user for downloads, which then needs no access to our directory.
    let fetch = || {
        command::run(
            Command::new("apt-get")
                .args(["-o", "APT::Sandbox::User=root", "download", package])
                .current_dir(&download),
        )
    };
    if fetch().is_err() {
        // Either the lists were never fetched or they name a version that the mirror no longer has.
        command::run(Command::new("apt-get").args(["-q", "update"]))?;
        fetch()?;
    }
    let entries = fs::read_dir(&download).map_err(ImageError::io("list", &download))?;
    let archive = entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension() == Some("deb".as_ref()));
    let unpacked = scratch.join(package);
    command::run(Command::new("dpkg").arg("-x").args(archive).arg(&unpacked))?;
    fs::remove_dir_all(&download).map_err(ImageError::io("remove", &download))?;
    Ok(unpacked)
}
