//! Entropy device: the host's random bytes.

mod device;

pub use device::Rng;
