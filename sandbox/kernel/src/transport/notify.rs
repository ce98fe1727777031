//! The seccomp user notification transport.

mod crowd;
mod hold;
mod homes;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};

use caisson_sys::affinity;
use caisson_sys::mqueue::Notice;
use caisson_sys::notify::{Cloexec, Listener, Notification};
use caisson_sys::passing;
use caisson_sys::surgery::{self, ExecRegisters};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::{ContinueToken, Incoming, Replaced, Transport};
use crate::kernel::Kernel;
use crate::tracer::Tracees;

use crowd::Crowd;
use hold::Hold;

#[derive(Debug)]
pub struct Notify {
    listener: Arc<Listener>,
    kernel: Weak<Kernel>,
    crowd: Crowd,
    hold: Hold,
}

impl Notify {
    pub fn new(listener: OwnedFd, kernel: Weak<Kernel>) -> Notify {
        Notify {
            listener: Arc::new(Listener::new(listener)),
            kernel,
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

    /// Bring the thread of `call` to a stop: here, or, if a guest traces it, where all such threads are traced. `EPERM`
    /// from here means that it is stopped there for another reason just now.
    fn surgery<R: Send + 'static>(
        &self,
        call: &Incoming,
        here: impl FnOnce(&Listener, &Notification) -> Result<R, Errno>,
        there: impl FnOnce(&mut Tracees, &Listener, &Notification) -> Result<R, Errno> + Send + 'static,
    ) -> Result<R, Errno> {
        let notification = notification(call);
        let kernel = self.kernel.upgrade().ok_or(Errno::SRCH)?;
        if !kernel.tracer.holds(call.tid) {
            match here(&self.listener, &notification) {
                Err(Errno::PERM) if kernel.tracer.is_used() => {}
                result => return result,
            }
        }
        let listener = self.listener.clone();
        kernel.tracer.ask(&kernel, move |tracees| {
            there(tracees, &listener, &notification)
        })?
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

/// What the callers of a transport expect of a guest that was killed.
fn gone(answered: Result<i64, Errno>) -> Result<i64, Errno> {
    match answered {
        Err(Errno::SRCH) => Err(Errno::NOENT),
        result => result,
    }
}

impl Transport for Notify {
    fn receive(&self) -> Result<Option<Incoming>, Errno> {
        affinity::next_turn();
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
            let call = self.receive_once();
            self.crowd.assistant_woke();
            match call? {
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
        let answered = self.surgery(
            call,
            |listener, call| surgery::answer_with_received(listener, call, number, cloexec),
            move |tracees, listener, call| {
                tracees.answer_with_received(listener, call, number, cloexec)
            },
        );
        gone(answered)
    }

    fn answer_notice(&self, call: &Incoming, notice: Notice) -> Result<i64, Errno> {
        gone(self.surgery(
            call,
            move |listener, call| surgery::answer_with_notice(listener, call, &notice),
            move |tracees, listener, call| tracees.answer_with_notice(listener, call, &notice),
        ))
    }

    fn clone_with(&self, call: &Incoming, flags: u64) -> Result<Replaced, Errno> {
        self.surgery(
            call,
            |listener, call| surgery::clone_with(listener, call, flags),
            move |tracees, listener, call| tracees.clone_with(listener, call, flags),
        )
        .map(|()| Replaced::Delivered)
    }

    fn exec(&self, call: &Incoming, registers: ExecRegisters) -> Result<(), Errno> {
        self.surgery(
            call,
            |listener, call| surgery::exec(listener, call, registers, self.hold.for_stop(call.tid)),
            move |tracees, listener, call| tracees.exec(listener, call, registers),
        )
    }

    fn answer_terminal(&self, call: &Incoming, fd: i32) -> Result<(), Errno> {
        self.surgery(
            call,
            |listener, call| surgery::answer_terminal(listener, call, fd),
            move |tracees, listener, call| tracees.answer_terminal(listener, call, fd),
        )
    }

    fn start_program(&self, call: &Incoming, entry: u64, stack: u64) -> Result<(), Errno> {
        self.surgery(
            call,
            |_, _| Err(Errno::NOSYS),
            move |tracees, listener, call| tracees.start_program(listener, call, entry, stack),
        )
    }

    fn interrupt(&self, call: &Incoming) -> Result<(), Errno> {
        self.surgery(call, surgery::interrupt, |tracees, listener, call| {
            tracees.interrupt(listener, call)
        })
    }

    fn guard(&self, call: &Incoming) -> Result<bool, Errno> {
        let kernel = self.kernel.upgrade().ok_or(Errno::SRCH)?;
        let tid = call.tid;
        kernel
            .tracer
            .ask(&kernel, move |tracees| tracees.guard(tid))?
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
