//! What a hostile or broken driver does to a device.

/// Stops the device until the driver resets it; counted, and never fatal to the monitor.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// a ring or a descriptor lies outside of memory, or an index outside of its ring
    #[error("queue: {0}")]
    Queue(#[from] virtio_queue::Error),
    /// a buffer lies outside of memory
    #[error("memory: {0}")]
    Memory(#[from] vm_memory::GuestMemoryError),
    /// a chain has fewer bytes than the request consists of
    #[error("a request of {length} bytes, {needed} are needed")]
    Short {
        /// What the chain has.
        length: usize,
        /// What the request needs.
        needed: usize,
    },
    /// a chain has more bytes than any request consists of
    #[error("a request of {length} bytes, {limit} are possible")]
    Long {
        /// What the chain has.
        length: usize,
        /// What is taken.
        limit: usize,
    },
    /// a chain has no room for the answer
    #[error("a request without room for its answer")]
    NoAnswer,
    /// the driver notified a queue that the device does not have, or that is not set up
    #[error("queue {index} is not set up")]
    NoQueue {
        /// Which.
        index: usize,
    },
    /// memory to be given back is not whole pages of RAM
    #[error("{length} bytes at {address:#x} are not whole pages of memory")]
    NotPages {
        /// Where.
        address: u64,
        /// How much.
        length: u64,
    },
    /// reading or writing a chain failed
    #[error("chain: {0}")]
    Chain(#[from] std::io::Error),
}
