//! The device's model.

use std::io::{ErrorKind, Read};
use std::os::fd::RawFd;

use caisson_wire::share::{AnswerHeader, MAX_FUSE_BYTES, RequestHeader};
use virtio_bindings::virtio_ids::VIRTIO_ID_FS;
use virtio_queue::{DescriptorChain, QueueT};

use super::channel::Packets;
use super::flight::{Answered, Flight, Waiting};
use crate::virtio::{BUDGET, Device, DeviceError, Guest, copy_config};

/// The queue of requests that must not wait for others, then that of all others.
const QUEUE_SIZES: &[u16] = &[128, 256];

/// Bytes of the tag in the configuration space.
const TAG_BYTES: usize = 36;

/// So many requests are under way at a time, whatever rings that lie over each other offer.
const MAX_FLIGHT: usize = 384;

/// Told when the server has gone, after which no file system is left.
pub type OnLost = Box<dyn FnMut(&str) + Send>;

/// A file system whose requests a server carries out.
pub struct Fs<P: Packets> {
    channel: P,
    tag: [u8; TAG_BYTES],
    flight: Flight,
    /// A request that the server had no room for; it goes before all others.
    unsent: Option<Vec<u8>>,
    request: Vec<u8>,
    answer: Vec<u8>,
    on_lost: OnLost,
    lost: bool,
}

impl<P: Packets> Fs<P> {
    /// The guest finds it by `tag`, which is cut at 36 bytes.
    pub fn new(channel: P, tag: &str, on_lost: OnLost) -> Fs<P> {
        let mut padded = [0; TAG_BYTES];
        for (to, from) in padded.iter_mut().zip(tag.bytes()) {
            *to = from;
        }
        Fs {
            channel,
            tag: padded,
            flight: Flight::default(),
            unsent: None,
            request: Vec::new(),
            answer: vec![0; AnswerHeader::BYTES + MAX_FUSE_BYTES],
            on_lost,
            lost: false,
        }
    }

    fn lose(&mut self, why: &str) {
        if !self.lost {
            self.lost = true;
            (self.on_lost)(why);
        }
    }

    /// Takes the guest's requests, as long as the server takes them from us.
    fn take(&mut self, index: usize, guest: &mut Guest<'_>) -> Result<(), DeviceError> {
        let memory = guest.memory;
        let mut served = 0;
        loop {
            guest.queue(index)?.disable_notification(memory)?;
            while self.can_send()
                && served < BUDGET
                && let Some(chain) = guest.next(index)?
            {
                self.read_request(index, chain, guest)?;
                self.send_request();
                served += 1;
            }
            if served >= BUDGET {
                guest.again(index);
                return Ok(());
            }
            if !self.can_send() {
                // The queues are looked at again when an answer has come.
                return Ok(());
            }
            if !guest.queue(index)?.enable_notification(memory)? {
                return Ok(());
            }
        }
    }

    fn can_send(&self) -> bool {
        !self.lost && self.unsent.is_none() && self.flight.len() < MAX_FLIGHT
    }

    /// Makes a packet of a chain, and remembers where its answer goes.
    fn read_request(
        &mut self,
        index: usize,
        chain: crate::virtio::Chain<'_>,
        guest: &Guest<'_>,
    ) -> Result<(), DeviceError> {
        let waiting = Waiting::of(index, chain.clone());
        let mut reader = DescriptorChain::reader(chain, guest.memory)?;
        let length = reader.available_bytes();
        if length > MAX_FUSE_BYTES {
            return Err(DeviceError::Long {
                length,
                limit: MAX_FUSE_BYTES,
            });
        }
        let room = waiting.room().min(MAX_FUSE_BYTES) as u32;
        let tag = self.flight.add(waiting);
        self.request.clear();
        let header = RequestHeader { tag, room };
        self.request.extend_from_slice(&header.to_bytes());
        self.request.resize(RequestHeader::BYTES + length, 0);
        reader.read_exact(&mut self.request[RequestHeader::BYTES..])?;
        Ok(())
    }

    fn send_request(&mut self) {
        loop {
            match self.channel.send(&self.request) {
                Ok(()) => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Every packet is answered, so there will be an answer when there is room again.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.unsent = Some(std::mem::take(&mut self.request));
                    return;
                }
                Err(error) => return self.lose(&error.to_string()),
            }
        }
    }

    fn send_unsent(&mut self) {
        if let Some(request) = self.unsent.take() {
            self.request = request;
            self.send_request();
        }
    }

    /// Gives the guest the answers that have come.
    fn give(&mut self, guest: &mut Guest<'_>) -> Result<(), DeviceError> {
        let memory = guest.memory;
        let mut told = [false; QUEUE_SIZES.len()];
        // There are no more answers than requests under way.
        while let Some(length) = self.next_answer() {
            let Some((header, answer)) = AnswerHeader::split(&self.answer[..length]) else {
                self.lose("an answer without a header");
                break;
            };
            match self.flight.take(header.tag) {
                Answered::Waiting(waiting) => {
                    waiting.write(answer, memory)?;
                    let written = answer.len() as u32;
                    let queue = guest.queue(waiting.queue)?;
                    queue.add_used(memory, waiting.head, written)?;
                    told[waiting.queue] = true;
                }
                Answered::Void => {}
                Answered::Unknown => {
                    self.lose("an answer to no request");
                    break;
                }
            }
        }
        for (index, told) in told.into_iter().enumerate() {
            if told {
                guest.tell(index)?;
            }
        }
        Ok(())
    }

    fn next_answer(&mut self) -> Option<usize> {
        while !self.lost {
            match self.channel.receive(&mut self.answer) {
                Ok(length) => return Some(length),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => self.lose("it has ended"),
                Err(error) => self.lose(&error.to_string()),
            }
        }
        None
    }
}

impl<P: Packets> Device for Fs<P> {
    fn kind(&self) -> u32 {
        VIRTIO_ID_FS
    }

    fn queue_sizes(&self) -> &'static [u16] {
        QUEUE_SIZES
    }

    fn features(&self) -> u64 {
        0
    }

    /// `struct virtio_fs_config`: the tag, and one queue of requests.
    fn read_config(&self, offset: usize, data: &mut [u8]) {
        let mut config = [0; TAG_BYTES + 4];
        config[..TAG_BYTES].copy_from_slice(&self.tag);
        config[TAG_BYTES..].copy_from_slice(&1_u32.to_le_bytes());
        copy_config(&config, offset, data);
    }

    /// What is under way the server carries out all the same; its answers are void.
    fn reset(&mut self) {
        self.flight.clear();
        self.unsent = None;
    }

    fn notified(&mut self, index: usize, guest: &mut Guest<'_>) -> Result<(), DeviceError> {
        self.take(index, guest)
    }

    fn host_descriptor(&self) -> Option<RawFd> {
        self.channel.descriptor()
    }

    fn host_ready(&mut self, guest: &mut Guest<'_>) -> Result<(), DeviceError> {
        self.give(guest)?;
        self.send_unsent();
        for index in 0..QUEUE_SIZES.len() {
            if guest.queue(index).is_ok() {
                self.take(index, guest)?;
            }
        }
        Ok(())
    }
}
