//! Support for the tests of the shim: a private containerd for each test, and what must not be left.
//!
//! Every test runs once for each [`Release`] and [`Handler`]. Tests need root and Debian's containerd and runc. They
//! must clean up even when they fail, and must end only processes that they started.

mod config;
mod containerd;
pub mod cri;
mod ctr;
mod events;
mod handler;
mod leftovers;
mod release;

pub use config::Plugins;
pub use containerd::Containerd;
pub use ctr::{Ctr, Output};
pub use events::Events;
pub use handler::{Handler, binaries, each_handler, once};
pub use leftovers::assert_nothing_left;
pub use release::Release;

use std::time::{Duration, Instant};

pub use caisson_test_bundle::Tier;

/// Longest wait for anything that should happen at once.
pub const SOON: Duration = Duration::from_secs(10);

/// [`SOON`], for what needs a container of the tier under test.
#[must_use]
pub fn soon() -> Duration {
    Tier::current().patience(SOON)
}

/// Wait until `condition` holds.
///
/// # Panics
/// If it does not within [`soon`]; `what` says what was expected.
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    assert!(within(soon(), condition), "not within {:?}: {what}", soon());
}

/// Whether `condition` comes to hold before `limit`.
pub fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    condition()
}
