//! Compiles the seccomp profile of the server.

use std::path::Path;

/// seccomp-profiles/share.json becomes share.bpf: instructions as bytes in this machine's order.
fn main() {
    let source = "../../seccomp-profiles/share.json";
    println!("cargo::rerun-if-changed={source}");
    let text = std::fs::File::open(source).expect("the profile exists");
    let mut programs = seccompiler::compile_from_json(text, seccompiler::TargetArch::x86_64)
        .expect("a sound profile");
    let program = programs
        .remove("share")
        .expect("a filter of the process's name");
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
    std::fs::write(Path::new(&out).join("share.bpf"), bytes).expect("OUT_DIR is writable");
}
