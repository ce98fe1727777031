//! Looks at a running sandbox from the host: its processes, their rights and their filters.
//!
//! [`Sandbox`] is a running container of caisson with its guest processes. [`Tracee`] stops one of them
//! to read its seccomp filter, or to make a call with that filter suspended and so to see what the walls
//! behind it do.
//!
//! Must never: be used on a process that is not of a test's own container.

mod sandbox;
mod status;
mod tracee;

pub use sandbox::Sandbox;
pub use status::Status;
pub use tracee::Tracee;
