//! splice(2), tee(2), vmsplice(2).
//!
//! From a pipe the app kernel makes the call itself, on the guest's descriptors and with its rights. What goes into a pipe
//! is copied (`into_pipe`), so that a guest's pipe never holds pages of a file or of another program's memory, which
//! mistakes of the host kernel have made writable by way of pipes.
//!
//! Must never: wait on the receiving thread, or write to a synthetic file, which would not know in whose name.

mod into_pipe;
mod memory;

use std::os::fd::{AsFd, OwnedFd};

use caisson_sys::signal::send_to_thread;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, OFlags, SeekFrom, fcntl_getfl, fstat, seek};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice as host_splice, tee as host_tee};

use crate::call::Call;
use crate::reply::Reply;

pub use memory::vmsplice;

/// Copied by one call.
const MOST_COPIED: usize = 1 << 20;

/// One end of a transfer.
struct End {
    fd: OwnedFd,
    kind: FileType,
    /// Guest address of the offset to use instead of the file's own, 0 for none, and its value.
    offset_at: u64,
    offset: Option<u64>,
}

struct Transfer {
    input: End,
    output: End,
    length: usize,
    flags: SpliceFlags,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Splice,
    Tee,
}

/// Where a transfer is made: the receiving thread must not wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    ReceivingThread,
    OwnThread,
}

pub fn splice(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let length = call.arg(4) as usize;
    if length == 0 {
        return Ok(Reply::ZERO);
    }
    let flags = flags(call.uint(5))?;
    let (mut input, mut output) = (End::of(call, 0)?, End::of(call, 2)?);
    input.take_offset(call, call.arg(1))?;
    output.take_offset(call, call.arg(3))?;
    must_be_open(&input, &output)?;
    if input.kind != FileType::Fifo && output.kind != FileType::Fifo {
        return Err(Errno::INVAL);
    }
    if input.is_synthetic(call)? || output.is_synthetic(call)? {
        return Err(Errno::INVAL);
    }
    // Descriptors of epoll, events, timers and their like have no type, and Linux does not splice from them.
    if input.kind == FileType::Unknown {
        return Err(Errno::INVAL);
    }
    run(
        call,
        Transfer {
            input,
            output,
            length,
            flags,
            what: What::Splice,
        },
    )
}

pub fn tee(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let flags = flags(call.uint(3))?;
    let length = call.arg(2) as usize;
    if length == 0 {
        return Ok(Reply::ZERO);
    }
    let (input, output) = (End::of(call, 0)?, End::of(call, 1)?);
    must_be_open(&input, &output)?;
    run(
        call,
        Transfer {
            input,
            output,
            length,
            flags,
            what: What::Tee,
        },
    )
}

fn flags(bits: u32) -> Result<SpliceFlags, Errno> {
    /// `SPLICE_F_ALL`, linux/splice.h.
    const ALL: u32 = 0xf;
    if bits & !ALL == 0 {
        Ok(SpliceFlags::from_bits_retain(bits))
    } else {
        Err(Errno::INVAL)
    }
}

/// `EBADF` unless the input is open for reading and the output for writing: nothing would ever come, or go.
fn must_be_open(input: &End, output: &End) -> Result<(), Errno> {
    let (from, to) = (fcntl_getfl(&input.fd)?, fcntl_getfl(&output.fd)?);
    let reads = from & OFlags::ACCMODE != OFlags::WRONLY && !from.contains(OFlags::PATH);
    let writes = to & OFlags::ACCMODE != OFlags::RDONLY && !to.contains(OFlags::PATH);
    if reads && writes {
        Ok(())
    } else {
        Err(Errno::BADF)
    }
}

impl End {
    fn of(call: &Call<'_>, argument: usize) -> Result<End, Errno> {
        let fd = call.fd(call.int(argument))?;
        let kind = FileType::from_raw_mode(fstat(&fd)?.st_mode);
        Ok(End {
            fd,
            kind,
            offset_at: 0,
            offset: None,
        })
    }

    fn take_offset(&mut self, call: &Call<'_>, address: u64) -> Result<(), Errno> {
        if address == 0 {
            return Ok(());
        }
        if self.kind == FileType::Fifo {
            return Err(Errno::SPIPE);
        }
        self.offset_at = address;
        self.offset = Some(call.read(address)?);
        Ok(())
    }

    fn is_synthetic(&self, call: &Call<'_>) -> Result<bool, Errno> {
        Ok(call.kernel.is_synthetic(fstat(&self.fd)?.st_dev))
    }

