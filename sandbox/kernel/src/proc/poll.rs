//! poll(2) of a mount's files. Those that list mounts have news when a mount has come, gone or changed, as
//! proc_pid_mountinfo(5) says; all others can be read and written at any time.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use nix::errno::Errno;

use super::server::{Handle, Server, lock};
use super::tree::Tree;
use super::wire::{self, Request};

/// `FUSE_POLL_SCHEDULE_NOTIFY`, linux/fuse.h: somebody waits.
const SCHEDULE_NOTIFY: u32 = 1;
/// `DEFAULT_POLLMASK`, linux/poll.h.
const ALWAYS: u32 =
    (libc::POLLIN | libc::POLLOUT | libc::POLLRDNORM | libc::POLLWRNORM) as u16 as u32;
const READABLE: u32 = (libc::POLLIN | libc::POLLRDNORM) as u16 as u32;
const NEWS: u32 = (libc::POLLERR | libc::POLLPRI) as u16 as u32;

const STACK_BYTES: usize = 64 << 10;

/// Counts what happens to the mounts of a container's namespaces, and wakes who waits for that.
#[derive(Debug, Default)]
pub struct Changes {
    count: Mutex<u64>,
    changed: Condvar,
}

impl Changes {
    pub fn happened(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    /// Wait for more than `known`.
    fn wait(&self, known: u64) -> u64 {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let more = self.changed.wait_while(count, |count| *count == known);
        *more.unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Tree> Server<T> {
    /// What can be done with a file now. News are told once.
    pub(super) fn poll(&self, request: &Request<'_>) -> Result<Vec<u8>, Errno> {
        let mut fields = request.fields();
        let (number, kernels, flags) = (fields.u64()?, fields.u64()?, fields.u32()?);
        let reply = |events: u32| Ok(wire::Body::default().u32(events).u32(0).done());
        let node = match lock(&self.handles).open.get(&number) {
            Some(Handle::File { node, .. }) => *node,
            _ => return Err(Errno::EBADF),
        };
        if self.tree.mount_events(node).is_none() {
            return reply(ALWAYS);
        }
        if flags & SCHEDULE_NOTIFY != 0 {
            self.start_to_tell()?;
            if let Some(Handle::File { waiter, .. }) = lock(&self.handles).open.get_mut(&number) {
                *waiter = Some(kernels);
            }
        }
        // Only now, so that nothing is missed in between.
        let events = self.tree.mount_events(node).unwrap_or(0);
        match lock(&self.handles).open.get_mut(&number) {
            Some(Handle::File { seen, .. }) if *seen != events => {
                *seen = events;
                reply(READABLE | NEWS)
            }
            _ => reply(READABLE),
        }
    }

    /// From the first who waits on.
    fn start_to_tell(&self) -> Result<(), Errno> {
        let mut is_told = lock(&self.is_told);
        if *is_told {
            return Ok(());
        }
        let changes = self.tree.mount_changes().ok_or(Errno::EIO)?;
        let server = self.own.upgrade().ok_or(Errno::EIO)?;
        std::thread::Builder::new()
            .name("caisson-mountinfo".into())
            .stack_size(STACK_BYTES)
            .spawn(move || server.tell(&changes))
            .map_err(|_| Errno::EAGAIN)?;
        *is_told = true;
        Ok(())
    }

    /// Wake those who wait for what has changed, until the mount is gone.
    fn tell(&self, changes: &Arc<Changes>) {
        let mut known = 0;
        loop {
            known = changes.wait(known);
            let waiting: Vec<(u64, u64, u64)> = lock(&self.handles)
                .open
                .iter()
                .filter_map(|(number, handle)| match handle {
                    Handle::File {
                        node,
                        seen,
                        waiter: Some(_),
                        ..
                    } => Some((*number, *node, *seen)),
                    _ => None,
                })
                .collect();
            for (number, node, seen) in waiting {
                if self
                    .tree
                    .mount_events(node)
                    .is_none_or(|events| events == seen)
                {
                    continue;
                }
                let waiter = match lock(&self.handles).open.get_mut(&number) {
                    Some(Handle::File { waiter, .. }) => waiter.take(),
                    _ => None,
                };
                if let Some(waiter) = waiter
                    && wire::wake_poll(&self.device, waiter) == Err(Errno::ENODEV)
                {
                    return;
                }
            }
        }
    }
}
