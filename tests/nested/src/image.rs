//! The machine's kernel and initial ramdisk, made from Debian's cloud kernel without installing it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cpio::Archive;
use crate::{NestedError, modules};

/// PID 1 of the machine.
const INIT: &str = include_str!("init.sh");

/// Names the current kernel package by its dependency.
pub(crate) const META_PACKAGE: &str = "linux-image-cloud-amd64";

/// Files that QEMU takes.
#[derive(Debug)]
pub(crate) struct BootFiles {
    /// The uncompressed kernel: decompressing itself would cost it seconds under emulation.
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: PathBuf,
}

/// From the cache, or newly made.
pub(crate) fn boot_files() -> Result<BootFiles, NestedError> {
    let recipe = format!("{META_PACKAGE}{INIT}{:?}", modules::WANTED);
    let home = caisson_images::publish("nested", &recipe, build)?;
    Ok(BootFiles {
        kernel: home.join("vmlinux"),
        initrd: home.join("initrd"),
    })
}

fn build(staging: &Path) -> Result<(), NestedError> {
    let scratch = staging.join("scratch");
    let Package { image, tree } = Package::unpack(&scratch)?;
    let bytes = fs::read(&image).map_err(NestedError::io("read", &image))?;
    let kernel = decompress(&bytes).map_err(|problem| NestedError::Kernel {
        path: image,
        problem,
    })?;
    let path = staging.join("vmlinux");
    fs::write(&path, kernel).map_err(NestedError::io("write", &path))?;

    let busybox = caisson_images::busybox_program(&scratch)?;
    let path = staging.join("initrd");
    fs::write(&path, initrd(&tree, &busybox)?).map_err(NestedError::io("write", &path))?;
    fs::remove_dir_all(&scratch).map_err(NestedError::io("remove", &scratch))
}

/// What a kernel package holds.
pub(crate) struct Package {
    /// The kernel, a bzImage.
    pub(crate) image: PathBuf,
    /// `lib/modules/<version>`
    pub(crate) tree: PathBuf,
}

impl Package {
    /// Of the package that [`META_PACKAGE`] stands for today; makes the folder `scratch`.
    pub(crate) fn unpack(scratch: &Path) -> Result<Package, NestedError> {
        fs::create_dir(scratch).map_err(NestedError::io("create", scratch))?;
        let package = caisson_images::unpack(&kernel_package()?, scratch)?;
        Ok(Package {
            image: only_entry(&package.join("boot"), "vmlinuz-")?,
            tree: only_entry(&package.join("lib/modules"), "")?,
        })
    }
}

/// The package that [`META_PACKAGE`] stands for today.
fn kernel_package() -> Result<String, NestedError> {
    let dependency = || {
        let output = Command::new("apt-cache")
            .args(["depends", META_PACKAGE])
            .output()
            .ok()?;
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .find_map(|line| line.trim().strip_prefix("Depends: linux-image-"))
            .map(|version| format!("linux-image-{version}"))
    };
    if let Some(package) = dependency() {
        return Ok(package);
    }
    // The lists were never fetched.
    let update = Command::new("apt-get")
        .args(["-q", "update"])
        .output()
        .map_err(|source| NestedError::Spawn {
            program: "apt-get".to_owned(),
            source,
        })?;
    dependency().ok_or_else(|| NestedError::Kernel {
        path: PathBuf::from(META_PACKAGE),
        problem: format!(
            "the apt sources of this machine have no such package (apt-get update: {})",
            update.status
        ),
    })
}

/// The entry of `directory` whose name starts with `prefix`.
fn only_entry(directory: &Path, prefix: &str) -> Result<PathBuf, NestedError> {
    let entries = fs::read_dir(directory).map_err(NestedError::io("list", directory))?;
    entries
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .ok_or_else(|| NestedError::Kernel {
            path: directory.to_owned(),
            problem: format!("holds nothing named {prefix}*"),
        })
}

/// The ELF file in a bzImage. See Documentation/arch/x86/boot.rst for `setup_sects`, `payload_offset` and
/// `payload_length`; the payload is in lz4's legacy format, as Debian has it.
fn decompress(image: &[u8]) -> Result<Vec<u8>, String> {
    const LZ4_LEGACY: &[u8] = &[0x02, 0x21, 0x4c, 0x18];
    const BLOCK_BYTES: usize = 8 << 20;
    let field = |offset: usize| {
        let bytes = image.get(offset..offset + 4)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    if image.get(0x202..0x206) != Some(b"HdrS") {
        return Err("not a bzImage".to_owned());
    }
    let setup_bytes = (usize::from(image[0x1f1]) + 1) * 512;
    let payload = field(0x248)
        .zip(field(0x24c))
        .and_then(|(offset, length)| image.get(setup_bytes + offset..)?.get(..length))
        .ok_or("the payload lies outside of the file")?;
    let mut rest = payload
        .strip_prefix(LZ4_LEGACY)
        .ok_or("the kernel in it is not compressed with lz4")?;
    let mut kernel = Vec::new();
    // What is left at the end is the length of the kernel, which the build appends.
    while rest.len() > 4 {
        let (length, tail) = rest.split_at(4);
        let length = u32::from_le_bytes(length.try_into().map_err(|_| "no block length")?) as usize;
        let block = tail.get(..length).ok_or("a block is cut off")?;
        let block = lz4_flex::block::decompress(block, BLOCK_BYTES).map_err(|e| e.to_string())?;
        kernel.extend_from_slice(&block);
        rest = &tail[length..];
    }
    if !kernel.starts_with(b"\x7fELF") {
        return Err("the kernel in it is not an ELF file".to_owned());
    }
    Ok(kernel)
}

fn initrd(tree: &Path, busybox: &Path) -> Result<Vec<u8>, NestedError> {
    let mut archive = Archive::default();
    for directory in ["bin", "proc", "sys", "dev", "lower", "memory", "new"] {
        archive.directory(directory);
    }
    let program = fs::read(busybox).map_err(NestedError::io("read", busybox))?;
    archive.file("bin/busybox", &program);
    archive.file("init", INIT.as_bytes());
    modules::add_to(&mut archive, tree, modules::WANTED)?;
    Ok(archive.finish())
}

#[cfg(test)]
mod tests {
    use super::decompress;

    #[test]
    fn what_is_no_kernel_is_refused() {
        assert_eq!(decompress(b""), Err("not a bzImage".to_owned()));
        let mut image = vec![0; 4096];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248] = 255;
        image[0x24a] = 255;
        assert!(decompress(&image).is_err_and(|problem| problem.contains("outside")));
    }
}
