//! Which device answers at which address.

use std::sync::{Arc, Mutex, PoisonError};

/// A device that the guest reads and writes.
pub(crate) trait BusDevice: Send {
    /// Fills `data` with what is at `offset` within the device's range.
    fn read(&mut self, offset: u64, data: &mut [u8]);
    fn write(&mut self, offset: u64, data: &[u8]);
}

struct Range {
    start: u64,
    length: u64,
    device: Arc<Mutex<dyn BusDevice>>,
}

/// The I/O ports or the memory-mapped devices of a machine.
#[derive(Default)]
pub(crate) struct Bus {
    ranges: Vec<Range>,
}

impl Bus {
    pub(crate) fn add(&mut self, start: u64, length: u64, device: Arc<Mutex<dyn BusDevice>>) {
        self.ranges.push(Range {
            start,
            length,
            device,
        });
    }

    /// Where no device is, all bits are set.
    pub(crate) fn read(&self, address: u64, data: &mut [u8]) {
        match self.find(address) {
            Some((range, offset)) => lock(&range.device).read(offset, data),
            None => data.fill(0xff),
        }
    }

    pub(crate) fn write(&self, address: u64, data: &[u8]) {
        if let Some((range, offset)) = self.find(address) {
            lock(&range.device).write(offset, data);
        }
    }

    fn find(&self, address: u64) -> Option<(&Range, u64)> {
        self.ranges.iter().find_map(|range| {
            let offset = address.checked_sub(range.start)?;
            (offset < range.length).then_some((range, offset))
        })
    }
}

/// A thread that panicked ends the process, so that there is nothing half done behind a poisoned lock.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
