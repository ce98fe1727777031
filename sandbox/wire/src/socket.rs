//! One JSON document and its descriptors over a `SOCK_SEQPACKET` socket.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest message, in bytes: room for arguments and environment of a process (2 MiB, as Linux
/// allows in execve(2)) and their JSON quoting.
pub const MAX_MESSAGE_BYTES: usize = 8 << 20;
/// Most descriptors beside one message, `SCM_MAX_FD` of linux/net/scm.h.
pub const MAX_FDS: usize = 253;

#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// the other end closed the connection without an answer
    #[error("the other end closed the connection without an answer")]
    Closed,
    /// message of {0} bytes is over the limit
    #[error("message of {0} bytes is over the limit of {MAX_MESSAGE_BYTES}")]
    TooLarge(usize),
    #[error("message cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("socket: {0}")]
    Socket(#[from] nix::Error),
    #[error("connection: {0}")]
    Connection(#[from] std::io::Error),
}

/// A packet may be larger than a socket buffer takes at once (`net.core.wmem_default` is about
/// 208 KiB), so a message travels as packets of at most this many bytes.
const CHUNK_BYTES: usize = 64 << 10;

/// Send `message`; `fds` travel with its first packet.
pub fn send<T: Serialize>(
    socket: BorrowedFd<'_>,
    message: &T,
    fds: &[BorrowedFd<'_>],
) -> Result<(), WireError> {
    let body = serde_json::to_vec(message)?;
    if body.len() > MAX_MESSAGE_BYTES {
        return Err(WireError::TooLarge(body.len()));
    }
    let raw: Vec<RawFd> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let header = (body.len() as u32).to_le_bytes();
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    send_packet(socket, &header, control)?;
    for chunk in body.chunks(CHUNK_BYTES) {
        send_packet(socket, chunk, &[])?;
    }
    Ok(())
}

fn send_packet(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    control: &[ControlMessage<'_>],
) -> Result<(), WireError> {
    loop {
        match sendmsg::<()>(
            socket.as_raw_fd(),
            &[IoSlice::new(bytes)],
            control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        ) {
            Ok(_) => return Ok(()),
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Receive one message and the descriptors that came with it (close-on-exec).
pub fn receive<T: DeserializeOwned>(
    socket: BorrowedFd<'_>,
) -> Result<(T, Vec<OwnedFd>), WireError> {
    let mut header = [0u8; 4];
    let (read, fds) = receive_packet(socket, &mut header)?;
    if read != header.len() {
        return Err(WireError::Closed);
    }
    let length = u32::from_le_bytes(header) as usize;
    if length > MAX_MESSAGE_BYTES {
        return Err(WireError::TooLarge(length));
    }
    let mut body = vec![0u8; length];
    let mut filled = 0;
    while filled < length {
        let end = length.min(filled + CHUNK_BYTES);
        let (read, _) = receive_packet(socket, &mut body[filled..end])?;
        if read == 0 {
            return Err(WireError::Closed);
        }
        filled += read;
    }
    Ok((serde_json::from_slice(&body)?, fds))
}

fn receive_packet(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> Result<(usize, Vec<OwnedFd>), WireError> {
    let mut space = nix::cmsg_space!([RawFd; MAX_FDS]);
    loop {
        let mut parts = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        match recvmsg::<()>(
            socket.as_fd().as_raw_fd(),
            &mut parts,
            Some(&mut space),
            flags,
        ) {
            Ok(message) => {
                let mut fds = Vec::new();
                for control in message.cmsgs()? {
                    if let ControlMessageOwned::ScmRights(raw) = control {
                        fds.extend(raw.into_iter().map(own));
                    }
                }
                return Ok((message.bytes, fds));
            }
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[expect(
    unsafe_code,
    reason = "descriptors arrive as bare numbers from recvmsg(2)"
)]
fn own(raw: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just installed `raw` in this process for this message; nobody else
    // knows the number.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .expect("socketpair")
    }

    #[test]
    fn a_large_message_and_its_descriptors_arrive_whole() {
        let (a, b) = pair();
        let text = "x".repeat(3 << 20);
        let sent = text.clone();
        let sender = std::thread::spawn(move || {
            let file = std::fs::File::open("/dev/null").expect("open /dev/null");
            send(a.as_fd(), &sent, &[file.as_fd(), file.as_fd()]).expect("send");
        });
        let (received, fds): (String, _) = receive(b.as_fd()).expect("receive");
        sender.join().expect("sender");
        assert_eq!(received, text);
        assert_eq!(fds.len(), 2);
    }

    #[test]
    fn a_closed_peer_is_an_error() {
        let (a, b) = pair();
        drop(a);
        assert!(matches!(
            receive::<String>(b.as_fd()),
            Err(WireError::Closed)
        ));
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_allocation() {
        let (a, b) = pair();
        send_packet(a.as_fd(), &u32::MAX.to_le_bytes(), &[]).expect("send");
        assert!(matches!(
            receive::<String>(b.as_fd()),
            Err(WireError::TooLarge(_))
        ));
    }
}
