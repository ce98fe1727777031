//! Compiles what the crate embeds: sandbox/loader, which is freestanding and so needs flags of its own, and
//! the seccomp profile of the app kernel itself.

use std::path::Path;
use std::process::Command;

fn main() {
    build_loader();
    compile_profile();
}

fn compile_profile() {
    let mut profile = read_profile("kernel");
    write_program(&profile, "profile.bpf");
    let mut more = read_profile("kernel-mounts");
    let rules = |profile: &mut serde_json::Value, name: &str| {
        let rules = profile[name]["filter"].as_array_mut();
        std::mem::take(rules.expect("a list of rules"))
    };
    let mut all = rules(&mut profile, "kernel");
    all.append(&mut rules(&mut more, "kernel-mounts"));
    profile["kernel"]["filter"] = all.into();
    write_program(&profile, "profile-mounts.bpf");
}

fn read_profile(name: &str) -> serde_json::Value {
    let source = Path::new("../../seccomp-profiles").join(format!("{name}.json"));
    println!("cargo::rerun-if-changed={}", source.display());
    let text = std::fs::read_to_string(&source)
        .unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", source.display()))
}

fn write_program(profile: &serde_json::Value, name: &str) {
    let text = profile.to_string();
    let mut programs =
        seccompiler::compile_from_json(text.as_bytes(), seccompiler::TargetArch::x86_64)
            .expect("a sound profile");
    let program = programs.remove("kernel").expect("a filter named kernel");
    let bytes: Vec<u8> = program
        .iter()
        .flat_map(|i| {
            [
                i.code.to_ne_bytes().as_slice(),
                &[i.jt, i.jf],
                &i.k.to_ne_bytes(),
            ]
            .concat()
        })
        .collect();
    let out = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(Path::new(&out).join(name), bytes).expect("OUT_DIR is writable");
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
