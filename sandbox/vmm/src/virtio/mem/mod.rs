//! Memory that the guest is given, and asked to give back, while it runs.

mod device;

pub use device::{BLOCK_BYTES, Blocks, Mem, Size};
