//! The memory-mapped transport, section 4.2 of the specification.

use std::io;
use std::sync::Arc;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use virtio_bindings::virtio_config::{
    VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FAILED, VIRTIO_CONFIG_S_FEATURES_OK,
    VIRTIO_CONFIG_S_NEEDS_RESET,
};
use virtio_bindings::virtio_mmio::{
    VIRTIO_MMIO_CONFIG, VIRTIO_MMIO_CONFIG_GENERATION, VIRTIO_MMIO_DEVICE_FEATURES,
    VIRTIO_MMIO_DEVICE_FEATURES_SEL, VIRTIO_MMIO_DEVICE_ID, VIRTIO_MMIO_DRIVER_FEATURES,
    VIRTIO_MMIO_DRIVER_FEATURES_SEL, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INTERRUPT_STATUS,
    VIRTIO_MMIO_MAGIC_VALUE, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, VIRTIO_MMIO_QUEUE_AVAIL_LOW,
    VIRTIO_MMIO_QUEUE_DESC_HIGH, VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_NOTIFY,
    VIRTIO_MMIO_QUEUE_NUM, VIRTIO_MMIO_QUEUE_NUM_MAX, VIRTIO_MMIO_QUEUE_READY,
    VIRTIO_MMIO_QUEUE_SEL, VIRTIO_MMIO_QUEUE_USED_HIGH, VIRTIO_MMIO_QUEUE_USED_LOW,
    VIRTIO_MMIO_SHM_LEN_HIGH, VIRTIO_MMIO_SHM_LEN_LOW, VIRTIO_MMIO_STATUS, VIRTIO_MMIO_VENDOR_ID,
    VIRTIO_MMIO_VERSION,
};
use virtio_queue::{Queue, QueueT};
use vm_memory::GuestAddressSpace;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::{Device, DeviceError, EVENT_INDEX, Guest, INDIRECT, Interrupt, VERSION_1};
use crate::bus::BusDevice;
use crate::memory::Ram;

/// Bytes of address space of one device.
pub(crate) const LENGTH: u64 = 0x1000;

/// Where a driver's write is a notification.
pub(crate) const NOTIFY_OFFSET: u64 = VIRTIO_MMIO_QUEUE_NOTIFY as u64;

const MAGIC: u32 = u32::from_le_bytes(*b"virt");
const VENDOR: u32 = u32::from_le_bytes(*b"CSSN");

/// The event of the host's descriptor; those of the queues are their numbers.
const HOST: u32 = u32::MAX;

/// A device behind the transport.
pub(crate) struct Transport {
    device: Box<dyn Device>,
    memory: Ram,
    queues: Vec<Queue>,
    kicks: Vec<Arc<EventFd>>,
    interrupt: Interrupt,
    status: u32,
    device_features_page: u32,
    driver_features_page: u32,
    driver_features: u64,
    queue_index: usize,
    active: bool,
    /// The host's descriptor became readable before the driver was there.
    host_pending: bool,
    /// How often the driver did something that stopped the device, and the first thing it was.
    errors: u64,
    first_error: Option<String>,
}

impl Transport {
    pub(crate) fn new(device: Box<dyn Device>, memory: Ram) -> io::Result<Transport> {
        let mut queues = Vec::new();
        let mut kicks = Vec::new();
        for size in device.queue_sizes() {
            queues.push(Queue::new(*size).map_err(io::Error::other)?);
            kicks.push(Arc::new(EventFd::new(EFD_NONBLOCK)?));
        }
        Ok(Transport {
            device,
            memory,
            queues,
            kicks,
            interrupt: Interrupt::new()?,
            status: 0,
            device_features_page: 0,
            driver_features_page: 0,
            driver_features: 0,
            queue_index: 0,
            active: false,
            host_pending: false,
            errors: 0,
            first_error: None,
        })
    }

    /// One event a queue, which KVM writes when the driver notifies it.
    pub(crate) fn kicks(&self) -> &[Arc<EventFd>] {
        &self.kicks
    }

    pub(crate) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    pub(crate) fn kind(&self) -> u32 {
        self.device.kind()
    }

    /// How often the driver broke the device, and how first.
    pub(crate) fn errors(&self) -> (u64, Option<&str>) {
        (self.errors, self.first_error.as_deref())
    }

    fn features(&self) -> u64 {
        self.device.features() | VERSION_1 | INDIRECT | EVENT_INDEX
    }

