//! Terminals and open(2): the one that controls the caller, and how a session leader gets one.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use caisson_sys::notify::Cloexec;
use rustix::io::Errno;

use super::TERMINALS;
use crate::call::Call;
use crate::reply::Reply;

/// Fields of /proc/PID/stat from behind the name, proc_pid_stat(5).
struct Session {
    leader: i32,
    /// new_encode_dev() of the controlling terminal, 0 without one.
    terminal: u64,
}

fn session(call: &Call<'_>) -> Result<Session, Errno> {
    let path = format!("{}/stat", call.incoming.tid);
    let stat = crate::task::read_proc(call.kernel.host_proc(), &path)?;
    // The name in parentheses may hold anything: fields are counted from behind it.
    let (_, fields) = stat.rsplit_once(')').ok_or(Errno::NXIO)?;
    let mut fields = fields.split_ascii_whitespace().skip(3);
    let mut next = || fields.next().ok_or(Errno::NXIO);
    let leader = next()?.parse().map_err(|_| Errno::NXIO)?;
    let terminal = next()?.parse().map_err(|_| Errno::NXIO)?;
    Ok(Session { leader, terminal })
}

/// Whether a terminal that the caller opens becomes its controlling one: a session leader without.
pub(super) fn may_acquire(call: &Call<'_>) -> Result<bool, Errno> {
    let session = session(call)?;
    Ok(session.leader == call.process().pid && session.terminal == 0)
}

/// Put the terminal into the guest, and have the guest acquire it.
pub(super) fn give(call: &Call<'_>, file: OwnedFd, cloexec: Cloexec) -> Result<Reply, Errno> {
    let number = call
        .transport
        .donate(&call.incoming, file.as_fd(), cloexec)?;
    // Before the guest goes on, which may wait for the last one to close it.
    drop(file);
    match call.transport.answer_terminal(&call.incoming, number) {
        // The thread was killed; nobody waits for an answer.
        Ok(()) | Err(Errno::SRCH | Errno::NOENT) => Ok(Reply::Answered),
        Err(error) => {
            tracing::debug!(tid = call.incoming.tid, %error, "a terminal did not become the controlling one");
            Ok(Reply::Value(number.into()))
        }
    }
}

/// Where the caller's controlling terminal is in its own tree; `ENXIO` without one.
pub(super) fn controlling(call: &Call<'_>) -> Result<CString, Errno> {
    let device = session(call)?.terminal;
    // new_encode_dev(): minor bits 0-7 and 20-31, major bits 8-19.
    let (major, minor) = (
        (device >> 8 & 0xfff) as u32,
        (device & 0xff) | (device >> 12 & 0xfff00),
    );
    if !TERMINALS.contains(&major) {
        return Err(Errno::NXIO);
    }
    let number = u64::from(major - TERMINALS.start()) * 256 + minor;
    CString::new(format!("/dev/pts/{number}")).map_err(|_| Errno::NXIO)
}
