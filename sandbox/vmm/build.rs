//! Compiles the seccomp profiles of the monitor's threads.

use std::path::Path;

fn main() {
    for thread in ["devices", "vcpu"] {
        compile(thread);
    }
}

/// seccomp-profiles/vmm-<thread>.json becomes <thread>.bpf: instructions as bytes in this machine's order.
fn compile(thread: &str) {
    let source = format!("../../seccomp-profiles/vmm-{thread}.json");
    println!("cargo::rerun-if-changed={source}");
    let text = std::fs::File::open(&source).expect("the profile exists");
    let mut programs = seccompiler::compile_from_json(text, seccompiler::TargetArch::x86_64)
        .expect("a sound profile");
    let program = programs
        .remove(thread)
        .expect("a filter of the thread's name");
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
    let path = Path::new(&out).join(format!("{thread}.bpf"));
    std::fs::write(path, bytes).expect("OUT_DIR is writable");
}
