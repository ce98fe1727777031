//! `cargo xtask <command>`: what the Makefile, and through it the README, calls.
//!
//! Must never leave anything behind on the machine but installed packages, the target directory and the
//! image cache.

mod bench;
mod build;
mod containerd;
mod demo;
mod images;
mod interrupt;
mod packages;
mod test;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask <command>

  demo                      run containers under a containerd of our own
  test                      run every test
  bench [quick|programs]    measure beside runc, crun and runsc; write docs/benchmarks.md
  build                     build caisson and the shim (release)
  packages                  install the Debian packages that are missing
  images [busybox|debian]   build the images and print where they are

CAISSON_BINARIES=<directory>  use the binaries in it instead of building them
CAISSON_CACHE=<directory>     keep images there instead of ~/.cache/caisson";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = interrupt::catch().and_then(|interrupted| match words.as_slice() {
        ["demo"] => demo::run(),
        ["test"] => test::run(&interrupted),
        ["bench", words @ ..] => {
            bench::Effort::from_words(words).and_then(|effort| bench::run(&effort, interrupted))
        }
        ["build"] => build::release().map(|directory| println!("{}", directory.display())),
        ["packages"] => packages::install(),
        ["images", names @ ..] => images::print(names),
        _ => anyhow::bail!("{USAGE}"),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
