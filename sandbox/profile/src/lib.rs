//! Compiles the seccomp profiles of our own processes, seccomp-profiles/, into the crates that carry them.
//!
//! For build scripts: what is wrong with a profile ends the build, with the file's name.

use std::collections::HashMap;
use std::path::Path;

use seccompiler::{BpfProgram, TargetArch};
use serde_json::Value;

/// Write the program of `seccomp-profiles/<name>.json` to `<name>.bpf` in `OUT_DIR`: instructions of
/// `struct sock_filter`, as bytes in this machine's order.
///
/// # Panics
///
/// On a profile that cannot be read or is not one; see [`compile_joined`].
pub fn compile(name: &str) {
    compile_joined(&[name], name);
}

/// The same for one program, `<program>.bpf`, with the rules of all the profiles `names`; what happens to
/// calls that no rule names is the first one's.
///
/// # Panics
///
/// On a profile that cannot be read, holds no filter of its own name, or cannot be compiled.
pub fn compile_joined(names: &[&str], program: &str) {
    let (first, others) = names.split_first().expect("a profile");
    let mut profile = read(first);
    for name in others {
        let mut more = rules(&mut read(name), name);
        let mut all = rules(&mut profile, first);
        all.append(&mut more);
        profile[*first]["filter"] = all.into();
    }
    let out = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    let path = Path::new(&out).join(format!("{program}.bpf"));
    std::fs::write(&path, bytes(&program_of(&profile, first)))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn read(name: &str) -> Value {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../seccomp-profiles")
        .join(format!("{name}.json"));
    println!("cargo::rerun-if-changed={}", source.display());
    let text = std::fs::read_to_string(&source)
        .unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", source.display()))
}

fn rules(profile: &mut Value, name: &str) -> Vec<Value> {
    let rules = profile[name]["filter"].as_array_mut();
    std::mem::take(rules.unwrap_or_else(|| panic!("{name}.json: no list {name}.filter")))
}

fn program_of(profile: &Value, name: &str) -> BpfProgram {
    let text = profile.to_string();
    let programs: Result<HashMap<String, BpfProgram>, _> =
        seccompiler::compile_from_json(text.as_bytes(), TargetArch::x86_64);
    programs
        .unwrap_or_else(|error| panic!("{name}.json: {error}"))
        .remove(name)
        .unwrap_or_else(|| panic!("{name}.json: no filter {name}"))
}

fn bytes(program: &BpfProgram) -> Vec<u8> {
    let instruction = |i: &seccompiler::sock_filter| {
        let mut bytes = i.code.to_ne_bytes().to_vec();
        bytes.extend([i.jt, i.jf]);
        bytes.extend(i.k.to_ne_bytes());
        bytes
    };
    program.iter().flat_map(instruction).collect()
}
