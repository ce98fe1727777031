//! The ptrace transport: the filter stops a guest thread under ptrace(2) where user notification would have notified.
//!
//! All of ptrace belongs to one thread, the one that calls [`Transport::receive`], and so serves. What other threads
//! want of a guest (answers of parked calls, the start of a process) is done by it at their request ([`crate::desk`]). A call
//! waits as long as its thread is left in its stop. Calls are changed or skipped by way of registers, which a guest
//! cannot touch meanwhile; the host kernel asks the filter again about a changed call.
//!
//! Must never: let a guest's memory decide what the sandbox's secret is given to, or wait for a guest that may run on.

mod door;
mod inject;
mod queue;
mod repeat;
mod tracees;

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};

use caisson_abi::nr;
use caisson_sys::mqueue::Notice;
use caisson_sys::notify::Cloexec;
use caisson_sys::surgery::ExecRegisters;
use caisson_sys::trace;
use rustix::io::Errno;

use super::{ContinueToken, Incoming, Replaced, Transport};
use crate::desk::Desk;
use crate::task::lock;
use tracees::{Tracees, gone};

pub struct Ptrace {
    desk: Desk<Tracees>,
    tracees: Mutex<Tracees>,
    /// The calls that wait, by thread: read by all threads.
    calls: Mutex<HashMap<i32, u64>>,
    /// The first process, which is a child of this process: whoever waits first collects it.
    init: i32,
    /// Its wait status once it was collected here; -1 until then.
    init_status: AtomicI32,
}

impl std::fmt::Debug for Ptrace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ptrace")
            .field("init", &self.init)
            .finish_non_exhaustive()
    }
}

impl Ptrace {
    /// For a sandbox whose first process is `init`; it is seized by whoever calls `receive` first.
    pub fn new(init: i32, host_proc: OwnedFd) -> Ptrace {
        Ptrace {
            desk: Desk::default(),
            tracees: Mutex::new(Tracees::new(host_proc)),
            calls: Mutex::default(),
            init,
            init_status: AtomicI32::new(-1),
        }
    }

    /// Take a further process in, and all that come of it.
    pub fn adopt(&self, pid: i32) -> Result<(), Errno> {
        self.on_tracer(move |tracees| {
            tracees.expect(pid);
            trace::seize(pid)
        })
    }

    /// Sockets, by number and inode, through which descriptors are put into the process.
    pub fn kept_sockets(&self, pid: i32) -> Vec<(u32, u64)> {
        lock(&self.tracees).door_sockets(pid)
    }

    /// How the first process ended, if this transport has collected it.
    pub fn init_status(&self) -> Option<i32> {
        Some(self.init_status.load(Ordering::Acquire)).filter(|status| *status != -1)
    }

    /// Do this on the tracing thread. A guest that was killed meanwhile is `ENOENT`, as with user notification.
    fn on_tracer<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Tracees) -> Result<R, Errno> + Send + 'static,
    ) -> Result<R, Errno> {
        if self.desk.is_mine() {
            job(&mut lock(&self.tracees))
        } else {
            self.desk.ask(job)?
        }
    }

    /// The same for a call that waits, which then waits no more unless `job` fails.
    fn end<R: Send + 'static>(
        &self,
        call: &Incoming,
        job: impl FnOnce(&mut Tracees) -> Result<R, Errno> + Send + 'static,
    ) -> Result<R, Errno> {
        let which = *call;
        let done = self
            .on_tracer(move |tracees| {
                tracees.check(&which)?;
                job(tracees)
            })
            .map_err(gone)?;
        self.forget(call);
        Ok(done)
    }

    fn forget(&self, call: &Incoming) {
        let mut calls = lock(&self.calls);
        if calls.get(&call.tid) == Some(&call.id) {
            calls.remove(&call.tid);
        }
    }

    /// The oldest event of those that there are.
    fn next_event(&self) -> Result<(i32, trace::Event), Errno> {
        let known = lock(&self.tracees).queue.pop();
        if let Some(event) = known {
            return Ok(event);
        }
        let first = self.desk.wait(trace::wait_any)?;
        let queue = &mut lock(&self.tracees).queue;
        queue.push(first.0, first.1);
        while let Some((tid, event)) = trace::look_any() {
            queue.push(tid, event);
        }
        queue.pop().ok_or(Errno::INTR)
    }

    /// What an event means for the calls that wait.
    fn note(&self, tid: i32, event: trace::Event) {
        match event {
            trace::Event::Ended(status) => {
                lock(&self.calls).remove(&tid);
                if tid == self.init {
                    self.init_status.store(status, Ordering::Release);
                }
            }
            trace::Event::Executed(former) => {
                let mut calls = lock(&self.calls);
                calls.remove(&tid);
                calls.remove(&former);
            }
            _ => {}
        }
    }
}

