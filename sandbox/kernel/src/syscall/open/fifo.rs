//! The reading end of a fifo, whose open(2) waits for a writer.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex};

use caisson_sys::notify::Cloexec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fcntl_setfl, openat};
use rustix::io::Errno;

use super::{Request, SETTABLE};
use crate::call::Call;
use crate::reply::Reply;
use crate::task::lock;

/// The fifo was opened without waiting: `early`. Keep that end, so that a writer who comes meanwhile is not lost, and
/// wait on a thread of its own for the opening that open(2) promises. It is closed before the guest goes on: a later
/// writer would take it for a reader.
pub(super) fn wait_for_writer(
    call: &mut Call<'_>,
    request: Request,
    early: OwnedFd,
) -> Result<Reply, Errno> {
    let early = Arc::new(Mutex::new(Some(early)));
    let watched = early.clone();
    // A writer may come and go before the second opening begins, which would then wait for the next one.
    let came = move || lock(&watched).as_ref().is_some_and(writer_came);
    call.park_until(came, move |call| {
        let opened = open_again(call, &request, &early);
        let early = lock(&early).take().ok_or(Errno::NOENT)?;
        let file = match opened {
            Err(Errno::INTR) if writer_came(&early) => {
                fcntl_setfl(&early, request.flags & SETTABLE)?;
                early
            }
            opened => opened?,
        };
        let cloexec = if request.flags.contains(OFlags::CLOEXEC) {
            Cloexec::Yes
        } else {
            Cloexec::No
        };
        Ok(Reply::Fd(file, cloexec))
    })
}

/// Whether there is something to read, or the end of it. Before the first writer there is neither.
fn writer_came(early: &OwnedFd) -> bool {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::new(early, PollFlags::IN)];
    poll(&mut fds, Some(&now)) == Ok(1)
}

/// `EINTR` as well where a writer has come already.
fn open_again(
    call: &Call<'_>,
    request: &Request,
    early: &Mutex<Option<OwnedFd>>,
) -> Result<OwnedFd, Errno> {
    let flags = (request.flags
        & !(OFlags::CREATE | OFlags::EXCL | OFlags::TRUNC | OFlags::NOFOLLOW))
        | OFlags::CLOEXEC;
    let own = call.kernel.own_descriptors()?;
    let name = {
        let early = lock(early);
        let early = early.as_ref().filter(|early| !writer_came(early));
        early.ok_or(Errno::INTR)?.as_raw_fd().to_string()
    };
    openat(&own, name, flags, Mode::empty())
}
