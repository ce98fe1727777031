//! Compiles what the crate embeds: sandbox/loader, which is freestanding and so needs flags of its own, and
//! the seccomp profiles of the app kernel itself.

use std::path::Path;
use std::process::Command;

fn main() {
    build_loader();
    caisson_profile::compile("kernel");
    caisson_profile::compile_joined(&["kernel", "kernel-mounts"], "kernel-with-mounts");
}

fn build_loader() {
    let source = Path::new("../loader/src");
    println!("cargo::rerun-if-changed={}", source.display());
    let out = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    let binary = Path::new(&out).join("loader");
    let rustc = std::env::var_os("RUSTC").expect("cargo sets RUSTC");
    let status = Command::new(rustc)
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "bin",
            "--crate-name",
            "caisson_loader",
        ])
        .args([
            "-C",
            "panic=abort",
            "-C",
            "opt-level=s",
            "-C",
            "lto=fat",
            "-C",
            "strip=symbols",
        ])
        .args([
            "-C",
            "relocation-model=pie",
            "-C",
            "target-feature=+crt-static",
        ])
        .args([
            "-C",
            "link-arg=-nostartfiles",
            "-C",
            "link-arg=-nostdlib",
            "-C",
            "link-arg=-static-pie",
        ])
        .args([
            "-C",
            "link-arg=-Wl,-z,noexecstack,--build-id=none,-z,max-page-size=4096,--no-eh-frame-hdr",
        ])
        .arg("-o")
        .arg(&binary)
        .arg(source.join("main.rs"))
        .status()
        .expect("rustc runs");
    assert!(status.success(), "the loader does not compile");
}
