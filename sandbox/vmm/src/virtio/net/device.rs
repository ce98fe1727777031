//! The device's model.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::RawFd;
use std::str::FromStr;

use virtio_bindings::virtio_ids::VIRTIO_ID_NET;
use virtio_bindings::virtio_net::{
    VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6,
    VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_MAC, VIRTIO_NET_F_MRG_RXBUF,
    VIRTIO_NET_F_MTU,
};
use virtio_queue::{DescriptorChain, QueueOwnedT, QueueT, Writer};

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
    /// The driver takes a frame in several buffers, so that it can give small ones.
    merges: bool,
}

/// What the wire had.
enum Arrival {
    /// The length of a frame, which is in the buffer.
    Frame(usize),
    /// Shorter than a header, which is no frame, or nothing this time.
    Scrap,
    Nothing,
}

/// A buffer that the guest has given for frames.
struct Buffer<'a> {
    head: u16,
    writer: Writer<'a>,
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
            merges: false,
        }
    }

    /// Reads the frame to give to the guest next, unless one waits.
    fn next_frame(&mut self) -> Arrival {
        if let Some(length) = self.waiting {
            return Arrival::Frame(length);
        }
        match self.wire.receive(&mut self.frame) {
            Ok(length) if length > HEADER_BYTES => {
                self.waiting = Some(length);
                Arrival::Frame(length)
            }
            Ok(0) => Arrival::Nothing,
            Ok(_) => Arrival::Scrap,
            Err(error) if error.kind() == ErrorKind::Interrupted => Arrival::Scrap,
            Err(_) => Arrival::Nothing,
        }
    }

    fn receive(&mut self, guest: &mut Guest<'_>) -> Result<(), DeviceError> {
        let mut served = 0;
        let mut budget = BUDGET;
        loop {
            let length = match self.next_frame() {
                Arrival::Nothing => break,
                Arrival::Scrap => None,
                Arrival::Frame(length) => Some(length),
            };
            if budget == 0 {
                guest.again(RECEIVE);
                break;
            }
            budget -= 1;
            let Some(length) = length else { continue };
            let Some(buffers) = self.buffers(length, guest)? else {
                break;
            };
            self.waiting = None;
            self.fill(length, buffers, guest)?;
            served += 1;
        }
        if served > 0 {
            guest.tell(RECEIVE)?;
        }
        Ok(())
    }

    /// Buffers of the guest's for a frame of that length: one, or as many as it takes if the driver merges them. None
    /// if there are too few; then the guest is to say when it has given more.
    fn buffers<'a>(
        &self,
        length: usize,
        guest: &mut Guest<'a>,
    ) -> Result<Option<Vec<Buffer<'a>>>, DeviceError> {
        let memory = guest.memory;
        let mut buffers = Vec::new();
        let mut room = 0;
        loop {
            if let Some(chain) = guest.next(RECEIVE)? {
                let head = chain.head_index();
                let writer = DescriptorChain::writer(chain, memory)?;
                room += writer.available_bytes();
                buffers.push(Buffer { head, writer });
                let most = if self.merges { QUEUE_SIZES[RECEIVE] } else { 1 };
                if room >= length || buffers.len() >= usize::from(most) {
                    return Ok(Some(buffers));
                }
            } else if !guest.queue(RECEIVE)?.enable_notification(memory)? {
                for _ in &buffers {
                    guest.queue(RECEIVE)?.go_to_previous_position();
                }
                return Ok(None);
            }
        }
    }

    /// Put the frame into the buffers. One that does not fit is lost, and they go back unused.
    fn fill(
        &mut self,
        length: usize,
        buffers: Vec<Buffer<'_>>,
        guest: &mut Guest<'_>,
    ) -> Result<(), DeviceError> {
        let memory = guest.memory;
        let room: usize = buffers.iter().map(|one| one.writer.available_bytes()).sum();
        // `num_buffers`, the header's last field.
        let count = buffers.len() as u16;
        self.frame[HEADER_BYTES - 2..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
        let mut rest = if length <= room {
            &self.frame[..length]
        } else {
            &[]
        };
        for Buffer { head, mut writer } in buffers {
            let (now, later) = rest.split_at(rest.len().min(writer.available_bytes()));
            writer.write_all(now)?;
            rest = later;
            guest
                .queue(RECEIVE)?
                .add_used(memory, head, now.len() as u32)?;
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
            VIRTIO_NET_F_MRG_RXBUF,
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

    fn activate(&mut self, features: u64) {
        self.merges = features & 1 << VIRTIO_NET_F_MRG_RXBUF != 0;
    }

    fn reset(&mut self) {
        self.waiting = None;
        self.merges = false;
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
