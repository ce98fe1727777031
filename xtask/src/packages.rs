//! Installs the Debian packages that building, testing and measuring need.
//!
//! Must never start a service, replace what the machine already has under another package name (a
//! `containerd` from elsewhere stays), or install anything that is not listed here.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// A package, and a program that makes it unnecessary when the machine has that from elsewhere.
struct Package {
    name: &'static str,
    program: Option<&'static str>,
}

const fn package(name: &'static str) -> Package {
    Package {
        name,
        program: None,
    }
}

const fn program(name: &'static str, program: &'static str) -> Package {
    Package {
        name,
        program: Some(program),
    }
}

/// Needed to build.
const BUILD: &[Package] = &[
    program("gcc", "gcc"),
    package("libc6-dev"),
    program("make", "make"),
    // The micro-VM's kernel.
    program("flex", "flex"),
    program("bison", "bison"),
    program("bc", "bc"),
    package("libelf-dev"),
    // Its agent.
    package("libseccomp-dev"),
    program("xz-utils", "xz"),
];

/// Needed to show, test and measure.
const RUN: &[Package] = &[
    program("containerd", "containerd"),
    program("runc", "runc"),
    program("crun", "crun"),
    program("podman", "podman"),
    program("uidmap", "newuidmap"),
    program("slirp4netns", "slirp4netns"),
    program("mmdebstrap", "mmdebstrap"),
    program("iproute2", "ip"),
    program("iptables", "iptables"),
    program("procps", "ps"),
    program("strace", "strace"),
    program("tmux", "tmux"),
    program("curl", "curl"),
    program("python3", "python3"),
    program("util-linux", "unshare"),
    package("containernetworking-plugins"),
    package("busybox-static"),
    // The micro-VM's root file system.
    program("e2fsprogs", "mke2fs"),
    // The nested machine of tests/nested; virtiofsd comes with it.
    program("qemu-system-x86", "qemu-system-x86_64"),
];

/// Installs whatever is missing.
pub(crate) fn install() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "this needs root: containers, cgroups and apt-get do (run it with sudo)"
    );
    let missing: Vec<&str> = BUILD
        .iter()
        .chain(RUN)
        .filter(|package| missing(package))
        .map(|package| package.name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing {}", missing.join(" "));
    let _quiet = NoServices::new()?;
    if apt_get("install", &missing).is_ok() {
        return Ok(());
    }
    // Either the lists were never fetched or they name versions that the mirror no longer has.
    apt_get("update", &[])?;
    apt_get("install", &missing)
}

fn missing(package: &Package) -> bool {
    if package.program.is_some_and(in_path) {
        return false;
    }
    !Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status}", package.name])
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|output| output.stdout == b"installed")
}

/// Whether `name` is an executable file in a directory of `PATH`, or in `sbin`.
pub(crate) fn in_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|directory| {
            let metadata = fs::metadata(directory.join(name));
            metadata.is_ok_and(|metadata| {
                metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
            })
        })
}

fn apt_get(verb: &str, packages: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command
        .args(["-q", "-y", "-o", "DPkg::Lock::Timeout=600", verb])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
    if verb == "install" {
        command.arg("--no-install-recommends").args(packages);
    }
    let status = command
        .status()
        .context("cannot run apt-get: this needs a Debian machine")?;
    if !status.success() {
        bail!("apt-get {verb} {} failed ({status})", packages.join(" "));
    }
    Ok(())
}

/// While it lives, packages that are installed do not start their services.
struct NoServices {
    ours: bool,
}

impl NoServices {
    const PATH: &str = "/usr/sbin/policy-rc.d";
    const CONTENT: &str = "#!/bin/sh\n# made by caisson's xtask for one apt-get run\nexit 101\n";

    fn new() -> Result<NoServices> {
        let path = Path::new(Self::PATH);
        if fs::read_to_string(path).is_ok_and(|content| content == Self::CONTENT) {
            // A run that was killed left it behind.
            fs::remove_file(path).with_context(|| format!("cannot remove {}", Self::PATH))?;
        }
        match fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(path)
        {
            Ok(mut file) => {
                let guard = NoServices { ours: true };
                file.write_all(Self::CONTENT.as_bytes())
                    .with_context(|| format!("cannot write {}", Self::PATH))?;
                Ok(guard)
            }
            // The machine has a policy of its own, which is not ours to change.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Ok(NoServices { ours: false })
            }
            Err(error) => Err(error).with_context(|| format!("cannot create {}", Self::PATH)),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(Self::PATH)
        {
            eprintln!("cannot remove {}: {error}", Self::PATH);
        }
    }
}
