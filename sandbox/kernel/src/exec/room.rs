//! Room for the loader's descriptors in a process whose descriptor table is full.
//!
//! Linux executes a program without giving the process a descriptor. The loader, the program and its interpreter
//! need three for a moment, which a full table must not make fail: the soft limit of open files is raised
//! meanwhile, and the hard limit where there is no room below and the host lets the app kernel. Never for longer than
//! the loader needs.

use std::os::fd::BorrowedFd;

use caisson_sys::limit;
use caisson_sys::notify::Cloexec;
use rustix::io::Errno;

use crate::call::Call;

/// Loader, program and interpreter.
const DESCRIPTORS: u64 = 3;

/// Soft and hard limit.
type Limits = (u64, u64);

/// Limits that were raised.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pid: i32,
    before: Limits,
    raised: Limits,
}

impl Room {
    /// `EMFILE` where there can be none.
    fn make(pid: i32) -> Result<Room, Errno> {
        let before = limit::get(pid, libc::RLIMIT_NOFILE)?;
        let soft = before.0.saturating_add(DESCRIPTORS);
        let raised = (soft, before.1.max(soft));
        limit::set(pid, libc::RLIMIT_NOFILE, raised.0, raised.1).map_err(|_| Errno::MFILE)?;
        Ok(Room {
            pid,
            before,
            raised,
        })
    }

    /// Put the limits back, unless somebody has set others meanwhile.
    pub fn restore(self) {
        let restored = limit::get(self.pid, libc::RLIMIT_NOFILE).and_then(|now| {
            if now == self.raised {
                limit::set(self.pid, libc::RLIMIT_NOFILE, self.before.0, self.before.1)
            } else {
                Ok(())
            }
        });
        if let Err(error) = restored
            && error != Errno::SRCH
        {
            tracing::warn!(pid = self.pid, %error, "the limit of open files stays raised after an exec");
        }
    }
}

/// Put `fd` into the calling guest, making room for it once.
pub fn donate(call: &Call<'_>, fd: BorrowedFd<'_>, room: &mut Option<Room>) -> Result<i32, Errno> {
    let put = || call.transport.donate(&call.incoming, fd, Cloexec::Yes);
    match put() {
        Err(Errno::MFILE) if room.is_none() => {
            *room = Some(Room::make(call.process().pid)?);
            put()
        }
        result => result,
    }
}
