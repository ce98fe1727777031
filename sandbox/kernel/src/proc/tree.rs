//! A tree of synthetic files, as the server of a mount sees it.
//!
//! Node numbers carry everything needed to find the node again, so nothing has to be remembered between
//! LOOKUP and FORGET. A tree must never walk a path of the container: the caller waits inside the host
//! kernel and may hold locks of exactly that path.

use std::sync::Arc;

use nix::errno::Errno;

use super::poll::Changes;
use super::view::{Ids, Walker};
use super::wire::{Attributes, Item};

/// Who asks.
pub(super) struct Caller {
    /// fsuid and fsgid of the calling thread.
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// What the thread does for a guest, if it is one of the app kernel's.
    pub(super) walker: Option<Arc<Walker>>,
}

/// The rights with which a file was opened; looked at again whenever its content is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Opener {
    /// Guest process, 0 if the file was opened by the app kernel for itself.
    pub(super) pid: u32,
    /// Guest thread.
    pub(super) tid: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) capabilities: u64,
    /// What the process was when it opened a file about itself.
    pub(super) own: Option<Own>,
}

/// A process with the rights it has: a number alone may later be another process, or the same with more rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Own {
    /// As of [`Rights`](super::view::Rights).
    pub(super) serial: u64,
    pub(super) uid: Ids,
    pub(super) gid: Ids,
    pub(super) permitted: u64,
}

pub(super) trait Tree: Send + Sync + 'static {
    fn lookup(&self, parent: u64, name: &str) -> Result<Attributes, Errno>;
    fn attributes(&self, node: u64) -> Result<Attributes, Errno>;
    fn link(&self, node: u64, caller: &Caller) -> Result<Vec<u8>, Errno>;
    /// Checks what mode bits cannot say; `write` if the file is opened for writing.
    fn open(&self, node: u64, caller: &Caller, access: Access) -> Result<Opener, Errno>;
    fn content(&self, node: u64, opener: &Opener) -> Result<Vec<u8>, Errno>;
    fn write(&self, node: u64, opener: &Opener, caller: &Caller, data: &[u8]) -> Result<(), Errno>;
    fn list(&self, node: u64) -> Result<Vec<Item>, Errno>;
    /// How often mounts have changed that this file lists; `None` for files that list none.
    fn mount_events(&self, node: u64) -> Option<u64> {
        let _ = node;
        None
    }
    fn mount_changes(&self) -> Option<Arc<Changes>> {
        None
    }
    /// What creating a name gives: procfs and sysfs differ.
    fn creation_error(&self) -> Errno;
    /// The walk of an app kernel thread.
    fn walker(&self, tid: u32) -> Option<Arc<Walker>>;
    /// Follows the container into its network namespace; called on a serving thread until it gives true.
    fn settle(&self) -> bool;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// A listing as readdir(3) shows it. Programs do not look at the inode of `..`.
pub(super) fn with_dots(number: u64, items: Vec<Item>) -> Vec<Item> {
    let dot = |name: &str| Item {
        name: name.to_owned(),
        node: number,
        kind: libc::DT_DIR,
    };
    [dot("."), dot("..")].into_iter().chain(items).collect()
}
