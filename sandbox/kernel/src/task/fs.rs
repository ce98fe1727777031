//! Root directory, working directory and file mode creation mask of a process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::mounts::Namespace;

/// A directory that a process stands on, held open (`O_PATH`) so that it stays what it is when it is
/// renamed or mounted over.
#[derive(Debug)]
pub struct Directory(OwnedFd);

impl Directory {
    pub fn new(fd: OwnedFd) -> Arc<Directory> {
        Arc::new(Directory(fd))
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What `CLONE_FS` shares, see clone(2).
#[derive(Clone, Debug)]
pub struct Fs {
    pub root: Arc<Directory>,
    pub cwd: Arc<Directory>,
    pub umask: u32,
    /// The mount namespace, if not the container's own. It belongs here because who leaves it shares none of the rest.
    pub mounts: Option<Arc<Namespace>>,
}
