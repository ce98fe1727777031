//! One stream between a port of the guest and a unix socket of the host.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::num::Wrapping;
use std::os::unix::net::UnixStream;

use super::packet::{Header, Operation, Ports, SHUTDOWN_RECEIVE, SHUTDOWN_SEND};

/// How much of the guest's data waits here for a host that does not read.
pub(super) const BUFFER_BYTES: u32 = 256 << 10;

/// The longest `CONNECT port\n`.
const GREETING_BYTES: usize = 32;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The host has connected and not yet said to which port.
    Greeting(Vec<u8>),
    /// The guest has been asked and has not answered.
    Requested,
    Established,
}

/// What a stream has to say to the guest at once.
pub(super) type Reply = Option<Header>;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: UnixStream,
    pub(super) state: State,
    pub(super) ports: Ports,
    cid: u64,
    /// The host's end may have something to read.
    pub(super) readable: bool,
    /// The host has closed its sending side, and the guest has been told.
    host_ended: bool,
    /// The guest has said that it sends no more.
    guest_ended: bool,
    /// From the guest, not yet taken by the host.
    waiting: VecDeque<u8>,
    /// Of the guest's data: passed on in all, and what the guest was told of it.
    forwarded: Wrapping<u32>,
    told: Wrapping<u32>,
    /// Sent to the guest in all; what it says it has passed on, and how much it can take.
    sent: Wrapping<u32>,
    guest_forwarded: Wrapping<u32>,
    guest_buffer: u32,
    credit_requested: bool,
    /// The guest is done with it; only what waits for the host keeps it.
    finishing: bool,
}

impl Connection {
    pub(super) fn new(stream: UnixStream, state: State, ports: Ports, cid: u64) -> Connection {
        Connection {
            stream,
            state,
            ports,
            cid,
            readable: true,
            host_ended: false,
            guest_ended: false,
            waiting: VecDeque::new(),
            forwarded: Wrapping(0),
            told: Wrapping(0),
            sent: Wrapping(0),
            guest_forwarded: Wrapping(0),
            guest_buffer: 0,
            credit_requested: false,
            finishing: false,
        }
    }

    /// A header for this stream that also tells the guest how much it may send.
    pub(super) fn header(&mut self, operation: Operation) -> Header {
        self.told = self.forwarded;
        let mut header = Header::to_guest(self.cid, self.ports, operation);
        header.buffer = BUFFER_BYTES;
        header.forwarded = self.forwarded.0;
        header
    }

    /// Reads the greeting of a host that has connected, as far as it has come; returns the port when it is
    /// complete. Byte by byte, because what follows it belongs to the guest.
    pub(super) fn read_greeting(&mut self) -> io::Result<Option<u32>> {
        let State::Greeting(line) = &mut self.state else {
            return Ok(None);
        };
        loop {
            let mut byte = [0];
            match self.stream.read(&mut byte) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) if byte == *b"\n" => break,
                Ok(_) if line.len() < GREETING_BYTES => line.push(byte[0]),
                Ok(_) => return Err(ErrorKind::InvalidData.into()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let port = std::str::from_utf8(line)
            .ok()
            .and_then(|line| line.strip_prefix("CONNECT "))
            .and_then(|port| port.trim().parse().ok());
        port.map(Some).ok_or(ErrorKind::InvalidData.into())
    }

    /// Takes the credit that a packet of the guest carries.
    pub(super) fn take_credit(&mut self, header: &Header) {
        self.guest_buffer = header.buffer;
        self.guest_forwarded = Wrapping(header.forwarded);
        self.credit_requested = false;
    }

    /// How many bytes the guest can take now. A guest that claims to have forwarded what was never sent gets
    /// no more than its buffer's size.
    fn credit(&self) -> u32 {
        let underway = (self.sent - self.guest_forwarded).0;
        self.guest_buffer.saturating_sub(underway)
    }

    /// The guest accepts the stream that the host has asked for.
    pub(super) fn accepted(&mut self) -> io::Result<()> {
        self.state = State::Established;
        let line = format!("OK {}\n", self.ports.host);
        // A new socket has room for it.
        self.stream.write_all(line.as_bytes())
    }

    /// Takes data of the guest; one that sends more than it was allowed is cut off.
    pub(super) fn take_data(&mut self, data: &[u8]) -> Result<(), ErrorKind> {
        let room = (BUFFER_BYTES as usize).saturating_sub(self.waiting.len());
        if data.len() > room || self.guest_ended {
            return Err(ErrorKind::InvalidData);
        }
        self.waiting.extend(data);
        Ok(())
    }

    /// Passes on to the host what it takes. Returns a credit update when the guest needs one.
    pub(super) fn flush(&mut self) -> io::Result<Reply> {
        while !self.waiting.is_empty() {
            let (front, _) = self.waiting.as_slices();
            match self.stream.write(front) {
                Ok(count) => {
                    self.waiting.drain(..count);
                    self.forwarded += Wrapping(count as u32);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.waiting.is_empty() && self.guest_ended {
            // The host may be gone already.
            self.stream.shutdown(Shutdown::Write).ok();
        }
        let untold = (self.forwarded - self.told).0;
        Ok((untold >= BUFFER_BYTES / 4).then(|| self.header(Operation::CreditUpdate)))
    }

    /// The guest sends or receives no more; true when that was all.
    pub(super) fn shut(&mut self, flags: u32) -> bool {
        if flags & SHUTDOWN_SEND != 0 {
            self.guest_ended = true;
        }
        if flags & SHUTDOWN_RECEIVE != 0 {
            self.stream.shutdown(Shutdown::Read).ok();
        }
        flags & SHUTDOWN_SEND != 0 && flags & SHUTDOWN_RECEIVE != 0
    }

    /// Whether the host has yet to take some of the guest's data.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn finish(&mut self) {
        self.finishing = true;
        self.host_ended = true;
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finishing && self.waiting.is_empty()
    }

    /// Something of the host's for the guest: data into `buffer`, its end, or a request for credit.
    pub(super) fn next_packet(&mut self, buffer: &mut [u8]) -> io::Result<Option<Header>> {
        if self.state != State::Established || !self.readable || self.host_ended {
            return Ok(None);
        }
        let credit = self.credit() as usize;
        if credit == 0 {
            if self.credit_requested {
                return Ok(None);
            }
            self.credit_requested = true;
            return Ok(Some(self.header(Operation::CreditRequest)));
        }
        let limit = credit.min(buffer.len());
        match self.stream.read(&mut buffer[..limit]) {
            Ok(0) => {
                self.host_ended = true;
                let mut header = self.header(Operation::Shutdown);
                header.flags = SHUTDOWN_SEND;
                Ok(Some(header))
            }
            Ok(count) => {
                self.sent += Wrapping(count as u32);
                let mut header = self.header(Operation::Data);
                header.length = count as u32;
                Ok(Some(header))
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                self.readable = error.kind() == ErrorKind::Interrupted;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether [`Self::next_packet`] may have something.
    pub(super) fn has_packet(&self) -> bool {
        self.state == State::Established
            && self.readable
            && !self.host_ended
            && (self.credit() > 0 || !self.credit_requested)
    }
}
