//! What the guest has open.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use crate::node::Node;

/// A file or directory that is open.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) fd: OwnedFd,
    /// Keeps the node's descriptor: what is open stays known even if it is removed.
    _node: Arc<Node>,
    /// Of a directory: the offset from which the descriptor reads next, if that is known.
    pub(crate) position: Mutex<Option<u64>>,
}

/// Open files by the numbers that the guest was given.
pub(crate) struct Handles {
    inner: Mutex<Inner>,
    limit: usize,
}

#[derive(Default)]
struct Inner {
    open: HashMap<u64, Arc<Handle>>,
    last: u64,
}

impl Handles {
    /// At most `limit` at a time.
    pub(crate) fn new(limit: usize) -> Handles {
        Handles {
            inner: Mutex::default(),
            limit,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, fd: OwnedFd, node: Arc<Node>) -> Result<u64, Errno> {
        let mut inner = self.lock();
        if inner.open.len() >= self.limit {
            return Err(Errno::NFILE);
        }
        inner.last += 1;
        let handle = Handle {
            fd,
            _node: node,
            position: Mutex::new(Some(0)),
        };
        let number = inner.last;
        inner.open.insert(number, Arc::new(handle));
        Ok(number)
    }

    pub(crate) fn find(&self, number: u64) -> Result<Arc<Handle>, Errno> {
        self.lock().open.get(&number).cloned().ok_or(Errno::BADF)
    }

    pub(crate) fn close(&self, number: u64) {
        self.lock().open.remove(&number);
    }

    pub(crate) fn clear(&self) {
        self.lock().open.clear();
    }
}
