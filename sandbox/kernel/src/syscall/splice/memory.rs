//! vmsplice(2): between memory and a pipe. Both ways copy.

use std::os::fd::{AsFd, BorrowedFd};

use caisson_sys::memory;
use rustix::event::PollFlags;
use rustix::fs::{FileType, OFlags, fcntl_getfl};
use rustix::io::{Errno, read};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, tee};

use super::into_pipe::{drain, fill};
use super::{End, MOST_COPIED, On, broken_pipe, flags, ready};
use crate::call::Call;
use crate::reply::Reply;
use crate::syscall::iovec::{Cursor, Part, Whose, parts, total};

/// Copied at a time.
const BLOCK: usize = 64 << 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    IntoPipe,
    OutOfPipe,
}

struct Request {
    pipe: End,
    parts: Vec<Part>,
    direction: Direction,
}

pub fn vmsplice(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let flags = flags(call.uint(3))?;
    let pipe = End::of(call, 0)?;
    let open = fcntl_getfl(&pipe.fd)?;
    if pipe.kind != FileType::Fifo || open.contains(OFlags::PATH) {
        return Err(Errno::BADF);
    }
    let direction = if open.bits() as i32 & libc::O_ACCMODE == libc::O_RDONLY {
        Direction::OutOfPipe
    } else {
        Direction::IntoPipe
    };
    let parts = parts(call, call.arg(1), call.arg(2), Whose::Caller)?;
    if total(&parts) == 0 {
        return Ok(Reply::ZERO);
    }
    let request = Request {
        pipe,
        parts,
        direction,
    };
    let may_wait = !flags.contains(SpliceFlags::NONBLOCK);
    if direction == Direction::IntoPipe {
        match request.attempt(On::ReceivingThread, call) {
            Err(Errno::AGAIN) if may_wait => {}
            Err(Errno::OPNOTSUPP) => {}
            result => return conclude(call, result),
        }
    }
    call.park(move |call| {
        if may_wait {
            return request.wait_and_attempt(call);
        }
        let result = request.attempt(On::OwnThread, call);
        conclude(call, result)
    })
}

fn conclude(call: &Call<'_>, result: Result<usize, Errno>) -> Result<Reply, Errno> {
    broken_pipe(call, result).map(|count| Reply::Value(count as i64))
}

impl Request {
    fn wait_and_attempt(&self, call: &Call<'_>) -> Result<Reply, Errno> {
        let events = match self.direction {
            Direction::IntoPipe => PollFlags::OUT,
            Direction::OutOfPipe => PollFlags::IN,
        };
        loop {
            ready(&self.pipe, events)?;
            match self.attempt(On::OwnThread, call) {
                Err(Errno::AGAIN) => {}
                result => return conclude(call, result),
            }
        }
    }

    /// What can be done at once. An error only if that is nothing.
    fn attempt(&self, on: On, call: &Call<'_>) -> Result<usize, Errno> {
        let mut cursor = Cursor::new(&self.parts);
        let mut block = vec![0; BLOCK];
        let mut done = 0;
        while done < MOST_COPIED {
            let Some((address, left)) = cursor.here() else {
                break;
            };
            let length = (left as usize).min(BLOCK).min(MOST_COPIED - done);
            let moved = self.move_block(on, call.incoming.tid, address, &mut block[..length]);
            match moved {
                Ok(count) => {
                    done += count;
                    cursor.advance(count as u64);
                    if count < length {
                        break;
                    }
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn move_block(&self, on: On, tid: i32, address: u64, block: &mut [u8]) -> Result<usize, Errno> {
        let pipe = self.pipe.fd.as_fd();
        match self.direction {
            Direction::IntoPipe => {
                let got = memory::read(tid, address, block)?;
                fill(on, pipe, &block[..got])
            }
            Direction::OutOfPipe => {
                let got = look(pipe, block)?;
                let taken = memory::write_some(tid, address, &block[..got])?;
                drain(on, pipe, &mut block[..taken])
            }
        }
    }
}

/// What is in the pipe, left there: what cannot be written to memory stays.
fn look(pipe: BorrowedFd<'_>, into: &mut [u8]) -> Result<usize, Errno> {
    let (outlet, inlet) = pipe_with(PipeFlags::CLOEXEC)?;
    let there = tee(pipe, &inlet, into.len(), SpliceFlags::NONBLOCK)?;
    read(&outlet, &mut into[..there])
}
