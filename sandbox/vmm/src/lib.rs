//! The micro-VM monitor.
//!
//! [`run`] boots the kernel that a [`Config`] names, with virtio-mmio devices that it finds on its command line,
//! and returns when the guest has ended. One thread serves all devices and the control socket, and one thread
//! runs each virtual CPU. [`main`] is the process `caisson-vmm`.
//!
//! Everything that the guest writes is hostile: what it gets wrong is a [`DeviceError`], which stops the device
//! and is counted, never a panic. Must never: trust a length, an index or an address from guest memory, or
//! look at the same field of it twice.

mod boot;
mod bus;
mod config;
mod control;
mod error;
pub mod jail;
mod legacy;
mod machine;
mod memory;
mod program;
mod shared;
mod sizes;
mod threads;
mod vcpu;
pub mod virtio;

pub use config::{Config, Disk, Fs, Jail, Serial, Tap, Vsock};
pub use error::VmmError;
pub use machine::run;
pub use program::main;
pub use shared::End;
pub use virtio::DeviceError;
