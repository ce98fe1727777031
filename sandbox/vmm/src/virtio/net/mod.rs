//! Network device: a tap of the host.

mod device;
mod tap;

pub use device::{Mac, Net};
pub use tap::{Tap, Wire};
