//! The device's model.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::RawFd;
use std::str::FromStr;

use virtio_bindings::virtio_ids::VIRTIO_ID_NET;
use virtio_bindings::virtio_net::{
    VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6,
    VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_MAC, VIRTIO_NET_F_MTU,
};
use virtio_queue::{DescriptorChain, QueueT};

use super::tap::{HEADER_BYTES, Wire};
use crate::virtio::{BUDGET, Device, DeviceError, Guest, copy_config, drain};

const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
const QUEUE_SIZES: &[u16] = &[256, 256];

/// The largest frame that segmentation by the host leaves, with its header.
const MAX_FRAME: usize = HEADER_BYTES + 65_550;

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl FromStr for Mac {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Mac, &'static str> {
        const PROBLEM: &str = "not an address of the form aa:bb:cc:dd:ee:ff";
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or(PROBLEM)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| PROBLEM)?;
        }
        if parts.next().is_some() {
            return Err(PROBLEM);
        }
        if bytes[0] & 1 != 0 {
            return Err("a group address");
        }
        Ok(Mac(bytes))
    }
}

/// A network interface of the guest.
pub struct Net<W: Wire> {
    wire: W,
    mac: Mac,
    mtu: u16,
    /// A frame that waits for a buffer of the guest's.
    frame: Vec<u8>,
    waiting: Option<usize>,
    outgoing: Vec<u8>,
}

impl<W: Wire> Net<W> {
    /// An interface with this address and MTU at the other end of `wire`.
    pub fn new(wire: W, mac: Mac, mtu: u16) -> Net<W> {
        Net {
            wire,
            mac,
            mtu,
            frame: vec![0; MAX_FRAME],
            waiting: None,
            outgoing: vec![0; MAX_FRAME],
        }
    }

    /// The length of the frame to give to the guest next, in the buffer.
    fn next_frame(&mut self) -> Option<usize> {
        if self.waiting.is_none() {
            self.waiting = loop {
                match self.wire.receive(&mut self.frame) {
                    // Shorter than a header is no frame.
                    Ok(length) if length > HEADER_BYTES => break Some(length),
                    Ok(0) => break None,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => break None,
                }
            };
        }
        self.waiting
    }

    fn receive(&mut self, guest: &mut Guest<'_>) -> Result<(), DeviceError> {
        let memory = guest.memory;
        let mut served = 0;
        while let Some(length) = self.next_frame() {
            if served >= BUDGET {
                guest.again(RECEIVE);
                break;
            }
            let Some(chain) = guest.next(RECEIVE)? else {
                // The guest is to say when it has given buffers.
                if guest.queue(RECEIVE)?.enable_notification(memory)? {
                    served += 1;
                    continue;
                }
                break;
            };
            let head = chain.head_index();
            let mut writer = DescriptorChain::writer(chain, memory)?;
            // A frame that does not fit is lost, and the buffer goes back unused.
            let fits = length <= writer.available_bytes();
            if fits {
                // One buffer a frame: `num_buffers`, the header's last field.
                self.frame[HEADER_BYTES - 2..HEADER_BYTES].copy_from_slice(&1_u16.to_le_bytes());
                writer.write_all(&self.frame[..length])?;
            }
            self.waiting = None;
            let written = if fits { length as u32 } else { 0 };
            guest.queue(RECEIVE)?.add_used(memory, head, written)?;
            served += 1;
        }
        if served > 0 {
            guest.tell(RECEIVE)?;
        }
        Ok(())
    }

    fn transmit(&mut self, guest: &mut Guest<'_>) -> Result<(), DeviceError> {
        let memory = guest.memory;
        drain(TRANSMIT, guest, |chain| {
            let mut reader = DescriptorChain::reader(chain, memory)?;
            let length = reader.available_bytes();
            if length < HEADER_BYTES {
                return Err(DeviceError::Short {
                    length,
                    needed: HEADER_BYTES,
                });
            }
            // What is too long for the wire is lost, as is what the host refuses.
            if length <= MAX_FRAME {
                let frame = &mut self.outgoing[..length];
                reader.read_exact(frame)?;
                self.wire.send(frame).ok();
            }
            Ok(0)
        })
    }
}

impl<W: Wire> Device for Net<W> {
    fn kind(&self) -> u32 {
        VIRTIO_ID_NET
    }

    fn queue_sizes(&self) -> &'static [u16] {
        QUEUE_SIZES
    }

    fn features(&self) -> u64 {
        [
            VIRTIO_NET_F_CSUM,
            VIRTIO_NET_F_GUEST_CSUM,
            VIRTIO_NET_F_GUEST_TSO4,
            VIRTIO_NET_F_GUEST_TSO6,
            VIRTIO_NET_F_HOST_TSO4,
            VIRTIO_NET_F_HOST_TSO6,
            VIRTIO_NET_F_MAC,
            VIRTIO_NET_F_MTU,
        ]
        .iter()
        .fold(0, |features, bit| features | 1 << bit)
    }

    /// `struct virtio_net_config` up to `mtu`.
    fn read_config(&self, offset: usize, data: &mut [u8]) {
        let mut config = [0; 12];
        config[..6].copy_from_slice(&self.mac.0);
        config[10..].copy_from_slice(&self.mtu.to_le_bytes());
        copy_config(&config, offset, data);
    }

    fn reset(&mut self) {
        self.waiting = None;
    }

    fn notified(&mut self, index: usize, guest: &mut Guest<'_>) -> Result<(), DeviceError> {
        match index {
            RECEIVE => self.receive(guest),
            _ => self.transmit(guest),
        }
    }

    fn host_descriptor(&self) -> Option<RawFd> {
        self.wire.descriptor()
    }

    fn host_ready(&mut self, guest: &mut Guest<'_>) -> Result<(), DeviceError> {
        self.receive(guest)
    }
}

#[cfg(test)]
mod tests {
    use super::Mac;

    #[test]
    fn addresses() {
        assert_eq!("02:00:00:00:0a:ff".parse(), Ok(Mac([2, 0, 0, 0, 10, 255])));
        for wrong in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:00:00",
            "2:0:0:0:0:0",
            "01:00:00:00:00:00",
        ] {
            assert!(wrong.parse::<Mac>().is_err(), "{wrong}");
        }
    }
}
