//! The socket to the server: one packet a request, one an answer. [`caisson_wire::share`] says what is in them.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::fs::OFlags;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// What requests go to and answers come from: a server, or something else in tests. Neither call ever waits.
pub trait Packets: Send {
    /// # Errors
    /// `WouldBlock` while the server has enough to do: it will answer some of that first.
    fn send(&mut self, packet: &[u8]) -> io::Result<()>;

    /// The length of the next answer, which is in `packet`.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, `UnexpectedEof` when the server has gone.
    fn receive(&mut self, packet: &mut [u8]) -> io::Result<usize>;

    /// Readable when there are answers.
    fn descriptor(&self) -> Option<RawFd>;
}

/// A socket whose other end `caisson-share` has.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// # Errors
    /// When the descriptor cannot be used without waiting.
    pub fn new(socket: OwnedFd) -> io::Result<Channel> {
        let flags = rustix::fs::fcntl_getfl(&socket)?;
        rustix::fs::fcntl_setfl(&socket, flags | OFlags::NONBLOCK)?;
        Ok(Channel(socket))
    }
}

impl Packets for Channel {
    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        send(&self.0, packet, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    fn receive(&mut self, packet: &mut [u8]) -> io::Result<usize> {
        match recv(&self.0, packet, RecvFlags::TRUNC)? {
            (0, 0) => Err(io::ErrorKind::UnexpectedEof.into()),
            (length, whole) if length == whole => Ok(length),
            _ => Err(io::Error::other("an answer that is too long")),
        }
    }

    fn descriptor(&self) -> Option<RawFd> {
        Some(self.0.as_raw_fd())
    }
}
