//! `caisson-vmm CONFIG`: the monitor as a program of its own; `caisson` runs the same under this name.

use std::process::ExitCode;

fn main() -> ExitCode {
    caisson_vmm::main(std::env::args_os().skip(1))
}
