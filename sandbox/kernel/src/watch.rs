//! Noticing that guest processes have ended.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::Process;

const STACK_BYTES: usize = 64 << 10;

/// So long after the last end of a process, what was written down for children that did not come is looked for: it keeps
/// programs open, and mount namespaces.
const QUIET: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 500_000_000,
};

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

    /// Remove processes from `table` as they end, on a thread of its own: nothing else may hold that up. The host gives
    /// their ids to others before long, and who has the id of a known thread is taken for that thread.
    pub fn start(kernel: &Arc<Kernel>) -> std::io::Result<()> {
        let kernel = kernel.clone();
        std::thread::Builder::new()
            .name("caisson-watch".into())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let mut limit = None;
                loop {
                    if kernel.watch.sweep(&kernel, limit.as_ref()) {
                        limit = Some(QUIET);
                    } else if limit.take().is_some() {
                        kernel.forget_the_unborn();
                    }
                }
            })
            .map(drop)
    }

    /// Wait for processes that have ended, and remove them. Whether there were any.
    fn sweep(&self, kernel: &Kernel, limit: Option<&Timespec>) -> bool {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(64);
        let room = rustix::buffer::spare_capacity(&mut events);
        if let Err(error) = epoll::wait(&self.0, room, limit)
            && error != Errno::INTR
        {
            tracing::error!(%error, "watching guest processes failed; the sandbox ends");
            std::process::exit(crate::EXIT_BROKEN);
        }
        for event in &events {
            if let Some(process) = kernel.table.process(event.data.u64() as i32) {
                self.remove(kernel, &process);
            }
        }
        !events.is_empty()
    }

    /// Remove what has ended now: it may be known here a moment later than to its parent.
    pub fn catch_up(&self, kernel: &Kernel) {
        for process in kernel.table.processes() {
            self.remove(kernel, &process);
        }
    }

    /// If it has ended.
    fn remove(&self, kernel: &Kernel, process: &Arc<Process>) {
        if !process.has_ended() {
            return;
        }
        // A pidfd stays readable for ever once its process is gone.
        epoll::delete(&self.0, &process.pidfd).ok();
        kernel.table.remove_process(process);
        kernel.tracer.process_gone(process.pid, None);
        kernel.gate.pass(process.pid);
    }
}
