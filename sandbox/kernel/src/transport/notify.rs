//! The seccomp user notification transport.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use caisson_sys::affinity::Together;
use caisson_sys::notify::{Cloexec, Listener, Notification};
use caisson_sys::passing;
use caisson_sys::surgery::{self, ExecRegisters};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::{ContinueToken, Incoming, Transport};

#[derive(Debug)]
pub struct Notify(Listener);

impl Notify {
    pub fn new(listener: OwnedFd) -> Notify {
        Notify(Listener::new(listener))
    }

    /// Whether the last process under the filter is gone.
    fn hung_up(&self) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        matches!(poll(&mut fds, Some(&now)), Ok(1)) && fds[0].revents().contains(PollFlags::HUP)
    }
}

fn notification(call: &Incoming) -> Notification {
    Notification {
        id: call.id,
        tid: call.tid,
        nr: call.nr,
        args: call.args,
    }
}

impl Transport for Notify {
    fn receive(&self) -> Result<Option<Incoming>, Errno> {
        loop {
            match self.0.receive() {
                Ok(n) => {
                    return Ok(Some(Incoming {
                        id: n.id,
                        tid: n.tid,
                        nr: n.nr,
                        args: n.args,
                    }));
                }
                // The caller was killed between its call and now, or the filter lost its last user.
                Err(Errno::NOENT | Errno::INTR) => {
                    if self.hung_up() {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn answer_value(&self, call: &Incoming, value: i64) -> Result<(), Errno> {
        self.0.send_value(call.id, value)
    }

    fn answer_error(&self, call: &Incoming, errno: Errno) -> Result<(), Errno> {
        self.0.send_error(call.id, errno.raw_os_error())
    }

    fn answer_continue(&self, call: &Incoming, _: ContinueToken) -> Result<(), Errno> {
        self.0.send_continue(call.id)
    }

    fn donate(&self, call: &Incoming, fd: BorrowedFd<'_>, cloexec: Cloexec) -> Result<i32, Errno> {
        let _together = Together::hold(call.tid);
        self.0.add_fd(call.id, fd, cloexec)
    }

    fn answer_path(&self, call: &Incoming, fd: OwnedFd, cloexec: Cloexec) -> Result<i64, Errno> {
        let (inside, outside) = socketpair(
            AddressFamily::UNIX,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        passing::send(outside.as_fd(), fd.as_fd())?;
        let number = self.donate(call, inside.as_fd(), Cloexec::Yes)?;
        // The guest's copy is to be the last one, before it goes on.
        drop((fd, inside, outside));
        match surgery::answer_with_received(&self.0, &notification(call), number, cloexec) {
            Err(Errno::SRCH) => Err(Errno::NOENT),
            result => result,
        }
    }

    fn exec(&self, call: &Incoming, registers: ExecRegisters) -> Result<(), Errno> {
        surgery::exec(&self.0, &notification(call), registers)
    }

    fn answer_terminal(&self, call: &Incoming, fd: i32) -> Result<(), Errno> {
        surgery::answer_terminal(&self.0, &notification(call), fd)
    }

    fn interrupt(&self, call: &Incoming) -> Result<(), Errno> {
        surgery::interrupt(&self.0, &notification(call))
    }

    fn still_waits(&self, call: &Incoming) -> bool {
        self.0.id_valid(call.id)
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
