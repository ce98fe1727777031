//! Having a stopped thread make a call of ours.

use caisson_abi::nr;
use caisson_sys::memory;
use caisson_sys::mqueue::Notice;
use caisson_sys::trace::{self, Event};
use rustix::io::Errno;

use super::tracees::{NO_CALL, Place, Tracees};

/// Length of the `syscall` instruction.
const INSTRUCTION: u64 = 2;

impl Tracees {
    /// Have the thread make a call, which must be one that its filter lets through and that does not block. Returns
    /// what the call returned, negative for an error. The thread then stands behind it.
    ///
    /// The first call takes the place of the one that it waits in. For further ones the thread goes back to its
    /// program for the one instruction that makes a call, with its signals held back, so that no handler comes between;
    /// if the guest has put other code there, it gets the result of that.
    pub(super) fn inject(
        &mut self,
        tid: i32,
        number: u32,
        arguments: [u64; 6],
    ) -> Result<i64, Errno> {
        let held = self.held(tid)?;
        let mut user = held.registers;
        [user.rdi, user.rsi, user.rdx, user.r10, user.r8, user.r9] = arguments;
        if held.place == Place::Entry {
            user.orig_rax = number.into();
            trace::set_registers(tid, &user)?;
            held.place = Place::Behind;
            trace::resume_to_call(tid)?;
            self.await_event(tid, |event| event == Event::CallStop)?;
        } else {
            self.hold_signals(tid)?;
            user.rip = user.rip.wrapping_sub(INSTRUCTION);
            user.rax = number.into();
            user.orig_rax = NO_CALL;
            trace::set_registers(tid, &user)?;
            trace::step(tid, 0)?;
            self.await_event(tid, |event| matches!(event, Event::Signal(_)))?;
        }
        Ok(trace::registers(tid)?.rax.cast_signed())
    }

    /// As [`Tracees::inject`], an error being one.
    pub(super) fn call(
        &mut self,
        tid: i32,
        number: u32,
        arguments: [u64; 6],
    ) -> Result<u64, Errno> {
        match self.inject(tid, number, arguments)? {
            value @ -4095..=-1 => Err(Errno::from_raw_os_error(-value as i32)),
            value => Ok(value.cast_unsigned()),
        }
    }

    /// Have the thread call mq_notify(2) with this notice, for which it has a page of memory meanwhile, and close the notice's
    /// socket. Returns what that call returned.
    pub(super) fn give_notice(&mut self, tid: i32, notice: &Notice) -> Result<i64, Errno> {
        const PAGE: u64 = 4096;
        let protection = (libc::PROT_READ | libc::PROT_WRITE) as u64;
        let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
        let page = self.call(tid, nr::mmap, [0, PAGE, protection, flags, u64::MAX, 0])?;
        memory::write(tid, page, &notice.memory(page)).map_err(|_| Errno::FAULT)?;
        let result = self.inject(tid, nr::mq_notify, notice.arguments(page))?;
        self.inject(tid, nr::munmap, [page, PAGE, 0, 0, 0, 0])?;
        self.inject(tid, nr::close, [notice.socket as u64, 0, 0, 0, 0, 0])?;
        Ok(result)
    }

    /// Have a thread that stands behind a call make its own call once more, up to where its filter stops it. `EFAULT`
    /// if the guest has other code there by now.
    pub(super) fn rearm(&mut self, tid: i32) -> Result<(), Errno> {
        let held = self.held(tid)?;
        if held.place == Place::Entry {
            return Ok(());
        }
        let before = held.registers;
        self.hold_signals(tid)?;
        let mut user = before;
        user.rip = user.rip.wrapping_sub(INSTRUCTION);
        user.rax = before.orig_rax;
        user.orig_rax = NO_CALL;
        trace::set_registers(tid, &user)?;
        trace::step(tid, 0)?;
        let event =
            self.await_event(tid, |event| matches!(event, Event::Call | Event::Signal(_)))?;
        if event != Event::Call || trace::registers(tid)?.orig_rax != before.orig_rax {
            return Err(Errno::FAULT);
        }
        self.held(tid)?.place = Place::Entry;
        Ok(())
    }

    /// No signal but the trap of a step reaches the thread until its call ends.
    fn hold_signals(&mut self, tid: i32) -> Result<(), Errno> {
        let held = self.held(tid)?;
        if held.mask.is_none() {
            held.mask = Some(trace::signal_mask(tid)?);
            trace::set_signal_mask(tid, !(1 << (libc::SIGTRAP - 1)))?;
        }
        Ok(())
    }

    /// Wait until the thread does what it was resumed for. It runs no more than one call or one instruction.
    fn await_event(&mut self, tid: i32, wanted: impl Fn(Event) -> bool) -> Result<Event, Errno> {
        loop {
            let event = trace::wait_for(tid)?;
            match event {
                // Held back are all signals that can be.
                Event::Signal(libc::SIGSTOP) => trace::step(tid, libc::SIGSTOP)?,
                event if wanted(event) => return Ok(event),
                // The thread's group was stopped: it stops when it is let go.
                Event::GroupStop | Event::Trap => trace::step(tid, 0)?,
                // A call that is delivered for a log: let it be made.
                Event::Call => trace::step(tid, 0)?,
                event @ (Event::Ended(_) | Event::Executed(_)) => {
                    self.queue.push(tid, event);
                    return Err(Errno::SRCH);
                }
                Event::Signal(_) | Event::CallStop | Event::Made(_) => {
                    return Err(Errno::FAULT);
                }
            }
        }
    }
}