impl Transport for Ptrace {
    fn receive(&self) -> Result<Option<Incoming>, Errno> {
        if self.desk.open() {
            lock(&self.tracees).expect(self.init);
            match trace::seize(self.init) {
                // Killed before it began; there will be nobody to wait for.
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => return Err(error),
            }
        }
        loop {
            self.desk.serve(&mut lock(&self.tracees));
            let (tid, event) = match self.next_event() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                // Nobody is left.
                Err(Errno::CHILD) => {
                    self.desk.close();
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            self.note(tid, event);
            let incoming = lock(&self.tracees).event(tid, event);
            if let Some(incoming) = incoming {
                lock(&self.calls).insert(tid, incoming.id);
                return Ok(Some(incoming));
            }
        }
    }

    fn answer_value(&self, call: &Incoming, value: i64) -> Result<(), Errno> {
        let tid = call.tid;
        self.end(call, move |tracees| tracees.finish(tid, value))
    }

    fn answer_error(&self, call: &Incoming, errno: Errno) -> Result<(), Errno> {
        self.answer_value(call, -i64::from(errno.raw_os_error()))
    }

    fn answer_continue(&self, call: &Incoming, _: ContinueToken) -> Result<(), Errno> {
        let tid = call.tid;
        let makes_process = matches!(call.nr, nr::fork | nr::vfork | nr::clone);
        self.end(call, move |tracees| {
            if makes_process {
                tracees.forget_door(tid);
            }
            tracees.go_on(tid)
        })
    }

    fn donate(&self, call: &Incoming, fd: BorrowedFd<'_>, cloexec: Cloexec) -> Result<i32, Errno> {
        let put = move |tracees: &mut Tracees, call: &Incoming, fd: BorrowedFd<'_>| {
            tracees.check(call)?;
            tracees.donate(call.tid, fd, cloexec)
        };
        if self.desk.is_mine() {
            return put(&mut lock(&self.tracees), call, fd).map_err(gone);
        }
        let copy = fd.try_clone_to_owned().map_err(|_| Errno::MFILE)?;
        let call = *call;
        // The copy is closed before the guest goes on, as the original is.
        self.on_tracer(move |tracees| put(tracees, &call, copy.as_fd()))
            .map_err(gone)
    }

    fn answer_path(&self, call: &Incoming, fd: OwnedFd, cloexec: Cloexec) -> Result<i64, Errno> {
        let number = self.donate(call, fd.as_fd(), cloexec)?;
        drop(fd);
        self.answer_value(call, number.into())?;
        Ok(number.into())
    }

    fn answer_notice(&self, call: &Incoming, notice: Notice) -> Result<i64, Errno> {
        let tid = call.tid;
        self.end(call, move |tracees| {
            let value = tracees.give_notice(tid, &notice)?;
            tracees.finish(tid, value).map(|()| value)
        })
    }

    fn clone_with(&self, call: &Incoming, flags: u64) -> Result<Replaced, Errno> {
        let tid = call.tid;
        self.end(call, move |tracees| {
            tracees.forget_door(tid);
            tracees.clone_with(tid, flags)
        })
        .map(|()| Replaced::Made)
    }

    fn exec(&self, call: &Incoming, registers: ExecRegisters) -> Result<(), Errno> {
        let tid = call.tid;
        self.end(call, move |tracees| tracees.exec(tid, registers))
    }

    fn answer_terminal(&self, call: &Incoming, fd: i32) -> Result<(), Errno> {
        let tid = call.tid;
        self.end(call, move |tracees| {
            let arguments = [fd as u64, libc::TIOCSCTTY, 0, 0, 0, 0];
            // The open succeeds even where the terminal cannot become the controlling one.
            tracees.inject(tid, nr::ioctl, arguments)?;
            tracees.finish(tid, fd.into())
        })
    }

    fn interrupt(&self, call: &Incoming) -> Result<(), Errno> {
        let tid = call.tid;
        self.end(call, move |tracees| tracees.interrupt(tid))
    }

    fn still_waits(&self, call: &Incoming) -> bool {
        lock(&self.calls).get(&call.tid) == Some(&call.id)
    }
}

/// The page of the app kernel's that every process has.
pub(super) const OWN_PAGE: u64 = door::PLACE;

/// For [`crate::fuzzing`].
pub(super) fn decode_answer(bytes: &[u8]) {
    door::decode(bytes);
}