    fn register(&self, offset: u32) -> u32 {
        match offset {
            VIRTIO_MMIO_MAGIC_VALUE => MAGIC,
            VIRTIO_MMIO_VERSION => 2,
            VIRTIO_MMIO_DEVICE_ID => self.device.kind(),
            VIRTIO_MMIO_VENDOR_ID => VENDOR,
            VIRTIO_MMIO_DEVICE_FEATURES => page(self.features(), self.device_features_page),
            VIRTIO_MMIO_QUEUE_NUM_MAX => self
                .queues
                .get(self.queue_index)
                .map_or(0, |queue| queue.max_size().into()),
            VIRTIO_MMIO_QUEUE_READY => self
                .queues
                .get(self.queue_index)
                .map_or(0, |queue| queue.ready().into()),
            VIRTIO_MMIO_INTERRUPT_STATUS => self.interrupt.status(),
            VIRTIO_MMIO_STATUS => self.status,
            VIRTIO_MMIO_CONFIG_GENERATION => 0,
            // All ones: there is no such region. With 0 a driver would take one without bytes, and fail.
            VIRTIO_MMIO_SHM_LEN_LOW | VIRTIO_MMIO_SHM_LEN_HIGH => u32::MAX,
            _ => 0,
        }
    }

    fn set_register(&mut self, offset: u32, value: u32) {
        match offset {
            VIRTIO_MMIO_DEVICE_FEATURES_SEL => self.device_features_page = value,
            VIRTIO_MMIO_DRIVER_FEATURES_SEL => self.driver_features_page = value,
            VIRTIO_MMIO_DRIVER_FEATURES => self.set_driver_features(value),
            VIRTIO_MMIO_QUEUE_SEL => self.queue_index = value as usize,
            VIRTIO_MMIO_QUEUE_NOTIFY => {
                if let Some(kick) = self.kicks.get(value as usize) {
                    // Full means that it is notified already.
                    kick.write(1).ok();
                }
            }
            VIRTIO_MMIO_INTERRUPT_ACK => self.interrupt.acknowledge(value),
            VIRTIO_MMIO_STATUS => self.set_status(value & 0xff),
            _ => self.set_queue_register(offset, value),
        }
    }

    /// Queues may be changed only until the driver says that it is done.
    fn set_queue_register(&mut self, offset: u32, value: u32) {
        if self.active {
            return;
        }
        let Some(queue) = self.queues.get_mut(self.queue_index) else {
            return;
        };
        match offset {
            VIRTIO_MMIO_QUEUE_NUM => queue.set_size(u16::try_from(value).unwrap_or(0)),
            VIRTIO_MMIO_QUEUE_READY => queue.set_ready(value == 1),
            VIRTIO_MMIO_QUEUE_DESC_LOW => queue.set_desc_table_address(Some(value), None),
            VIRTIO_MMIO_QUEUE_DESC_HIGH => queue.set_desc_table_address(None, Some(value)),
            VIRTIO_MMIO_QUEUE_AVAIL_LOW => queue.set_avail_ring_address(Some(value), None),
            VIRTIO_MMIO_QUEUE_AVAIL_HIGH => queue.set_avail_ring_address(None, Some(value)),
            VIRTIO_MMIO_QUEUE_USED_LOW => queue.set_used_ring_address(Some(value), None),
            VIRTIO_MMIO_QUEUE_USED_HIGH => queue.set_used_ring_address(None, Some(value)),
            _ => {}
        }
    }

    fn set_driver_features(&mut self, value: u32) {
        if self.status & VIRTIO_CONFIG_S_FEATURES_OK != 0 {
            return;
        }
        let shift = match self.driver_features_page {
            0 => 0,
            1 => 32,
            _ => return,
        };
        let mask = u64::from(u32::MAX) << shift;
        self.driver_features = self.driver_features & !mask | u64::from(value) << shift;
    }

    fn set_status(&mut self, value: u32) {
        if value == 0 {
            self.reset();
            return;
        }
        // Only a reset takes bits away, and what the driver cannot set it cannot.
        let mut added = value & !self.status & !VIRTIO_CONFIG_S_NEEDS_RESET;
        let unknown = self.driver_features & !self.features() != 0;
        if added & VIRTIO_CONFIG_S_FEATURES_OK != 0
            && (unknown || self.driver_features & VERSION_1 == 0)
        {
            added &= !VIRTIO_CONFIG_S_FEATURES_OK;
        }
        self.status |= added;
        let failed = VIRTIO_CONFIG_S_FAILED | VIRTIO_CONFIG_S_NEEDS_RESET;
        if added & VIRTIO_CONFIG_S_DRIVER_OK != 0
            && self.status & VIRTIO_CONFIG_S_FEATURES_OK != 0
            && self.status & failed == 0
        {
            self.activate();
        }
    }

