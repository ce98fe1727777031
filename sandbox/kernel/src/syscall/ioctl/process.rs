//! Requests on descriptors of processes, pidfds.

use std::os::fd::AsFd;

use rustix::io::Errno;

use super::Request;
use crate::call::Call;
use crate::reply::Reply;

/// linux/pidfd.h: `PIDFD_GET_INFO` without the bits that say how large the caller's structure is.
pub(super) const PIDFD_GET_INFO: u32 = 0xc000_ff0b;
/// linux/ioctl.h: where the size is.
pub(super) const SIZE_MASK: u32 = 0x3fff_0000;

/// What `struct pidfd_info` holds, by its `mask`.
const PIDFD_INFO_PID: u64 = 1;
const PIDFD_INFO_CREDS: u64 = 2;
/// Its size in Linux 6.13, the least that Linux takes.
const PIDFD_INFO_SIZE_VER0: usize = 64;
/// Where the ids of the process and of its parent are, and the four pairs of its credentials.
const PIDS: usize = 16;
const CREDENTIALS: usize = 28;

/// What the host says, with ids and credentials as guests know them.
pub(super) fn information(call: &mut Call<'_>, request: &Request) -> Result<Reply, Errno> {
    let size = ((request.number & SIZE_MASK) >> 16) as usize;
    if size < PIDFD_INFO_SIZE_VER0 {
        return Err(Errno::NOTTY);
    }
    if request.argument == 0 {
        return Err(Errno::INVAL);
    }
    let wanted: u64 = call.read(request.argument)?;
    let mut info = vec![0; size];
    info[..8].copy_from_slice(&wanted.to_ne_bytes());
    call.servant.assume_self()?;
    caisson_sys::process::information(request.fd.as_fd(), request.number, &mut info)?;
    let word = |info: &[u8], at: usize| {
        info[at..]
            .first_chunk()
            .map_or(0, |b| u32::from_ne_bytes(*b))
    };
    let mask = info
        .first_chunk()
        .map_or(0, |bytes| u64::from_ne_bytes(*bytes));
    if mask & (PIDFD_INFO_PID | PIDFD_INFO_CREDS) != 0 {
        let [pid, tgid, parent] = [0, 4, 8].map(|at| word(&info, PIDS + at) as i32);
        let thread = call.kernel.thread(if pid == 0 { tgid } else { pid })?;
        // Of a process whose parent lies outside of the container the parent is 0.
        let parent = call
            .kernel
            .thread(parent)
            .map_or(0, |parent| parent.guest_tid);
        let c = thread.credentials();
        let pids = [thread.guest_tid, thread.process.guest_pid, parent];
        let ids = [
            c.ruid, c.rgid, c.euid, c.egid, c.suid, c.sgid, c.fsuid, c.fsgid,
        ];
        let words = pids.map(|id| id as u32).into_iter().chain(ids);
        for (place, value) in info[PIDS..].chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&value.to_ne_bytes());
        }
    }
    call.write_bytes(request.argument, &info)?;
    Ok(Reply::ZERO)
}

const _: () = assert!(PIDS + 3 * 4 == CREDENTIALS && CREDENTIALS + 8 * 4 <= PIDFD_INFO_SIZE_VER0);
