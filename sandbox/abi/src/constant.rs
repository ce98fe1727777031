//! Linux's flag values that the argument rules and the app kernel's handlers need.
//!
//! Only what the table speaks of; handlers take the rest from libc or rustix.

pub mod clone;
pub mod fcntl;
pub mod ioctl;
pub mod prctl;
pub mod socket;

/// `execveat`, `statx` and others: act on the descriptor itself.
pub const AT_EMPTY_PATH: u32 = 0x1000;
