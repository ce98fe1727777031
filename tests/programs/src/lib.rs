//! Runs scripts/<name>.sh in the Debian image under both runtimes: the output must be the same.
//!
//! A script prints nothing that depends on time, pids or scheduling. [`Program`] is one of them with its
//! user and deadline; [`Pod`] is a network namespace with a way in from the host.
//!
//! Must never: reach the network outside the machine, or leave a namespace or interface behind.

mod pod;
mod program;

pub use pod::Pod;
pub use program::{Program, Report};
