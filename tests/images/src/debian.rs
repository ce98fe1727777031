//! The large image: this machine's Debian suite with the programs that tests/programs runs.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{ImageError, apt, command};

/// What is installed besides the essential packages.
const PACKAGES: &[&str] = &[
    "bash",
    "busybox",
    "ca-certificates",
    "coreutils",
    "curl",
    "dbus",
    "dpkg-dev",
    "expect",
    "findutils",
    "gcc",
    "gdb",
    "git",
    "gzip",
    "htop",
    "iproute2",
    "iputils-ping",
    "less",
    "libc6-dev",
    "lsof",
    "make",
    "memcached",
    "netcat-openbsd",
    "nginx-light",
    "nodejs",
    "openjdk-17-jdk-headless",
    "openssh-client",
    "openssh-server",
    "openssl",
    "passwd",
    "perl",
    "php-cli",
    "postgresql",
    "procps",
    "python3",
    "redis-server",
    "redis-tools",
    "rsync",
    "ruby",
    "screen",
    "socat",
    "sqlite3",
    "strace",
    "sudo",
    "tar",
    "tmux",
    "traceroute",
    "util-linux",
    "vim-tiny",
];

/// Documentation and translations are left out, as in other slim images; the directories of manual pages
/// stay because the JRE fails to configure without them.
const DPKG_OPTIONS: &[&str] = &[
    "path-exclude=/usr/share/man/*.gz",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/info/*",
];

/// Run by mmdebstrap with the new tree as `$1`. The mirror's address stays out of the image.
const CUSTOMIZE: &[&str] = &[
    "chroot \"$1\" useradd --create-home --uid 1000 --shell /bin/bash dev",
    "echo 'dev ALL=(ALL) NOPASSWD: ALL' > \"$1/etc/sudoers.d/dev\" && chmod 0440 \"$1/etc/sudoers.d/dev\"",
    "rm -f \"$1\"/etc/apt/sources.list \"$1\"/etc/apt/sources.list.d/*",
    "rm -f \"$1\"/etc/resolv.conf \"$1\"/etc/hostname",
    "printf '127.0.0.1 localhost\\n::1 localhost\\n' > \"$1/etc/hosts\"",
];

/// What the cache's hash is made of.
pub(crate) fn recipe() -> Result<String, ImageError> {
    Ok(format!(
        "{}{PACKAGES:?}{DPKG_OPTIONS:?}{CUSTOMIZE:?}/dev",
        apt::codename()?
    ))
}

/// Adds an empty `/dev`: mmdebstrap leaves out the directory together with the device nodes, and a
/// runtime cannot make the mount point in a read-only tree.
fn append_dev(scratch: &Path, layer: &Path) -> Result<(), ImageError> {
    let dev = scratch.join("dev");
    fs::create_dir(&dev).map_err(ImageError::io("create", &dev))?;
    command::run(
        Command::new("tar")
            .args(["--owner=0", "--group=0", "--mode=0755", "--append", "-f"])
            .arg(layer)
            .arg("-C")
            .arg(scratch)
            .arg("./dev"),
    )
    .map(drop)
}

/// Writes the layer.
pub(crate) fn layer(scratch: &Path, layer: &Path) -> Result<(), ImageError> {
    let mut mmdebstrap = Command::new("mmdebstrap");
    mmdebstrap
        .args(["--variant=minbase", "--mode=root", "--format=tar"])
        .arg("--skip=output/dev")
        .arg(format!("--include={}", PACKAGES.join(",")));
    for option in DPKG_OPTIONS {
        mmdebstrap.arg(format!("--dpkgopt={option}"));
    }
    for hook in CUSTOMIZE {
        mmdebstrap.arg(format!("--customize-hook={hook}"));
    }
    mmdebstrap.arg(apt::codename()?).arg(layer);
    for source in apt::sources()? {
        mmdebstrap.arg(source.line());
    }
    command::run(&mut mmdebstrap)?;
    append_dev(scratch, layer)
}
