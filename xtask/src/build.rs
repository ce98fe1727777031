//! `xtask build`: the release binaries.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The packages whose binaries are installed on a node.
const PACKAGES: &[&str] = &["caisson-runtime", "caisson-shim"];

/// The root of the source tree.
pub(crate) fn source_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or_else(|| Path::new("."))
}

/// Where cargo puts what it builds.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| source_root().join("target"), PathBuf::from);
    std::path::absolute(target).context("cannot make the target directory absolute")
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(source_root());
    command
}

/// Builds `caisson` and `containerd-shim-caisson-v2`; returns the directory they are in. With
/// `CAISSON_BINARIES` that directory is used as it is, so that binaries built elsewhere can be tested.
pub(crate) fn release() -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os("CAISSON_BINARIES") {
        return std::path::absolute(directory).context("CAISSON_BINARIES cannot be made absolute");
    }
    let mut command = cargo();
    command.args(["build", "--locked", "--release"]);
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    let status = command.status().context("cannot run cargo")?;
    ensure!(status.success(), "cargo build failed ({status})");
    let release = target_directory()?.join("release");
    // The same program under its second name, which is the micro-VM tier's.
    let second = release.join("containerd-shim-caisson-vm-v2");
    if !second.exists() {
        std::os::unix::fs::symlink("containerd-shim-caisson-v2", &second)
            .with_context(|| format!("link {}", second.display()))?;
    }
    Ok(release)
}
