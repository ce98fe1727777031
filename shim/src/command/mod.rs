//! The shim's own commands, one file each: what containerd runs, and the serving process.

pub(crate) mod delete;
pub(crate) mod hold;
pub(crate) mod info;
pub(crate) mod serve;
pub(crate) mod start;
