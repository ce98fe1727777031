//! The device's model.

use std::io::{self, Read, Write};
use std::os::fd::RawFd;
use std::path::Path;

use virtio_bindings::virtio_ids::VIRTIO_ID_VSOCK;
use virtio_queue::{DescriptorChain, QueueOwnedT, QueueT};
use vm_memory::GuestMemoryMmap;

use super::connections::Connections;
use super::packet::{HEADER_BYTES, Header};
use crate::virtio::{BUDGET, Chain, Device, DeviceError, Guest, copy_config};

const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
const QUEUE_SIZES: &[u16] = &[256, 256, 64];

/// No packet's data is longer, in either direction.
const MAX_DATA: usize = 64 << 10;

/// The guest's socket device.
pub struct Socket {
    cid: u32,
    connections: Connections,
    buffer: Vec<u8>,
}

impl Socket {
    /// A guest with the address `cid`, whose ports are reached through a unix socket made at `path`.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn new(cid: u32, path: &Path) -> io::Result<Socket> {
        Ok(Socket {
            cid,
            connections: Connections::new(cid, path)?,
            buffer: vec![0; MAX_DATA],
        })
    }

    /// Takes the guest's packets, as long as there is room for the answers.
    fn transmit(&mut self, guest: &mut Guest<'_>) -> Result<(), DeviceError> {
        let memory = guest.memory;
        let mut served = 0;
        loop {
            guest.queue(TRANSMIT)?.disable_notification(memory)?;
            while !self.connections.is_full()
                && served < BUDGET
                && let Some(chain) = guest.next(TRANSMIT)?
            {
                let head = chain.head_index();
                let (header, length) = self.read_packet(chain, memory)?;
                self.connections.take(&header, &self.buffer[..length]);
                guest.queue(TRANSMIT)?.add_used(memory, head, 0)?;
                served += 1;
            }
            if served >= BUDGET {
                guest.again(TRANSMIT);
                break;
            }
            if !guest.queue(TRANSMIT)?.enable_notification(memory)? || self.connections.is_full() {
                break;
            }
        }
        if served > 0 {
            guest.tell(TRANSMIT)?;
        }
        Ok(())
    }

    /// One packet of the guest; its data goes into the buffer, and its length is returned.
    fn read_packet(
        &mut self,
        chain: Chain<'_>,
        memory: &GuestMemoryMmap,
    ) -> Result<(Header, usize), DeviceError> {
        let mut reader = DescriptorChain::reader(chain, memory)?;
        let available = reader.available_bytes();
        let mut bytes = [0; HEADER_BYTES];
        if available < HEADER_BYTES {
            return Err(DeviceError::Short {
                length: available,
                needed: HEADER_BYTES,
            });
        }
        reader.read_exact(&mut bytes)?;
        let header = Header::from_guest(&bytes);
        let length = header.length as usize;
        let room = (available - HEADER_BYTES).min(MAX_DATA);
        if length > room {
            return Err(DeviceError::Short {
                length: room,
                needed: length,
            });
        }
        reader.read_exact(&mut self.buffer[..length])?;
        Ok((header, length))
    }

    /// Gives the guest what there is for it, as long as it has buffers.
    fn receive(&mut self, guest: &mut Guest<'_>) -> Result<(), DeviceError> {
        let memory = guest.memory;
        let mut served = 0;
        while self.connections.has_packet() {
            if served >= BUDGET {
                guest.again(RECEIVE);
                break;
            }
            served += 1;
            let Some(chain) = guest.next(RECEIVE)? else {
                // The guest is to say when it has given buffers.
                if guest.queue(RECEIVE)?.enable_notification(memory)? {
                    continue;
                }
                break;
            };
            let head = chain.head_index();
            let written = self.write_packet(chain, memory)?;
            if written == 0 {
                guest.queue(RECEIVE)?.go_to_previous_position();
                break;
            }
            guest.queue(RECEIVE)?.add_used(memory, head, written)?;
        }
        if served > 0 {
            guest.tell(RECEIVE)?;
        }
        Ok(())
    }

    /// One packet for the guest, as large as the chain; returns the bytes written, 0 when there was none.
    fn write_packet(
        &mut self,
        chain: Chain<'_>,
        memory: &GuestMemoryMmap,
    ) -> Result<u32, DeviceError> {
        let mut writer = DescriptorChain::writer(chain, memory)?;
        let room = writer.available_bytes();
        // Some room for data there must be, or a stream would never get on.
        if room <= HEADER_BYTES {
            return Err(DeviceError::NoAnswer);
        }
        let limit = (room - HEADER_BYTES).min(MAX_DATA);
        let Some(header) = self.connections.next_packet(&mut self.buffer[..limit]) else {
            return Ok(0);
        };
        writer.write_all(&header.bytes())?;
        writer.write_all(&self.buffer[..header.length as usize])?;
        Ok(HEADER_BYTES as u32 + header.length)
    }

    /// Both directions: an answer may make room for the guest's next packets.
    fn serve(&mut self, guest: &mut Guest<'_>) -> Result<(), DeviceError> {
        let was_full = self.connections.is_full();
        self.receive(guest)?;
        if was_full && !self.connections.is_full() {
            self.transmit(guest)?;
            self.receive(guest)?;
        }
        Ok(())
    }
}

impl Device for Socket {
    fn kind(&self) -> u32 {
        VIRTIO_ID_VSOCK
    }

    fn queue_sizes(&self) -> &'static [u16] {
        QUEUE_SIZES
    }

    fn features(&self) -> u64 {
        0
    }

    /// `struct virtio_vsock_config`.
    fn read_config(&self, offset: usize, data: &mut [u8]) {
        copy_config(&u64::from(self.cid).to_le_bytes(), offset, data);
    }

    fn reset(&mut self) {
        self.connections.close_all();
    }

    fn notified(&mut self, index: usize, guest: &mut Guest<'_>) -> Result<(), DeviceError> {
        if index == TRANSMIT {
            self.transmit(guest)?;
        }
        self.serve(guest)
    }

    fn host_descriptor(&self) -> Option<RawFd> {
        Some(self.connections.descriptor())
    }

    fn host_ready(&mut self, guest: &mut Guest<'_>) -> Result<(), DeviceError> {
        self.connections.host_ready()?;
        self.serve(guest)
    }
}
