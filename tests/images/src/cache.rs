//! Publishes what was built under a name that holds a hash of its recipe.
//!
//! A directory of the cache is complete or absent: it is made under a temporary name and renamed. A lock
//! per name keeps two builds of the same one from running at once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

use crate::{Image, ImageError, command, layout};

/// Part of every hash; raised when the way images are written changes.
const FORMAT: &str = "caisson image format 1\n";

/// Makes the layer (an uncompressed tar) of an image at the second path, with the first as scratch space.
type MakeLayer = fn(&Path, &Path) -> Result<(), ImageError>;

/// `$CAISSON_CACHE`, or `~/.cache/caisson`.
pub(crate) fn directory() -> Result<PathBuf, ImageError> {
    if let Some(path) = std::env::var_os("CAISSON_CACHE").filter(|path| !path.is_empty()) {
        return Ok(PathBuf::from(path));
    }
    let home = std::env::var_os("HOME")
        .filter(|home| !home.is_empty())
        .ok_or(ImageError::NoCacheDirectory)?;
    Ok(PathBuf::from(home).join(".cache/caisson"))
}

/// The directory `name` made by `recipe`, from the cache or newly made: `make` fills an empty directory, which is
/// then published. Nothing may write into it afterwards.
pub fn publish<E: From<ImageError>>(
    name: &str,
    recipe: &str,
    make: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<PathBuf, E> {
    let cache = directory()?;
    fs::create_dir_all(&cache).map_err(ImageError::io("create", &cache))?;
    let lock_path = cache.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).map_err(ImageError::io("create", &lock_path))?;
    flock(&lock, FlockOperation::LockExclusive)
        .map_err(|errno| ImageError::io("lock", &lock_path)(errno.into()))?;

    let digest = layout::hex(&Sha256::digest(format!("{FORMAT}{recipe}")));
    let home = cache.join(format!("{name}-{}", &digest[..16]));
    if !home.exists() {
        let staging = tempfile::Builder::new()
            .prefix(&format!(".{name}-"))
            .tempdir_in(&cache)
            .map_err(ImageError::io("create a directory in", &cache))?;
        // mktemp makes it 0700; a guest that runs as an ordinary user has to pass through it.
        open_to_all(staging.path())?;
        make(staging.path())?;
        let built = staging.keep();
        fs::rename(&built, &home).map_err(ImageError::io("rename to", &home))?;
    }
    Ok(home)
}

/// The image `name` made by `recipe`, which runs `command`, from the cache or newly built.
pub(crate) fn image(
    name: &str,
    recipe: &str,
    command: &[&str],
    make: MakeLayer,
) -> Result<Image, ImageError> {
    let reference = format!("localhost/{name}:latest");
    let home = publish(name, recipe, |staging| {
        build(staging, name, &reference, command, make)
    })?;
    Ok(Image {
        reference,
        archive: home.join(format!("{name}.tar")),
        rootfs: home.join("rootfs"),
    })
}

/// Builds archive and extracted tree in `staging`.
fn build(
    staging: &Path,
    name: &str,
    reference: &str,
    command: &[&str],
    make: MakeLayer,
) -> Result<(), ImageError> {
    let scratch = staging.join("scratch");
    fs::create_dir(&scratch).map_err(ImageError::io("create", &scratch))?;

    let layer = scratch.join("layer.tar");
    make(&scratch, &layer)?;
    layout::write(
        &layer,
        reference,
        command,
        &staging.join(format!("{name}.tar")),
    )?;

    let rootfs = staging.join("rootfs");
    fs::create_dir(&rootfs).map_err(ImageError::io("create", &rootfs))?;
    command::run(
        Command::new("tar")
            .args(["--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf"])
            .arg(&layer)
            .arg("-C")
            .arg(&rootfs),
    )?;
    fs::remove_dir_all(&scratch).map_err(ImageError::io("remove", &scratch))
}

/// Mode 0755.
fn open_to_all(path: &Path) -> Result<(), ImageError> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(ImageError::io("chmod", path))
}
