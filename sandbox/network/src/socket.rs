//! A socket of rtnetlink(7): one request at a time, and everything the kernel answers to it.

use std::io;
use std::os::fd::OwnedFd;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::NetworkError;

/// The kernel's answers to a dump come in datagrams of at most this size, if the reader has as much room.
const BUFFER_BYTES: usize = 32 << 10;

/// A list that changes while it is read is asked for again so often.
const ATTEMPTS: u32 = 10;

/// Bytes of `struct nlmsghdr`, and what messages are aligned to.
const HEADER_BYTES: usize = 16;
const ALIGNMENT: usize = 4;

#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// Of the calling thread's network namespace.
    pub(crate) fn open() -> Result<Socket, NetworkError> {
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            // NETLINK_ROUTE is protocol 0.
            None,
        )
        .map_err(io::Error::from)?;
        Ok(Socket { fd, sequence: 0 })
    }

    /// Have something changed. `flags` are further `NLM_F_*`; `what` is for the error.
    pub(crate) fn change(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        what: impl FnOnce() -> String,
    ) -> Result<(), NetworkError> {
        match self.converse(message, NLM_F_REQUEST | NLM_F_ACK | flags)? {
            Ok(_) => Ok(()),
            Err(source) => Err(NetworkError::Refused {
                what: what(),
                source,
            }),
        }
    }

    /// Ask for one object.
    pub(crate) fn ask(
        &mut self,
        message: RouteNetlinkMessage,
        what: impl FnOnce() -> String,
    ) -> Result<Vec<RouteNetlinkMessage>, NetworkError> {
        let answer = self.converse(message, NLM_F_REQUEST | NLM_F_ACK)?;
        answer.map(|(messages, _)| messages).map_err(|source| {
            let what = what();
            NetworkError::Refused { what, source }
        })
    }

    /// Ask for a list.
    pub(crate) fn list(
        &mut self,
        message: &RouteNetlinkMessage,
        what: &str,
    ) -> Result<Vec<RouteNetlinkMessage>, NetworkError> {
        for _ in 0..ATTEMPTS {
            let answer = self.converse(message.clone(), NLM_F_REQUEST | NLM_F_DUMP)?;
            let (messages, whole) = answer.map_err(|source| NetworkError::Refused {
                what: what.to_owned(),
                source,
            })?;
            if whole {
                return Ok(messages);
            }
        }
        Err(NetworkError::Refused {
            what: what.to_owned(),
            source: Errno::INTR.into(),
        })
    }

    /// The messages of the answer, and whether they are a consistent list; or the kernel's error.
    fn converse(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Result<(Vec<RouteNetlinkMessage>, bool), io::Error>, NetworkError> {
        self.sequence += 1;
        let mut request = NetlinkMessage::from(message);
        request.header.flags = flags;
        request.header.sequence_number = self.sequence;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        rustix::net::send(&self.fd, &bytes, SendFlags::empty()).map_err(io::Error::from)?;
        let mut answers = Vec::new();
        let mut whole = true;
        let mut buffer = vec![0u8; BUFFER_BYTES];
        loop {
            let length = match rustix::net::recv(&self.fd, &mut buffer[..], RecvFlags::empty()) {
                Ok((length, _)) => length,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(io::Error::from(errno).into()),
            };
            let mut rest = &buffer[..length];
            while rest.len() >= HEADER_BYTES {
                let (bytes, tail) = split(rest)?;
                rest = tail;
                let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes)
                    .map_err(|error| NetworkError::Malformed(error.to_string()))?;
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                whole &= message.header.flags & NLM_F_DUMP_INTR == 0;
                match message.payload {
                    NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Ok(Err(error.to_io()));
                    }
                    NetlinkPayload::Error(_) => return Ok(Ok((answers, whole))),
                    NetlinkPayload::Done(done) if done.code < 0 => {
                        return Ok(Err(io::Error::from_raw_os_error(-done.code)));
                    }
                    NetlinkPayload::Done(_) => return Ok(Ok((answers, whole))),
                    _ => {}
                }
            }
        }
    }
}

/// The first message of a datagram, and what follows it.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), NetworkError> {
    let length = bytes
        .first_chunk()
        .map_or(0, |length| u32::from_ne_bytes(*length) as usize);
    if !(HEADER_BYTES..=bytes.len()).contains(&length) {
        return Err(NetworkError::Malformed(format!(
            "a message of {length} bytes"
        )));
    }
    let next = length.next_multiple_of(ALIGNMENT).min(bytes.len());
    Ok((&bytes[..length], &bytes[next..]))
}
