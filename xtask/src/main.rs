//! `cargo xtask <command>`: what the Makefile, and through it the README, calls.
//!
//! Must never leave anything behind on the machine but installed packages, the target directory and the
//! image cache.

mod bench;
mod build;
mod containerd;
mod demo;
mod fuzz;
mod guest;
mod images;
mod interrupt;
mod nested;
mod packages;
mod test;
mod vm_tests;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask <command>

  demo                      run containers under a containerd of our own
  test                      run every test
  bench [quick|programs]    measure beside runc, crun and runsc; write docs/benchmarks.md
  bench vm                  measure micro-VMs alone, beside QEMU's, and print it
  fuzz [SECONDS] [WORD...]  run each fuzz target, or those that have a word in their names, for so long (60)
  build                     build caisson and the shim (release)
  guest-kernel              build the micro-VM's kernel and print where it is
  guest [debian]            build kernel and initial ramdisk of the micro-VM, or take Debian's cloud kernel
  packages                  install the Debian packages that are missing
  images [busybox|debian]   build the images and print where they are
  vm-tests [WORD...]        run the tests of the micro-VM tier; with words, those that have one in their names
  nested [OPTIONS] -- COMMAND...
                            run COMMAND in a machine with a true /dev/kvm that sees this one's files:
                            --memory MIB, --limit SECONDS, --results DIRECTORY (shared for writing)

CAISSON_BINARIES=<directory>  use the binaries in it instead of building them
CAISSON_GUEST_KERNEL=<file>    use this kernel in micro-VMs instead of building one
CAISSON_CACHE=<directory>     keep images there instead of ~/.cache/caisson";

fn main() -> ExitCode {
    match run() {
        Ok(status) => status,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let interrupted = interrupt::catch()?;
    match words.as_slice() {
        ["demo"] => demo::run()?,
        ["test"] => test::run(&interrupted)?,
        ["bench", "vm"] => bench::run_vm(&interrupted)?,
        ["bench", words @ ..] => bench::run(&bench::Effort::from_words(words)?, interrupted)?,
        ["build"] => println!("{}", build::release()?.display()),
        ["fuzz", words @ ..] => fuzz::run(words, &interrupted)?,
        ["guest-kernel"] => {
            packages::install()?;
            println!("{}", guest::kernel()?.display());
        }
        ["guest"] => {
            packages::install()?;
            println!("{}", guest::files()?.display());
        }
        ["guest", "debian"] => {
            packages::install()?;
            println!("{}", guest::debian()?.display());
        }
        ["packages"] => packages::install()?,
        ["images", names @ ..] => images::print(names)?,
        ["vm-tests", words @ ..] => return vm_tests::run(words, &interrupted),
        ["nested", words @ ..] => return nested::run(words, &interrupted),
        _ => anyhow::bail!("{USAGE}"),
    }
    Ok(ExitCode::SUCCESS)
}
