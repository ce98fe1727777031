//! Runs the same OCI bundle under a reference runtime (runc, the host kernel itself) and under caisson.
//!
//! A [`Bundle`] is a scratch directory with an overlay over an image's tree and a `config.json`;
//! [`Container`] is one run of it by a [`Runtime`]. Everything made here is undone when dropped, also
//! when a test panics. Failures of the machinery panic with what was tried: this crate is for tests only.
//!
//! Must never: leave a container, mount or directory behind, or skip a runtime that is missing.

mod bundle;
mod config;
mod console;
mod container;
mod runtime;
mod scratch;
mod tier;

pub use bundle::Bundle;
pub use config::{Config, User};
pub use console::{Console, Step};
pub use container::{Container, Outcome, run};
pub use runtime::{Runtime, caisson, reference, runtimes, runtimes_and_transports};
pub use scratch::Scratch;
pub use tier::Tier;
