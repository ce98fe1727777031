//! Linux's flag values that the argument rules and the app kernel's handlers need.
//!
//! Only what the table speaks of; handlers take the rest from libc or rustix.

pub mod clone;
pub mod fcntl;
pub mod ioctl;
pub mod prctl;
pub mod socket;

/// Signals that programs get in the middle of their work: SIGUSR1, SIGUSR2, SIGALRM, SIGCHLD, SIGVTALRM, SIGPROF, SIGIO.
pub const BUSY_SIGNALS: &[u32] = &[10, 12, 14, 17, 26, 27, 29];

/// In the unused sixth argument of mq_notify(2): the app kernel has a thread of the guest make the call.
pub const MQ_NOTIFY_MADE: u32 = 0x6d71_6e6f;

/// `execveat`, `statx` and others: act on the descriptor itself.
pub const AT_EMPTY_PATH: u32 = 0x1000;
