//! Noticing that guest processes have ended.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::epoll;
use rustix::io::Errno;

use crate::task::{Process, Table};

/// An epoll set of pidfds, each with its host pid as data.
#[derive(Debug)]
pub struct Watch(OwnedFd);

impl Watch {
    pub fn new() -> Result<Watch, Errno> {
        epoll::create(epoll::CreateFlags::CLOEXEC).map(Watch)
    }

    /// Watch a process; one that is watched already stays so.
    pub fn add(&self, process: &Arc<Process>) {
        let data = epoll::EventData::new_u64(process.pid as u64);
        match epoll::add(&self.0, &process.pidfd, data, epoll::EventFlags::IN) {
            Ok(()) | Err(Errno::EXIST) => {}
            // Without a watch the entry lives until the sandbox ends: harmless but for its memory.
            Err(error) => tracing::warn!(pid = process.pid, %error, "cannot watch a guest process"),
        }
    }

    /// Remove all processes that have ended from the table. To be called when the set is readable.
    pub fn sweep(&self, table: &Table) {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(64);
        let now = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        loop {
            events.clear();
            match epoll::wait(
                &self.0,
                rustix::buffer::spare_capacity(&mut events),
                Some(&now),
            ) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            for event in &events {
                let pid = event.data.u64() as i32;
                if let Some(process) = table.process(pid) {
                    // A pidfd stays readable for ever once its process is gone.
                    epoll::delete(&self.0, &process.pidfd).ok();
                }
                table.remove_process(pid);
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
