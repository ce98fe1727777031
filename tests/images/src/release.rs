//! Programs of other Debian suites than the machine's own, unpacked beside it and never installed.
//!
//! Must never touch the machine's own apt lists, cache or packages: everything that apt writes goes to a
//! directory of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{AptSource, ImageError, apt, cache, command};

/// What the cache's hash is made of.
const RECIPE: &str = "apt-get download, dpkg -x";

/// The files of `package` as `suite` has it, from the cache or newly fetched: the tree's root, in which
/// its programs are in `usr/bin`. A suite that moves on is not followed until the cache is removed.
pub fn unpacked(package: &str, suite: &str) -> Result<PathBuf, ImageError> {
    let source = AptSource {
        suite: suite.to_owned(),
        ..apt::release()?
    };
    cache::publish(&format!("{package}-{suite}"), RECIPE, |staging| {
        fetch(package, &source, staging)
    })
}

fn fetch(package: &str, source: &AptSource, staging: &Path) -> Result<(), ImageError> {
    let apt = staging.join("apt");
    for folder in ["lists/partial", "archives/partial"] {
        let folder = apt.join(folder);
        fs::create_dir_all(&folder).map_err(ImageError::io("create", folder))?;
    }
    let list = apt.join("sources.list");
    fs::write(&list, source.line() + "\n").map_err(ImageError::io("write", &list))?;
    let status = apt.join("status");
    fs::write(&status, "").map_err(ImageError::io("write", &status))?;
    command::run(apt_get(&apt).arg("update"))?;
    command::run(apt_get(&apt).args(["download", package]))?;
    let entries = fs::read_dir(&apt).map_err(ImageError::io("list", &apt))?;
    let archive = entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension() == Some("deb".as_ref()));
    command::run(Command::new("dpkg").arg("-x").args(archive).arg(staging))?;
    fs::remove_dir_all(&apt).map_err(ImageError::io("remove", apt))
}

/// An `apt-get` that reads and writes below `folder` only.
fn apt_get(folder: &Path) -> Command {
    let mut command = Command::new("apt-get");
    command.current_dir(folder).arg("-q");
    for (option, file) in [
        ("Dir::Etc::sourcelist", "sources.list"),
        ("Dir::State::lists", "lists"),
        ("Dir::State::status", "status"),
        ("Dir::Cache", "."),
    ] {
        let value = folder.join(file);
        command
            .arg("-o")
            .arg(format!("{option}={}", value.display()));
    }
    command.args([
        "-o",
        "Dir::Etc::sourceparts=-",
        "-o",
        "APT::Sandbox::User=root",
        "-o",
        "Acquire::Languages=none",
        "-o",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
    ]);
    command
}
