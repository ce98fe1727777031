//! `config.json` of an OCI bundle: its shape ([`types`]), loading ([`load`]), the checks that refuse
//! what this runtime does not do ([`check`]), and its translation into what the sandbox understands
//! ([`process`]).
//!
//! Own structs rather than the `oci-spec` crate: a property that we do not support has to be *seen* to
//! be refused by name with its value, capabilities and namespace kinds newer than a crate's enum must
//! not become parse errors without a field name, and Go writes `null` where that crate expects a list.
//! Properties unknown to the specification are ignored, as it demands.

pub mod capability;
pub mod check;
pub mod default;
pub mod error;
pub mod home;
pub mod load;
pub mod memory_policy;
pub mod process;
pub mod rlimit;
pub mod schedule;
pub mod seccomp;
pub mod signal;
pub mod types;

pub use error::SpecError;
pub use load::{load, load_process};
pub use types::Spec;
