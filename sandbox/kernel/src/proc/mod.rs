//! The synthetic /proc and /sys of a container, served over FUSE by threads of this process.
//!
//! Guest paths are walked by the host kernel, so /proc has to be a filesystem that it can walk: lookups and reads
//! come here as FUSE requests. [`mount`] starts a tree; [`Guests`] is how the rest of the kernel tells it about the
//! guest. Code here must never touch a path of the container and never wait for a lock that is held across a
//! filesystem call: the thread that holds it may be the one that waits for the answer.

mod context;
mod host;
mod inode;
mod limits;
mod mount;
mod names;
mod netlink;
mod outside;
mod poll;
mod process;
mod procfs;
mod server;
mod sys_tree;
mod sysfs;
mod system;
mod tree;
mod view;
mod wire;

#[cfg(test)]
mod tests;

pub(crate) use inode::process_of_node;
pub use limits::Memory;
pub use mount::{Kind, Protection, ServerHandle, mount, open_device as open_fuse};
pub use outside::Outside;
pub use poll::Changes;
pub(crate) use process::{MemoryFile, MemoryNode, lists_threads, memory_of_node};
pub use process::{Shown, ThreadNames, shown as shown_mount};
pub(crate) use system::FILESYSTEMS;
pub use system::Load;
pub use view::{
    CapabilityMasks, CgroupVersion, Guests, Ids, MAGIC_LINK, MagicKind, MagicLink, Network,
    ProcessFacts, Rights, SystemFacts, WalkMode, Walker,
};
pub(crate) use wire::ROOT_ID;

/// For [`crate::fuzzing`].
pub(crate) fn decode_request(bytes: &[u8]) {
    // The length is the host's to write, and right.
    let mut whole = bytes.to_vec();
    if let Some(length) = whole.first_chunk_mut::<4>() {
        *length = (bytes.len() as u32).to_le_bytes();
    }
    for message in [bytes, &whole] {
        let Ok(request) = wire::Request::parse(message) else {
            continue;
        };
        std::hint::black_box(request.has_no_reply());
        std::hint::black_box(request.read_arguments().is_ok());
        std::hint::black_box(wire::init(&request).is_ok());
        std::hint::black_box(wire::no_attribute_names(&request).is_ok());
        let mut fields = request.fields();
        while fields.name().is_ok_and(|name| !name.is_empty()) {}
        while fields.u32().is_ok() {}
    }
}
