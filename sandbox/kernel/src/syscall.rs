//! The handlers of emulated calls, one file a family, one function a call, named as in the syscall table.
//!
//! A handler parses its arguments into types, then acts with the guest's rights. It copies guest memory
//! exactly once, and never lets a call continue natively after it looked at a pointer.

pub mod aio;
pub mod attributes;
pub mod capability;
pub mod cred;
pub mod cwd;
pub mod directory;
pub mod exec;
pub mod foreign;
pub mod handle;
pub mod io;
pub mod ioctl;
mod iovec;
pub mod ipc;
pub mod limits;
pub mod mount;
pub mod namespace;
pub mod notify;
pub mod open;
pub mod prctl;
pub mod process;
pub mod ptrace;
pub mod schedule;
pub mod signal;
pub mod socket;
pub mod splice;
pub mod stat;
pub mod system;
pub mod wait;
pub mod xattr;