    fn activate(&mut self) {
        let memory = self.memory.memory();
        if let Some(index) = self
            .queues
            .iter()
            .position(|queue| queue.ready() && !queue.is_valid(&*memory))
        {
            self.fail(&DeviceError::NoQueue { index });
            return;
        }
        let event_index = self.driver_features & EVENT_INDEX != 0;
        for queue in &mut self.queues {
            queue.set_event_idx(event_index);
        }
        self.device.activate(self.driver_features);
        self.active = true;
        // What the driver made available before it was done.
        for kick in &self.kicks {
            kick.write(1).ok();
        }
    }

    fn reset(&mut self) {
        self.active = false;
        self.device.reset();
        for queue in &mut self.queues {
            queue.reset();
        }
        self.interrupt.acknowledge(u32::MAX);
        self.status = 0;
        self.driver_features = 0;
        self.device_features_page = 0;
        self.driver_features_page = 0;
        self.queue_index = 0;
    }

    /// The device stops until the driver resets it.
    fn fail(&mut self, error: &DeviceError) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
        self.active = false;
        self.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
        self.interrupt.configuration();
    }

    /// Lets the device do something, if it is set up.
    pub(crate) fn serve(
        &mut self,
        act: impl FnOnce(&mut dyn Device, &mut Guest<'_>) -> Result<(), DeviceError>,
    ) {
        if !self.active {
            return;
        }
        let memory = self.memory.memory();
        let mut guest = Guest {
            memory: &memory,
            queues: &mut self.queues,
            interrupt: &self.interrupt,
            kicks: &self.kicks,
        };
        if let Err(error) = act(self.device.as_mut(), &mut guest) {
            self.fail(&error);
        }
    }

    /// The driver has notified queue `index`.
    pub(crate) fn notified(&mut self, index: usize) {
        if self.queues.get(index).is_some_and(QueueT::ready) {
            self.serve(|device, guest| device.notified(index, guest));
        }
    }
}

/// 32 bits of the features.
fn page(features: u64, page: u32) -> u32 {
    match page {
        0 => (features & u64::from(u32::MAX)) as u32,
        1 => (features >> 32) as u32,
        _ => 0,
    }
}

impl BusDevice for Transport {
    fn read(&mut self, offset: u64, data: &mut [u8]) {
        let Ok(offset) = u32::try_from(offset) else {
            return;
        };
        if let Some(offset) = offset.checked_sub(VIRTIO_MMIO_CONFIG) {
            data.fill(0);
            self.device.read_config(offset as usize, data);
        } else if let Ok(word) = <&mut [u8; 4]>::try_from(data) {
            *word = self.register(offset).to_le_bytes();
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        let Ok(offset) = u32::try_from(offset) else {
            return;
        };
        if let Some(offset) = offset.checked_sub(VIRTIO_MMIO_CONFIG) {
            self.device.write_config(offset as usize, data);
        } else if let Ok(word) = <[u8; 4]>::try_from(data) {
            self.set_register(offset, u32::from_le_bytes(word));
        }
    }
}

impl MutEventSubscriber for Transport {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        let mut add = |events: Events| {
            if let Err(error) = ops.add(events) {
                eprintln!("caisson-vmm: device {}: {error}", self.device.kind());
            }
        };
        for (index, kick) in (0..).zip(&self.kicks) {
            add(Events::with_data(kick.as_ref(), index, EventSet::IN));
        }
        if let Some(descriptor) = self.device.host_descriptor() {
            let edge = EventSet::IN | EventSet::EDGE_TRIGGERED;
            add(Events::with_data_raw(descriptor, HOST, edge));
        }
    }

    fn process(&mut self, events: Events, _ops: &mut EventOps<'_>) {
        if events.data() == HOST {
            self.host_pending = true;
        }
        if self.host_pending && self.active {
            self.host_pending = false;
            self.serve(|device, guest| device.host_ready(guest));
        }
        if events.data() == HOST {
            return;
        }
        let index = events.data() as usize;
        if let Some(kick) = self.kicks.get(index) {
            // Only this thread reads it.
            kick.read().ok();
            self.notified(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use vm_memory::GuestMemoryMmap;

    use super::*;
    use crate::virtio::rng::Rng;

    #[test]
    fn there_are_no_shared_memory_regions() {
        let memory = Ram::new(GuestMemoryMmap::new());
        let mut transport = Transport::new(Box::new(Rng), memory).expect("event descriptors");
        for register in [VIRTIO_MMIO_SHM_LEN_LOW, VIRTIO_MMIO_SHM_LEN_HIGH] {
            let mut length = [0; 4];
            transport.read(register.into(), &mut length);
            assert_eq!(length, [0xff; 4]);
        }
    }
}
