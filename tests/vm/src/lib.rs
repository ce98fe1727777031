//! Guests for the tests of the micro-VM tier, and how the tests get a true `/dev/kvm`.
//!
//! The tests themselves are in `tests/machine.rs` and the modules beside it. Where the host's KVM can run an ordinary
//! kernel they run directly; elsewhere the test program runs itself in one nested machine.

pub mod guest;
pub mod host;
