//! Small bundles with busybox, run by `caisson` or by a reference runtime.
//!
//! [`Bundle`] is one bundle with a state folder of its own; [`Runtime`] says who runs it. What a field of the
//! specification does is asserted for caisson, and with [`reference::assert_agreed`] also against runc and crun
//! as far as they run on this host and agree with each other.

pub mod bundle;
pub mod reference;
mod runtime;

pub use bundle::{Bundle, Done, eventually};
pub use caisson_test_bundle::Tier;
pub use runtime::Runtime;