    fn has(&self, flag: OFlags) -> bool {
        fcntl_getfl(&self.fd).is_ok_and(|flags| flags.contains(flag))
    }

    /// Whether a transfer may wait here although it was told not to.
    fn waits_regardless(&self) -> bool {
        !matches!(
            self.kind,
            FileType::Fifo | FileType::RegularFile | FileType::Socket
        )
    }
}

/// Try at once; where that would have to wait, do it on a thread of its own.
fn run(call: &mut Call<'_>, mut transfer: Transfer) -> Result<Reply, Errno> {
    transfer.obey_size_limit(call)?;
    if !transfer.input.waits_regardless() && !transfer.output.waits_regardless() {
        call.assume()?;
        match transfer.attempt(On::ReceivingThread) {
            Err(Errno::AGAIN) if transfer.may_wait() => {}
            Err(Errno::OPNOTSUPP) => {}
            result => return transfer.conclude(call, result),
        }
    }
    call.park(move |call| {
        call.assume()?;
        let result = transfer.wait_and_attempt();
        transfer.conclude(call, result)
    })
}

impl Transfer {
    /// Whether its end is to be waited for: the flag is for the pipes alone, and each may be told by its own.
    fn may_wait(&self) -> bool {
        !self.flags.contains(SpliceFlags::NONBLOCK)
            && !self.input.has(OFlags::NONBLOCK)
            && !self.output.has(OFlags::NONBLOCK)
    }

    fn attempt(&mut self, on: On) -> Result<usize, Errno> {
        let mut flags = self.flags;
        if on == On::ReceivingThread {
            flags |= SpliceFlags::NONBLOCK;
        }
        if self.what == What::Tee {
            return host_tee(&self.input.fd, &self.output.fd, self.length, flags);
        }
        if self.input.kind == FileType::Fifo {
            return host_splice(
                &self.input.fd,
                None,
                &self.output.fd,
                self.output.offset.as_mut(),
                self.length,
                flags,
            );
        }
        self.fill_pipe(on)
    }

    fn wait_and_attempt(&mut self) -> Result<usize, Errno> {
        let copied = self.what == What::Splice && self.input.kind != FileType::Fifo;
        if !copied {
            return self.attempt(On::OwnThread);
        }
        loop {
            if self.may_wait() {
                ready(&self.output, PollFlags::OUT)?;
                ready(&self.input, PollFlags::IN)?;
            }
            match self.attempt(On::OwnThread) {
                Err(Errno::AGAIN) if self.may_wait() => {}
                result => return result,
            }
        }
    }

    /// The limit is the guest's, and so is the signal: setrlimit(2).
    fn obey_size_limit(&mut self, call: &Call<'_>) -> Result<(), Errno> {
        if self.output.kind != FileType::RegularFile {
            return Ok(());
        }
        let (limit, _) = caisson_sys::limit::get(call.process().pid, libc::RLIMIT_FSIZE)?;
        let position = match self.output.offset {
            // Negative to Linux, and beyond any limit only when read as unsigned.
            Some(offset) if i64::try_from(offset).is_err() => return Err(Errno::INVAL),
            Some(offset) => offset,
            None => seek(&self.output.fd, SeekFrom::Current(0))?,
        };
        let room = limit.saturating_sub(position);
        if room == 0 {
            send_to_thread(call.process().pid, call.incoming.tid, libc::SIGXFSZ)?;
            return Err(Errno::FBIG);
        }
        self.length = self.length.min(usize::try_from(room).unwrap_or(usize::MAX));
        Ok(())
    }

    fn conclude(&self, call: &Call<'_>, result: Result<usize, Errno>) -> Result<Reply, Errno> {
        let count = broken_pipe(call, result)?;
        for end in [&self.input, &self.output] {
            if let Some(offset) = end.offset {
                call.write(end.offset_at, &offset)?;
            }
        }
        Ok(Reply::Value(count as i64))
    }
}

/// What the host sends to the thread that writes is the guest's.
fn broken_pipe(call: &Call<'_>, result: Result<usize, Errno>) -> Result<usize, Errno> {
    if result == Err(Errno::PIPE) {
        send_to_thread(call.process().pid, call.incoming.tid, libc::SIGPIPE)?;
    }
    result
}

/// Wait until something can be done there, if only to fail. `EINTR`.
fn ready(end: &End, events: PollFlags) -> Result<(), Errno> {
    let mut fds = [PollFd::from_borrowed_fd(end.fd.as_fd(), events)];
    poll(&mut fds, None).map(drop)
}
