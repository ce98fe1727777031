//! The unsafe layer of the kernel tier.
//!
//! Everything that needs `unsafe`, raw syscalls or a byte view of a C struct lives here, behind safe
//! functions: the seccomp notification interface ([`notify`]), a guest's memory ([`memory`]), register
//! surgery under ptrace ([`surgery`]), the making of guest processes ([`guest`]), per-thread
//! credentials ([`credentials`]) and the C structs that are copied to and from guests ([`layout`]).
//!
//! Must never: decide policy, or keep state about a sandbox.

pub mod affinity;
pub mod allocator;
pub mod cache;
pub mod confine;
pub mod credentials;
pub mod descriptor;
pub mod device_filter;
pub mod file;
pub mod guest;
pub mod landlock;
pub mod layout;
pub mod limit;
pub mod loopback;
pub mod memory;
pub mod mount_attributes;
pub mod mount_list;
pub mod mqueue;
pub mod namespace;
pub mod notify;
pub mod passing;
pub mod path;
pub mod process;
pub mod procfs;
pub mod raw;
pub mod scheduling;
pub mod seclusion;
pub mod signal;
pub mod socket;
pub mod surgery;
pub mod sysv;
pub mod trace;
pub mod tsc;
pub mod user_namespace;
