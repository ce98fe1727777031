//! Serves files of the host to one micro-VM: `caisson-share`.
//!
//! The guest's kernel sends FUSE requests through its virtio-fs device; the monitor, which may touch no file, hands
//! them on over a socket ([`caisson_wire::share`]), and this process carries them out ([`Server`]). What it serves are
//! *shares*, detached mounts that it is given as descriptors, each a name in the root of the guest's file system.
//!
//! A guest names files by number and by one name within a directory at a time, and the server follows no symbolic link,
//! so that there is no path that could lead out of a share; a detached mount has nothing above its root. What the
//! process can reach beside its shares, its [`jail`] takes away.
//!
//! It must never: follow what a guest wrote as a path, open anything but regular files and directories, or trust a
//! number or a length of a request.

mod handle;
mod identity;
pub mod jail;
mod node;
mod nodes;
mod program;
mod protocol;
mod serve;
mod server;
#[cfg(test)]
mod tests;

pub use program::main;
pub use server::{Server, ShareError};
