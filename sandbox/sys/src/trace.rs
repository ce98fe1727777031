//! ptrace(2), one request a function, on threads that the calling thread has seized.
//!
//! A thread may be killed at any time, also while it is stopped: every request can fail with `ESRCH`, and the end of the
//! thread is then still to be waited for.

use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::raw::check;

pub mod guest;

pub type Registers = libc::user_regs_struct;

/// All zero.
pub fn no_registers() -> Registers {
    // SAFETY: all-zero is a valid value of this plain struct of integers.
    unsafe { std::mem::zeroed() }
}

/// What a thread did that its tracer hears of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is gone and reaped. The status is as wait(2) reports it.
    Ended(i32),
    /// It made a call for which its filter says `SECCOMP_RET_TRACE`.
    Call,
    /// It is about to leave, or has entered, a system call (after [`resume_to_call`]).
    CallStop,
    /// It made the thread or process of this id, which is traced as well.
    Made(i32),
    /// It has executed a program; before, it was the thread of this id.
    Executed(i32),
    /// It was new, interrupted, or its group goes on after a stop.
    Trap,
    /// Its group is stopped.
    GroupStop,
    /// This signal is about to be delivered to it.
    Signal(i32),
}

/// Trace `tid` and all that come of it from now on. They die with the calling thread.
pub fn seize(tid: i32) -> Result<(), Errno> {
    let options = libc::PTRACE_O_TRACESECCOMP
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_EXITKILL;
    request(libc::PTRACE_SEIZE, tid, options as u64)
}

/// Wait for the next event of any thread that the calling one traces. `EINTR`; `ECHILD` when there is none.
pub fn wait_any() -> Result<(i32, Event), Errno> {
    wait(-1, 0)?.ok_or(Errno::CHILD)
}

/// The same without waiting: `None` when there is no event now, or nobody to tell of one.
pub fn look_any() -> Option<(i32, Event)> {
    wait(-1, libc::WNOHANG).ok().flatten()
}

