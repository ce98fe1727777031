//! A device's interrupt line and what it stands for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

const USED_BUFFERS: u32 = 1;
const CONFIGURATION: u32 = 2;

/// KVM raises the line when the event is written.
#[derive(Debug, Clone)]
pub struct Interrupt {
    event: Arc<EventFd>,
    status: Arc<AtomicU32>,
}

impl Interrupt {
    /// # Errors
    /// When no event descriptor can be had.
    pub fn new() -> io::Result<Interrupt> {
        Ok(Interrupt {
            event: Arc::new(EventFd::new(EFD_NONBLOCK)?),
            status: Arc::default(),
        })
    }

    /// The device has used buffers.
    pub fn used_buffers(&self) {
        self.raise(USED_BUFFERS);
    }

    /// The device's configuration space or status has changed.
    pub fn configuration(&self) {
        self.raise(CONFIGURATION);
    }

    pub(crate) fn event(&self) -> &EventFd {
        &self.event
    }

    pub(crate) fn status(&self) -> u32 {
        self.status.load(Ordering::SeqCst)
    }

    pub(crate) fn acknowledge(&self, bits: u32) {
        self.status.fetch_and(!bits, Ordering::SeqCst);
    }

    fn raise(&self, bit: u32) {
        self.status.fetch_or(bit, Ordering::SeqCst);
        // It fails only when the counter is full, and then the line is raised already.
        self.event.write(1).ok();
    }
}
