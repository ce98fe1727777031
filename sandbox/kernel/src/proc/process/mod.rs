//! /proc/PID and /proc/PID/task/TID.
//!
//! Exact and harmless text comes from the procfs instance of the guest's pid namespace; what shows the host
//! (ids of the host processes, the mount tree's sources, the loader) is replaced. Access follows Linux: mode
//! bits are checked by the host kernel, and files that need ptrace rights also by `access`.

mod access;
mod cgroup;
mod comm;
mod ids;
mod limits;
mod link;
mod maps;
mod mounts;
mod node;
mod stat;
mod status;
mod syscall;
mod table;
mod write;

pub(super) use access::{may_administrate, opener};
pub use comm::ThreadNames;
pub(super) use link::link;
pub use mounts::{Shown, shown};
pub(crate) use node::{MemoryFile, MemoryNode, lists_threads, memory_of_node};
pub(super) use node::{
    attributes, content, is_network, list, list_all, lister_of_mounts, lookup, open, or_gone,
};
pub(super) use write::write;
