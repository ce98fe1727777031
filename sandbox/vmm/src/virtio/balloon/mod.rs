//! Memory balloon: gives memory that the guest does not need back to the host, by its own report or on request.

mod device;

pub use device::{Balloon, Size};
