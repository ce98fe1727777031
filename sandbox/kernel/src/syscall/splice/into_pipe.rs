//! splice(2) into a pipe from something else: copied, and taken away from its source only as far as it got into the pipe.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags, SeekFrom, fcntl_getfl, seek};
use rustix::io::{Errno, ReadWriteFlags, ioctl_fionread, pread, preadv2, pwritev2, read, write};
use rustix::net::{RecvFlags, SocketType, recv};
use rustix::pipe::fcntl_getpipe_size;

use super::{End, MOST_COPIED, On, Transfer};

/// What a pipe that polls as writable has room for at least.
const SLOT: usize = 4096;

impl Transfer {
    /// `EAGAIN` when there is nothing to take or no room.
    pub(super) fn fill_pipe(&mut self, on: On) -> Result<usize, Errno> {
        permitted(&self.input, libc::O_WRONLY)?;
        permitted(&self.output, libc::O_RDONLY)?;
        let length = self.length.min(MOST_COPIED);
        let output = self.output.fd.as_fd();
        match self.input.kind {
            FileType::RegularFile => from_file(on, &mut self.input, output, length),
            FileType::Socket => from_socket(on, &self.input, output, length),
            FileType::CharacterDevice => from_device(on, &self.input, output, length),
            _ => Err(Errno::INVAL),
        }
    }
}

/// `EBADF` for a descriptor that is open for nothing but the other way.
fn permitted(end: &End, other_way: i32) -> Result<(), Errno> {
    let flags = fcntl_getfl(&end.fd)?;
    let way = flags.bits() as i32 & libc::O_ACCMODE;
    if flags.contains(OFlags::PATH) || way == other_way {
        Err(Errno::BADF)
    } else {
        Ok(())
    }
}

/// Write as much as there is room for at this moment. A pipe that splice(2) was used on cannot be told not to wait
/// (`pipe_clear_nowait`): `EOPNOTSUPP` on the receiving thread, and elsewhere in portions that a writable one has room for.
pub(super) fn fill(on: On, pipe: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    let now = ReadWriteFlags::NOWAIT;
    match pwritev2(pipe, &[IoSlice::new(bytes)], u64::MAX, now) {
        Err(Errno::OPNOTSUPP) if on == On::OwnThread => fill_by_slots(pipe, bytes),
        result => result,
    }
}

fn fill_by_slots(pipe: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    let mut filled = 0;
    for portion in bytes.chunks(SLOT) {
        match has_room(pipe).and_then(|()| write(pipe, portion)) {
            Ok(count) => filled += count,
            Err(error) if filled == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(filled)
}

/// Read what is there at this moment. `EOPNOTSUPP` as for [`fill`].
pub(super) fn drain(on: On, pipe: BorrowedFd<'_>, into: &mut [u8]) -> Result<usize, Errno> {
    let now = ReadWriteFlags::NOWAIT;
    match preadv2(pipe, &mut [IoSliceMut::new(into)], u64::MAX, now) {
        Err(Errno::OPNOTSUPP) if on == On::OwnThread => {
            if polled(pipe, PollFlags::IN)?.is_empty() {
                return Err(Errno::AGAIN);
            }
            read(pipe, into)
        }
        result => result,
    }
}

/// `EAGAIN` where the pipe has no room, `EPIPE` where nobody reads from it.
fn has_room(pipe: BorrowedFd<'_>) -> Result<(), Errno> {
    let is = polled(pipe, PollFlags::OUT)?;
    if is.contains(PollFlags::ERR) {
        Err(Errno::PIPE)
    } else if is.contains(PollFlags::OUT) {
        Ok(())
    } else {
        Err(Errno::AGAIN)
    }
}

fn polled(fd: BorrowedFd<'_>, events: PollFlags) -> Result<PollFlags, Errno> {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::from_borrowed_fd(fd, events)];
    poll(&mut fds, Some(&now))?;
    Ok(fds[0].revents())
}

fn from_file(on: On, input: &mut End, pipe: BorrowedFd<'_>, length: usize) -> Result<usize, Errno> {
    has_room(pipe)?;
    let position = match input.offset {
        Some(offset) => offset,
        None => seek(&input.fd, SeekFrom::Current(0))?,
    };
    let mut buffer = vec![0; length.min(PIPE_BYTES)];
    let got = pread(&input.fd, &mut buffer, position)?;
    if got == 0 {
        return Ok(0);
    }
    let moved = fill(on, pipe, &buffer[..got])?;
    let position = position + moved as u64;
    match &mut input.offset {
        Some(offset) => *offset = position,
        None => {
            seek(&input.fd, SeekFrom::Start(position))?;
        }
    }
    Ok(moved)
}

/// What an ordinary pipe holds; a larger one is filled by several calls.
const PIPE_BYTES: usize = 64 << 10;

/// Datagrams could not be put back.
fn from_socket(on: On, input: &End, pipe: BorrowedFd<'_>, length: usize) -> Result<usize, Errno> {
    if rustix::net::sockopt::socket_type(&input.fd)? != SocketType::STREAM {
        return Err(Errno::INVAL);
    }
    if input.offset.is_some() {
        return Err(Errno::INVAL);
    }
    has_room(pipe)?;
    let mut buffer = vec![0; length.min(PIPE_BYTES)];
    let look = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    let (got, _) = recv(&input.fd, &mut *buffer, look)?;
    if got == 0 {
        return Ok(0);
    }
    let moved = fill(on, pipe, &buffer[..got])?;
    let mut taken = 0;
    while taken < moved {
        let (count, _) = recv(&input.fd, &mut buffer[..moved - taken], RecvFlags::DONTWAIT)?;
        if count == 0 {
            break;
        }
        taken += count;
    }
    Ok(moved)
}

/// On a thread of its own: a device may keep its reader waiting. What it gave could not be put back, so no more is taken than
/// there is room for: in a pipe that holds something, a slot for certain.
fn from_device(on: On, input: &End, pipe: BorrowedFd<'_>, length: usize) -> Result<usize, Errno> {
    has_room(pipe)?;
    let room = match ioctl_fionread(pipe)? {
        0 => fcntl_getpipe_size(pipe)?.min(PIPE_BYTES),
        _ => SLOT,
    };
    let mut buffer = vec![0; length.min(room)];
    let got = read(&input.fd, &mut *buffer)?;
    if got == 0 {
        return Ok(0);
    }
    fill(on, pipe, &buffer[..got])
}
