//! A file system, section 5.11 of the specification: FUSE requests of the guest, carried out by a process of their own
//! at the other end of a socket.

mod channel;
mod device;
mod flight;

pub use channel::{Channel, Packets};
pub use device::Fs;
