//! Runs the guest program's families of system calls under both runtimes and compares what they print.
//!
//! The guest program (guest/*.c) prints one line a call, `family::call.tag ret=… errno=…`, free of
//! anything that may differ between two runs. [`Family`] runs one of them, [`compare`] finds the lines
//! that differ. What the sandbox does differently on purpose is in [`departures`], with the reason.
//!
//! Must never: take a difference for expected that neither the table nor a departure states.

mod compare;
mod departures;
mod family;
mod fixture;
mod storm;

use std::path::Path;

pub use compare::{Difference, Measure, compare, lines};
pub use family::{Family, PLAIN_FAMILIES};
pub use fixture::{GUEST, of_family};
pub use storm::Storm;

/// The static guest program that the build script made.
#[must_use]
pub fn guest_program() -> &'static Path {
    Path::new(concat!(env!("OUT_DIR"), "/syscall-guest"))
}
