//! Every device in front of a driver that writes anything: registers, rings, descriptors and buffers.
//!
//! Cases made at random are in `tests.rs`; [`script::run`] is for fuzzers, whose bytes are what the driver does.

pub mod script;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use virtio_bindings::virtio_mmio::VIRTIO_MMIO_STATUS;
use vm_memory::{GuestAddress, GuestMemoryMmap};

use super::Device;
use super::balloon::Balloon;
use super::block::Block;
use super::fs::{Fs, Packets};
use super::mem;
use super::mmio::Transport;
use super::net::{Mac, Net, Wire};
use super::rng::Rng;
use super::vsock::Socket;
use crate::bus::BusDevice;

const MEMORY_BYTES: u64 = 1 << 20;
const QUEUE_SIZE: u16 = 16;

/// Where the driver of these tests puts the rings of queue `index`.
fn ring(index: u32) -> u64 {
    0x1000 + u64::from(index) * 0x3000
}

/// Buffers lie behind the rings.
const BUFFERS: u64 = 0x1_0000;

fn memory() -> GuestMemoryMmap {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY_BYTES as usize)]).expect("memory")
}

fn set(transport: &mut Transport, register: u32, value: u32) {
    transport.write(register.into(), &value.to_le_bytes());
}

fn status(transport: &mut Transport) -> u32 {
    let mut value = [0; 4];
    transport.read(VIRTIO_MMIO_STATUS.into(), &mut value);
    u32::from_le_bytes(value)
}

/// Blocks that nobody ever touches.
struct Nothing;

impl mem::Blocks for Nothing {
    fn plug(&mut self, _address: u64) -> io::Result<()> {
        Ok(())
    }

    fn unplug(&mut self, _address: u64) -> io::Result<()> {
        Ok(())
    }
}

/// Always has a frame of this length, and loses what it gets.
struct Endless(usize);

impl Wire for Endless {
    fn receive(&mut self, frame: &mut [u8]) -> io::Result<usize> {
        Ok(frame.len().min(self.0))
    }

    fn send(&mut self, _frame: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn descriptor(&self) -> Option<RawFd> {
        None
    }
}

/// A server that answers requests in an order and with lengths of its own, or none, and takes only some at a time.
struct Scripted {
    sent: u64,
    answers: Vec<(u64, usize)>,
}

impl Packets for Scripted {
    fn send(&mut self, _packet: &[u8]) -> io::Result<()> {
        if self.sent % 8 == 7 && !self.answers.is_empty() {
            self.sent += 1;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.sent += 1;
        Ok(())
    }

    fn receive(&mut self, packet: &mut [u8]) -> io::Result<usize> {
        let (tag, length) = self.answers.pop().ok_or(io::ErrorKind::WouldBlock)?;
        let length = length.min(packet.len());
        packet[..length].fill(0x5a);
        let tag = tag.to_le_bytes();
        let count = tag.len().min(length);
        packet[..count].copy_from_slice(&tag[..count]);
        Ok(length)
    }

    fn descriptor(&self) -> Option<RawFd> {
        None
    }
}

/// A disk of 64 KiB.
fn disk() -> File {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let disk = File::from(rustix::fs::memfd_create("disk", flags).expect("a file"));
    disk.set_len(1 << 16).expect("a size");
    disk
}

/// Each kind of device, with a host behind it that does what it can to surprise.
#[derive(Debug, Clone, Copy)]
pub enum Victim<'a> {
    Balloon,
    Block,
    /// The server's answers, last one first: tag and length.
    Fs(&'a [(u64, usize)]),
    Mem,
    /// The length of frames that arrive.
    Net(usize),
    Rng,
    /// The folder of its sockets. Somebody connects to it.
    Vsock(&'a Path),
}

impl Victim<'_> {
    fn device(self) -> io::Result<Box<dyn Device>> {
        Ok(match self {
            Victim::Balloon => Box::new(Balloon::new(Arc::default())),
            Victim::Block => Box::new(Block::new(disk(), false, "serial")?),
            Victim::Fs(answers) => {
                let answers = answers.to_vec();
                let server = Scripted { sent: 0, answers };
                Box::new(Fs::new(server, "tag", Box::new(|_| {})))
            }
            Victim::Mem => {
                let size = mem::Size::default();
                size.requested
                    .store(3 * mem::BLOCK_BYTES, Ordering::Relaxed);
                Box::new(mem::Mem::new(Nothing, 1 << 32, 4, Arc::new(size)))
            }
            Victim::Net(length) => Box::new(Net::new(Endless(length), Mac([2; 6]), 1500)),
            Victim::Rng => Box::new(Rng),
            Victim::Vsock(folder) => Box::new(Socket::new(3, &folder.join("vsock"))?),
        })
    }
}
