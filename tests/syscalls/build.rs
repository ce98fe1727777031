//! Builds the static guest program of the tests from guest/*.c.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=guest");
    let output = PathBuf::from(env::var_os("OUT_DIR").expect("OUT_DIR")).join("syscall-guest");
    let mut sources: Vec<PathBuf> = std::fs::read_dir("guest")
        .expect("list guest/")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension() == Some("c".as_ref()))
        .collect();
    sources.sort();
    // Bad pointers are the point of these programs.
    let warnings = ["-Wall", "-Wextra", "-Wno-nonnull", "-Wno-unused-result"];
    let status = Command::new("gcc")
        .args(["-static", "-O1", "-pthread"])
        .args(warnings)
        .arg("-o")
        .arg(output)
        .args(sources)
        .status()
        .expect("gcc is needed to build the guest program: apt-get install gcc libc6-dev");
    assert!(status.success(), "gcc failed: {status}");
}
