//! One writer at a time for each container.

use std::fs::File;

use rustix::fs::{FlockOperation, flock};

/// An exclusive flock(2) on the container's `lock` file; gone with the process that holds it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(file: File) -> std::io::Result<Lock> {
        loop {
            match flock(&file, FlockOperation::LockExclusive) {
                Err(rustix::io::Errno::INTR) => {}
                other => return other.map(|()| Lock { _file: file }).map_err(Into::into),
            }
        }
    }
}