/// Wait for the next event of this thread.
pub fn wait_for(tid: i32) -> Result<Event, Errno> {
    loop {
        match wait(tid, 0) {
            Ok(Some((_, event))) => return Ok(event),
            Ok(None) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

fn wait(tid: i32, options: i32) -> Result<Option<(i32, Event)>, Errno> {
    let mut status = 0;
    // Not for children of the process' other threads: theirs to wait for.
    let options = libc::__WALL | libc::__WNOTHREAD | options;
    // SAFETY: waitpid writes one int at the pointer, which is live.
    let tid = check(unsafe { libc::waitpid(tid, &raw mut status, options) }.into())? as i32;
    Ok((tid != 0).then(|| (tid, decode(tid, status))))
}

fn decode(tid: i32, status: i32) -> Event {
    if !libc::WIFSTOPPED(status) {
        return Event::Ended(status);
    }
    let signal = libc::WSTOPSIG(status);
    match status >> 16 {
        libc::PTRACE_EVENT_SECCOMP => Event::Call,
        libc::PTRACE_EVENT_CLONE | libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK => {
            Event::Made(message(tid))
        }
        libc::PTRACE_EVENT_EXEC => Event::Executed(message(tid)),
        libc::PTRACE_EVENT_STOP if signal == libc::SIGTRAP => Event::Trap,
        libc::PTRACE_EVENT_STOP => Event::GroupStop,
        0 if signal == libc::SIGTRAP | 0x80 => Event::CallStop,
        0 => Event::Signal(signal),
        // No other was asked for.
        _ => Event::Trap,
    }
}

/// 0 when the thread was killed meanwhile.
fn message(tid: i32) -> i32 {
    let mut message = 0u64;
    // SAFETY: PTRACE_GETEVENTMSG writes an unsigned long at the data pointer, which is live.
    let done = check(unsafe {
        libc::ptrace(
            libc::PTRACE_GETEVENTMSG,
            tid,
            std::ptr::null_mut::<libc::c_void>(),
            &raw mut message,
        )
    });
    if done.is_ok() { message as i32 } else { 0 }
}

/// What [`next`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Stop,
    /// It has ended, or it ends and its tracer has asked to be told (`PTRACE_EVENT_EXIT`).
    End,
}

/// How long [`next`] waits at most: a thread that was asked to stop does so at once, unless its cgroup is frozen.
const STOPS_WITHIN: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_micros(20);

/// Wait until this thread, which is about to stop, has something to tell, and leave that to be told. `ETIMEDOUT`.
pub fn next(tid: i32) -> Result<Next, Errno> {
    let begun = Instant::now();
    loop {
        // SAFETY: all-zero is a valid siginfo_t.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let options = libc::WEXITED | libc::WSTOPPED | libc::WNOWAIT | libc::WNOHANG | libc::__WALL;
        // SAFETY: waitid fills the live siginfo_t.
        let looked =
            check(unsafe { libc::waitid(libc::P_PID, tid as u32, &raw mut info, options) }.into());
        // SAFETY: waitid has filled the fields of a child's end or stop, or left zeros.
        let status = unsafe { info.si_status() };
        match (looked, info.si_code) {
            // Reaped by its own parent, or never ours.
            (Err(error), _) if error != Errno::INTR => return Ok(Next::End),
            (_, libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED) => return Ok(Next::End),
            (_, libc::CLD_TRAPPED) if status >> 8 == libc::PTRACE_EVENT_EXIT => {
                return Ok(Next::End);
            }
            (_, libc::CLD_TRAPPED | libc::CLD_STOPPED) => return Ok(Next::Stop),
            _ if begun.elapsed() > STOPS_WITHIN => return Err(Errno::TIMEDOUT),
            _ => std::thread::sleep(LOOK_AGAIN),
        }
    }
}

/// Let a stopped thread go on, with a signal if that is not 0.
pub fn resume(tid: i32, signal: i32) -> Result<(), Errno> {
    request(libc::PTRACE_CONT, tid, signal as u64)
}

/// Let it go on to the end of the call that it is in.
pub fn resume_to_call(tid: i32) -> Result<(), Errno> {
    resume_to_call_with(tid, 0)
}

/// Let it go on, with a signal if that is not 0, to the beginning of its next call, or the end of the one that it is in.
pub fn resume_to_call_with(tid: i32, signal: i32) -> Result<(), Errno> {
    request(libc::PTRACE_SYSCALL, tid, signal as u64)
}

/// Let it execute one instruction.
pub fn step(tid: i32, signal: i32) -> Result<(), Errno> {
    request(libc::PTRACE_SINGLESTEP, tid, signal as u64)
}

/// After [`Event::GroupStop`]: leave it stopped, and hear when its group goes on.
pub fn listen(tid: i32) -> Result<(), Errno> {
    request(libc::PTRACE_LISTEN, tid, 0)
}

/// Have it trap before it goes back to its program.
pub fn interrupt(tid: i32) -> Result<(), Errno> {
    request(libc::PTRACE_INTERRUPT, tid, 0)
}

pub fn registers(tid: i32) -> Result<Registers, Errno> {
    let mut user = no_registers();
    // SAFETY: PTRACE_GETREGS fills a user_regs_struct at the data pointer, which is live.
    check(unsafe {
        libc::ptrace(
            libc::PTRACE_GETREGS,
            tid,
            std::ptr::null_mut::<libc::c_void>(),
            &raw mut user,
        )
    })?;
    Ok(user)
}

pub fn set_registers(tid: i32, user: &Registers) -> Result<(), Errno> {
    // SAFETY: PTRACE_SETREGS reads a user_regs_struct at the data pointer, which is live.
    check(unsafe {
        libc::ptrace(
            libc::PTRACE_SETREGS,
            tid,
            std::ptr::null_mut::<libc::c_void>(),
            std::ptr::from_ref(user),
        )
    })?;
    Ok(())
}

pub fn signal_mask(tid: i32) -> Result<u64, Errno> {
    let mut mask = 0u64;
    // SAFETY: PTRACE_GETSIGMASK writes as many bytes as the address argument says at the data pointer, a live
    // u64.
    check(unsafe {
        libc::ptrace(
            libc::PTRACE_GETSIGMASK,
            tid,
            size_of::<u64>(),
            &raw mut mask,
        )
    })?;
    Ok(mask)
}

pub fn set_signal_mask(tid: i32, mask: u64) -> Result<(), Errno> {
    // SAFETY: PTRACE_SETSIGMASK reads as many bytes as the address argument says at the data pointer, a live
    // u64.
    check(unsafe {
        libc::ptrace(
            libc::PTRACE_SETSIGMASK,
            tid,
            size_of::<u64>(),
            &raw const mask,
        )
    })?;
    Ok(())
}

pub(crate) fn request(request: libc::c_uint, tid: i32, data: u64) -> Result<(), Errno> {
    // SAFETY: the requests used with this function (SEIZE, INTERRUPT, CONT, SYSCALL, SINGLESTEP, LISTEN, DETACH) take
    // integers in the address and data arguments and touch no memory of ours.
    check(unsafe { libc::ptrace(request, tid, std::ptr::null_mut::<libc::c_void>(), data) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_told_apart() {
        let stopped = |signal: i32, event: i32| event << 16 | signal << 8 | 0x7f;
        let cases = [
            (
                stopped(libc::SIGTRAP, libc::PTRACE_EVENT_SECCOMP),
                Event::Call,
            ),
            (stopped(libc::SIGTRAP, libc::PTRACE_EVENT_STOP), Event::Trap),
            (
                stopped(libc::SIGTSTP, libc::PTRACE_EVENT_STOP),
                Event::GroupStop,
            ),
            (stopped(libc::SIGTRAP | 0x80, 0), Event::CallStop),
            (stopped(libc::SIGTRAP, 0), Event::Signal(libc::SIGTRAP)),
            (stopped(libc::SIGUSR1, 0), Event::Signal(libc::SIGUSR1)),
            (3 << 8, Event::Ended(3 << 8)),
            (libc::SIGKILL, Event::Ended(libc::SIGKILL)),
        ];
        for (status, event) in cases {
            assert_eq!(decode(0, status), event, "{status:#x}");
        }
    }
}
