//! The seccomp user notification transport.

mod crowd;
mod hold;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use caisson_sys::notify::{Cloexec, Listener, Notification};
use caisson_sys::passing;
use caisson_sys::surgery::{self, ExecRegisters};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::{ContinueToken, Incoming, Transport};

use crowd::Crowd;
use hold::Hold;

#[derive(Debug)]
pub struct Notify {
    listener: Listener,
    crowd: Crowd,
    hold: Hold,
}

impl Notify {
    pub fn new(listener: OwnedFd) -> Notify {
        Notify {
            listener: Listener::new(listener),
            crowd: Crowd::new(),
            hold: Hold::new(),
        }
    }

    /// Wait for a call once. `None`: look after everything else and wait again.
    fn receive_once(&self) -> Result<Option<Incoming>, Errno> {
        match self.listener.receive() {
            Ok(n) => {
                self.crowd.called(n.tid);
                Ok(Some(Incoming {
                    id: n.id,
                    tid: n.tid,
                    nr: n.nr,
                    args: n.args,
                }))
            }
            // The caller was killed between its call and now, the filter lost its last user, or somebody wakes us.
            Err(Errno::NOENT | Errno::INTR) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn answer(
        &self,
        call: &Incoming,
        send: impl FnOnce(&Listener) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        self.crowd
            .answer(&self.listener, call.tid, || send(&self.listener))
    }

    /// Whether the last process under the filter is gone.
    fn hung_up(&self) -> bool {
        let mut fds = [PollFd::new(&self.listener, PollFlags::IN)];
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
            self.crowd.settle();
            match self.receive_once()? {
                None if self.hung_up() => return Ok(None),
                None => {}
                call => return Ok(call),
            }
        }
    }

    fn wants_assistant(&self) -> bool {
        self.crowd.wants_assistant()
    }

    fn no_assistant(&self) {
        self.crowd.no_assistant();
    }

    fn assist(&self) -> Result<Option<Incoming>, Errno> {
        while self.crowd.settle_assistant() {
            match self.receive_once()? {
                None if self.hung_up() => return Ok(None),
                None => {}
                call => return Ok(call),
            }
        }
        Ok(None)
    }

    fn answer_value(&self, call: &Incoming, value: i64) -> Result<(), Errno> {
        self.answer(call, |listener| listener.send_value(call.id, value))
    }

    fn answer_error(&self, call: &Incoming, errno: Errno) -> Result<(), Errno> {
        let error = errno.raw_os_error();
        self.answer(call, |listener| listener.send_error(call.id, error))
    }

    fn answer_continue(&self, call: &Incoming, _: ContinueToken) -> Result<(), Errno> {
        self.answer(call, |listener| listener.send_continue(call.id))
    }

    fn donate(&self, call: &Incoming, fd: BorrowedFd<'_>, cloexec: Cloexec) -> Result<i32, Errno> {
        self.hold
            .during(call.tid, || self.listener.add_fd(call.id, fd, cloexec))
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
        match surgery::answer_with_received(&self.listener, &notification(call), number, cloexec) {
            Err(Errno::SRCH) => Err(Errno::NOENT),
            result => result,
        }
    }

    fn exec(&self, call: &Incoming, registers: ExecRegisters) -> Result<(), Errno> {
        let together = self.hold.for_stop(call.tid);
        surgery::exec(&self.listener, &notification(call), registers, together)
    }

    fn answer_terminal(&self, call: &Incoming, fd: i32) -> Result<(), Errno> {
        surgery::answer_terminal(&self.listener, &notification(call), fd)
    }

    fn interrupt(&self, call: &Incoming) -> Result<(), Errno> {
        surgery::interrupt(&self.listener, &notification(call))
    }

    fn still_waits(&self, call: &Incoming) -> bool {
        self.listener.id_valid(call.id)
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}
