//! Block device: a file of the host as a disk.

mod device;
mod request;

pub use device::Block;
