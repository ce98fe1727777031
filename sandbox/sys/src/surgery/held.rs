//! The same for a thread that the calling one traces already, and goes on tracing: it is left in its stop. What was
//! waiting to be told to its tracer may come first.
//!
//! `ESRCH` means that the thread ends, or could not be stopped; whatever there is of it is still to be waited for.

use rustix::io::Errno;

use super::{
    ERESTARTNOINTR, ERESTARTSYS, ExecRegisters, Grip, NO_CALL, Stopped, give_notice, take_received,
    take_terminal, to_clone, to_exec,
};
use crate::mqueue::Notice;
use crate::notify::{Cloexec, Listener, Notification};
use crate::trace::{self, Registers, request as ptrace};

/// No signal but those that cannot be held back.
const ALL_SIGNALS: u64 = u64::MAX;

/// What a thread was before it was made to execute something.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    /// As they are to be if the exec fails, but for `rax`.
    pub registers: Registers,
    pub mask: u64,
}

/// Signals that were about to be delivered when the thread was stopped: to be sent again.
pub type Late = Vec<i32>;

/// As [`super::exec`], with the thread's signals held back. It goes on with `PTRACE_SYSCALL`, so that it is heard of
/// before and after the call.
pub fn exec(
    listener: &Listener,
    call: &Notification,
    registers: ExecRegisters,
) -> Result<(Before, Late), Errno> {
    let (stopped, late) = stop(call.tid, || listener.send_error(call.id, ERESTARTNOINTR))?;
    let user = stopped.registers()?;
    let mask = stopped.signal_mask()?;
    stopped.set_signal_mask(ALL_SIGNALS)?;
    stopped.set_registers(&to_exec(user, registers))?;
    let registers = Registers {
        orig_rax: NO_CALL,
        ..user
    };
    Ok((Before { registers, mask }, late))
}

/// As [`super::clone_with`].
pub fn clone_with(listener: &Listener, call: &Notification, flags: u64) -> Result<Late, Errno> {
    let (stopped, late) = stop(call.tid, || listener.send_error(call.id, ERESTARTNOINTR))?;
    stopped.set_registers(&to_clone(stopped.registers()?, flags))?;
    Ok(late)
}

/// As [`super::interrupt`], but that the stop is yet to come.
pub fn interrupt(listener: &Listener, call: &Notification) -> Result<(), Errno> {
    trace::interrupt(call.tid)?;
    listener.send_error(call.id, ERESTARTSYS)
}

/// As [`super::answer_terminal`].
pub fn answer_terminal(
    listener: &Listener,
    call: &Notification,
    fd: i32,
) -> Result<(i64, Late), Errno> {
    let (stopped, late) = stop(call.tid, || listener.send_error(call.id, ERESTARTNOINTR))?;
    take_terminal(&stopped, fd)?;
    Ok((i64::from(fd), late))
}

/// As [`super::answer_with_received`].
pub fn answer_with_received(
    listener: &Listener,
    call: &Notification,
    socket: i32,
    cloexec: Cloexec,
) -> Result<(i64, Late), Errno> {
    let (stopped, late) = stop(call.tid, || listener.send_error(call.id, ERESTARTNOINTR))?;
    let result = take_received(&stopped, socket, cloexec)?;
    Ok((result, late))
}

/// As [`super::answer_with_notice`].
pub fn answer_with_notice(
    listener: &Listener,
    call: &Notification,
    notice: &Notice,
) -> Result<(i64, Late), Errno> {
    let (stopped, late) = stop(call.tid, || listener.send_error(call.id, ERESTARTNOINTR))?;
    let result = give_notice(&stopped, notice)?;
    Ok((result, late))
}

/// Answer the loader's last call by the start of the program: at `entry`, with its stack at `stack`, as if by the call
/// `nr`.
pub fn start_program(
    listener: &Listener,
    call: &Notification,
    nr: u32,
    entry: u64,
    stack: u64,
) -> Result<Late, Errno> {
    let (stopped, late) = stop(call.tid, || listener.send_value(call.id, 0))?;
    let before = stopped.registers()?;
    let user = Registers {
        rip: entry,
        rsp: stack,
        cs: before.cs,
        ss: before.ss,
        eflags: before.eflags,
        orig_rax: nr.into(),
        ..trace::no_registers()
    };
    stopped.set_registers(&user)?;
    Ok(late)
}

/// Bring the thread, which waits in a notified call, to a stop by `answer`.
fn stop(tid: i32, answer: impl FnOnce() -> Result<(), Errno>) -> Result<(Stopped, Late), Errno> {
    trace::interrupt(tid)?;
    // A failure here means that the thread is dying; the wait below sees it.
    let sent = answer();
    let stopped = Stopped {
        tid,
        grip: Grip::Held,
    };
    let mut late = Late::new();
    loop {
        let status = stopped.wait()?;
        if status >> 16 == libc::PTRACE_EVENT_STOP {
            break;
        }
        // The end of the call that was answered, or a signal.
        if status >> 16 == 0 && libc::WSTOPSIG(status) & 0x80 == 0 {
            late.push(libc::WSTOPSIG(status));
        }
        // Any stop takes the place of the one that was asked for.
        trace::interrupt(tid)?;
        ptrace(libc::PTRACE_CONT, tid, 0)?;
    }
    sent.map(|()| (stopped, late))
}
