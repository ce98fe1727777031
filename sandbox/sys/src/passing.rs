//! The message by which a process is made to receive a descriptor, for descriptors that cannot be put into it otherwise:
//! what is sent, what its recvmsg(2) is given, and what that leaves in its memory.
//!
//! Unlike `SECCOMP_IOCTL_NOTIF_ADDFD` messages carry descriptors of `O_PATH` as well, unix(7).

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::notify::Cloexec;

// Layout of what is written to memory of the process.
const HEADER_AT: usize = 64;
const PART_AT: usize = 128;
const BYTE_AT: usize = 144;
const CONTROL_AT: usize = 160;
const CONTROL_BYTES: usize = 24;

/// Bytes of memory that the message takes. The first [`FREE`] of them are not used.
pub const LENGTH: usize = 192;
pub const FREE: usize = HEADER_AT;

/// Send `fd` to whoever reads from the other end. `EAGAIN` when that is gone, or full of what was not taken.
pub fn send(socket: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    sendmsg(socket, &[IoSlice::new(&[0])], &mut control, flags)
        .map(drop)
        .map_err(|_| Errno::AGAIN)
}

/// Arguments of the recvmsg(2) that takes it from the socket `number`, with [`message`] at `page`. It returns 1.
#[must_use]
pub fn arguments(number: i32, page: u64, cloexec: Cloexec) -> [u64; 6] {
    let mut flags = libc::MSG_DONTWAIT;
    if cloexec == Cloexec::Yes {
        flags |= libc::MSG_CMSG_CLOEXEC;
    }
    let header = page.wrapping_add(HEADER_AT as u64);
    [number as u64, header, flags as u64, 0, 0, 0]
}

/// `struct msghdr` with one part of one byte and room for one descriptor, to be written at `page`.
#[must_use]
pub fn message(page: u64) -> [u8; LENGTH] {
    let mut bytes = [0u8; LENGTH];
    let mut put = |at: usize, value: u64| bytes[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    put(HEADER_AT + 16, page.wrapping_add(PART_AT as u64));
    put(HEADER_AT + 24, 1);
    put(HEADER_AT + 32, page.wrapping_add(CONTROL_AT as u64));
    put(HEADER_AT + 40, CONTROL_BYTES as u64);
    put(PART_AT, page.wrapping_add(BYTE_AT as u64));
    put(PART_AT + 8, 1);
    bytes
}

/// The number in the control message, if one came: none comes where the table of descriptors was full. The guest may
/// have written there too: it is used for nothing but that guest.
#[must_use]
pub fn received(bytes: &[u8; LENGTH]) -> Option<i32> {
    let word = |at: usize| {
        let mut word = [0u8; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        u64::from_ne_bytes(word)
    };
    let half = |at: usize| (word(at & !7) >> (8 * (at & 7))) as i32;
    let came = word(HEADER_AT + 40) >= 20
        && word(CONTROL_AT) == 20
        && half(CONTROL_AT + 8) == libc::SOL_SOCKET
        && half(CONTROL_AT + 12) == libc::SCM_RIGHTS;
    came.then(|| half(CONTROL_AT + 16)).filter(|fd| *fd >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_from_a_whole_control_message_only() {
        let mut bytes = message(0x1000);
        assert_eq!(received(&bytes), None);
        bytes[HEADER_AT + 40] = 24;
        bytes[CONTROL_AT] = 20;
        bytes[CONTROL_AT + 8] = libc::SOL_SOCKET as u8;
        bytes[CONTROL_AT + 12] = libc::SCM_RIGHTS as u8;
        bytes[CONTROL_AT + 16] = 7;
        assert_eq!(received(&bytes), Some(7));
        bytes[CONTROL_AT + 19] = 0xff;
        assert_eq!(received(&bytes), None);
    }
}
