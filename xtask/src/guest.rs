//! What runs in the micro-VM: a kernel from Debian's sources, and an initial ramdisk that holds the agent.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use caisson_images::ImageError;
use caisson_nested::Archive;

use crate::build;

/// Everything the kernel's build depends on besides its source.
const CONFIG: &str = include_str!("../../sandbox/guest-kernel/guest.config");
/// The package of the source; its suite is the machine's backports.
const SOURCE: &str = "linux-source-6.12";
/// Names a kernel to use instead of building one.
const OVERRIDE: &str = "CAISSON_GUEST_KERNEL";

/// The guest's target triple; named so that the agent's flags are not those of build scripts.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The kernel (an ELF file with PVH entry), from the cache or newly built: some ten minutes on two idle cores.
pub(crate) fn kernel() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(OVERRIDE).filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        ensure!(
            path.is_file(),
            "{OVERRIDE}: {}: no such file",
            path.display()
        );
        return Ok(path);
    }
    let suite = caisson_images::backports()?.suite;
    let recipe = format!("{SOURCE} of {suite}\n{CONFIG}");
    let home = caisson_images::publish("guest-kernel", &recipe, |staging| {
        println!("building the guest kernel (kept in the cache)");
        build_kernel(&suite, staging)
    })?;
    Ok(home.join("vmlinux"))
}

fn build_kernel(suite: &str, staging: &Path) -> Result<(), ImageError> {
    let archive = caisson_images::unpacked(SOURCE, suite)?.join(format!("usr/src/{SOURCE}.tar.xz"));
    let tree = staging.join("tree");
    fs::create_dir(&tree).map_err(ImageError::io("create", &tree))?;
    let config = staging.join("guest.config");
    fs::write(&config, CONFIG).map_err(ImageError::io("write", &config))?;
    run(Command::new("tar")
        .args(["--strip-components=1", "-xf"])
        .arg(&archive)
        .arg("-C")
        .arg(&tree))?;
    let mut all = std::ffi::OsString::from("KCONFIG_ALLCONFIG=");
    all.push(&config);
    run(make(&tree).arg(all).arg("allnoconfig"))?;
    let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    run(make(&tree)
        .args(["KBUILD_BUILD_USER=caisson", "KBUILD_BUILD_HOST=caisson"])
        .arg(format!("-j{jobs}"))
        .arg("vmlinux"))?;
    let built = staging.join("vmlinux");
    fs::rename(tree.join("vmlinux"), &built).map_err(ImageError::io("rename to", &built))?;
    fs::remove_dir_all(&tree).map_err(ImageError::io("remove", &tree))
}

/// In a kernel tree. What else the machine does goes first: `xtask test` builds the kernel beside its tests.
fn make(tree: &Path) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", "19", "make", "-s", "-C"]).arg(tree);
    command
}

fn run(command: &mut Command) -> Result<(), ImageError> {
    let program = format!("{command:?}");
    let output = command.output().map_err(|source| ImageError::Spawn {
        program: program.clone(),
        source,
    })?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let from = text.len().saturating_sub(4000);
    Err(ImageError::Failed {
        program,
        status: output.status,
        output: text.get(from..).unwrap_or(&text).to_owned(),
    })
}

/// A folder with `vmlinux` and `initrd`, which the runtime finds beside its binaries.
pub(crate) fn files() -> Result<PathBuf> {
    let kernel = kernel()?;
    let agent = fs::read(agent()?).context("read the agent")?;
    let target = build::target_directory()?;
    let folder = target.join("guest");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let initrd = folder.join("initrd");
    fs::write(&initrd, ramdisk(&agent)).with_context(|| format!("write {}", initrd.display()))?;
    fs::copy(&kernel, folder.join("vmlinux"))
        .with_context(|| format!("copy {}", kernel.display()))?;
    for profile in ["debug", "release"] {
        let home = target.join(profile);
        fs::create_dir_all(&home).with_context(|| format!("create {}", home.display()))?;
        let link = home.join("caisson-guest");
        if !link.exists() {
            // A link to nowhere, or nothing.
            fs::remove_file(&link).ok();
            std::os::unix::fs::symlink("../guest", &link)
                .with_context(|| format!("link {}", link.display()))?;
        }
    }
    Ok(folder)
}

/// The agent alone.
fn ramdisk(agent: &[u8]) -> Vec<u8> {
    let mut archive = Archive::default();
    archive.directory("root");
    archive.file("init", agent);
    archive.finish()
}

/// A folder with Debian's cloud kernel as it is packaged, `vmlinuz`, and an `initrd` with the agent and the modules that it
/// loads: for the annotations `dev.caisson.vm.kernel` and `dev.caisson.vm.initrd`.
pub(crate) fn debian() -> Result<PathBuf> {
    let packaged = caisson_nested::guest_kernel()?;
    let agent = fs::read(agent()?).context("read the agent")?;
    let folder = build::target_directory()?.join("guest-debian");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    // The kernel takes several archives, one after the other.
    let modules = fs::read(&packaged.modules)
        .with_context(|| format!("read {}", packaged.modules.display()))?;
    let initrd = folder.join("initrd");
    fs::write(&initrd, [ramdisk(&agent), modules].concat())
        .with_context(|| format!("write {}", initrd.display()))?;
    fs::copy(&packaged.image, folder.join("vmlinuz"))
        .with_context(|| format!("copy {}", packaged.image.display()))?;
    Ok(folder)
}

/// Where the compiler finds a static library.
fn folder_of(library: &str) -> Result<PathBuf> {
    let output = Command::new("gcc")
        .arg(format!("-print-file-name={library}"))
        .output()
        .context("cannot run gcc")?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    // A library that it does not know comes back as it was given.
    let folder = path.parent().filter(|_| path.is_absolute());
    folder
        .map(Path::to_owned)
        .with_context(|| format!("there is no {library} (apt-get install libseccomp-dev)"))
}

/// The agent, which must not need a library: its root is nearly empty.
fn agent() -> Result<PathBuf> {
    let target = build::target_directory()?.join("agent");
    let status = build::cargo()
        .args(["build", "--locked", "--release", "--target", TARGET])
        .args(["--package", "caisson-agent", "--features", "seccomp"])
        .arg("--target-dir")
        .arg(&target)
        .env("LIBSECCOMP_LINK_TYPE", "static")
        .env("LIBSECCOMP_LIB_PATH", folder_of("libseccomp.a")?)
        .env(
            "RUSTFLAGS",
            "-C target-feature=+crt-static -C strip=symbols",
        )
        // Links grow with thin LTO, the ramdisk hardly shrinks.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s")
        .status()
        .context("cannot run cargo")?;
    ensure!(
        status.success(),
        "cargo build of the agent failed ({status})"
    );
    Ok(target.join(TARGET).join("release/caisson-agent"))
}
