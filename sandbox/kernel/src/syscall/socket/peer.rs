//! `SO_PEERCRED` and its relatives, in guest terms.

use std::os::fd::{AsFd, BorrowedFd};

use caisson_sys::layout;
use caisson_sys::notify::Cloexec;
use caisson_sys::socket as host;
use rustix::io::Errno;

use super::identity;
use crate::call::Call;

/// The other end of a unix socket as the guest may know it.
#[derive(Debug)]
pub(super) struct Peer {
    /// In the guest's pid namespace; 0 for processes outside.
    pub(super) pid: i32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// `None` when the socket has no peer yet.
    pub(super) groups: Option<Vec<u32>>,
}

impl Peer {
    pub(super) fn of(call: &Call<'_>, socket: BorrowedFd<'_>) -> Result<Peer, Errno> {
        let mut native = libc::ucred {
            pid: 0,
            uid: u32::MAX,
            gid: u32::MAX,
        };
        host::option(
            socket,
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            layout::bytes_of_mut(&mut native),
        )
        .map_err(|(errno, _)| errno)?;
        let groups = host_groups(socket);
        if let Some(pid) = groups.as_deref().and_then(identity::guest_pid) {
            let groups = groups.map(|groups| identity::plain(&groups).collect());
            return Ok(Peer {
                pid,
                uid: native.uid,
                gid: native.gid,
                groups,
            });
        }
        // A pair that a guest made natively carries the host ids that all guests have.
        if native.uid == call.kernel.ids.host_uid() {
            let thread = call.kernel.thread(native.pid).ok();
            // Who made it may have ended: then it was a relative of whoever has it now.
            let credentials = thread
                .as_ref()
                .map_or_else(|| call.credentials(), |thread| thread.credentials());
            return Ok(Peer {
                pid: thread.map_or(0, |thread| thread.process.guest_pid),
                uid: credentials.euid,
                gid: credentials.egid,
                groups: Some(credentials.groups.to_vec()),
            });
        }
        Ok(Peer {
            pid: 0,
            uid: native.uid,
            gid: native.gid,
            groups,
        })
    }

    pub(super) fn ucred(&self) -> libc::ucred {
        libc::ucred {
            pid: self.pid,
            uid: self.uid,
            gid: self.gid,
        }
    }
}

/// The groups that the host has for the peer; `None` without a peer.
fn host_groups(socket: BorrowedFd<'_>) -> Option<Vec<u32>> {
    let mut bytes = vec![0u8; 64 * size_of::<u32>()];
    let length = match host::option(socket, libc::SOL_SOCKET, libc::SO_PEERGROUPS, &mut bytes) {
        Err((Errno::RANGE, needed)) => {
            bytes.resize(needed, 0);
            host::option(socket, libc::SOL_SOCKET, libc::SO_PEERGROUPS, &mut bytes).ok()?
        }
        result => result.ok()?,
    };
    let words = bytes.get(..length)?.chunks_exact(4);
    Some(
        words
            .map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))
            .collect(),
    )
}

/// `SO_PEERPIDFD`: a pidfd of the peer, put into the guest. `ESRCH` when it is gone or outside, `ENODATA`
/// without a peer.
pub(super) fn donate_pidfd(call: &Call<'_>, socket: BorrowedFd<'_>) -> Result<i32, Errno> {
    let peer = Peer::of(call, socket)?;
    if peer.groups.is_none() {
        return Err(Errno::NODATA);
    }
    let process = crate::syscall::signal::find_process(call, peer.pid)?;
    call.transport
        .donate(&call.incoming, process.pidfd.as_fd(), Cloexec::Yes)
}
