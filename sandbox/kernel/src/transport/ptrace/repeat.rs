//! Native calls that were ended by a signal which their process ignores.
//!
//! The host has the tracer of a thread hear of every signal to it, also of those that nobody would hear of otherwise, and
//! ends the thread's call for them. Most calls it makes again by itself. Those that say `EINTR` whatever the signal does
//! (`epoll_wait`, for one, or what is received with a time) are made again from here, by way of `ERESTARTNOHAND`: so a
//! handler that runs first still ends them.
//!
//! Made again, a call waits its whole time again. When it began is not known, because it did not come here; so its time runs
//! from the first such signal on, and the first that comes after it ends the call as its time would have. A call never
//! takes more than twice its time therefore, however many signals come.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use caisson_abi::nr;
use caisson_sys::descriptor::{pidfd_getfd, pidfd_open_thread};
use caisson_sys::memory;
use caisson_sys::trace::{self, Registers};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, socket_timeout};

use crate::ignored::Signals;

use super::tracees::{NO_CALL, State, Tracees};

const ERESTARTNOHAND: i64 = 514;

/// The time of a call that is made again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repeat {
    ends: Instant,
    /// Where the host is asked to stop the thread next.
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// At the beginning of the call, made again.
    Entry,
    /// At its end.
    End,
    /// Before the signal for which it has ended.
    Signal,
}

impl Tracees {
    /// A signal is about to be delivered.
    pub(super) fn signalled(&mut self, tid: i32, signal: i32) -> Result<(), Errno> {
        let repeat = self.end_repeat(tid);
        let mut user = trace::registers(tid)?;
        let ignored = says_eintr_always(&user)
            && Signals::of(&self.host_proc, tid).is_some_and(|signals| signals.ignore(signal));
        if !ignored {
            return trace::resume(tid, signal);
        }
        let now = Instant::now();
        let ends = match repeat {
            Some(repeat) => Some(repeat.ends),
            None => time_of(tid, &user).and_then(|time| now.checked_add(time)),
        };
        if ends.is_some_and(|ends| ends <= now) {
            user.rax = timed_out(&user).cast_unsigned();
            user.orig_rax = NO_CALL;
            trace::set_registers(tid, &user)?;
            return trace::resume(tid, signal);
        }
        user.rax = (-ERESTARTNOHAND).cast_unsigned();
        trace::set_registers(tid, &user)?;
        let Some(ends) = ends else {
            return trace::resume(tid, signal);
        };
        self.follow(tid, ends, Stage::Entry)?;
        trace::resume_to_call_with(tid, signal)
    }

    /// The thread has stopped at the beginning or the end of a call. Whether that is one that is made again, which then
    /// goes on.
    pub(super) fn repeats(&mut self, tid: i32) -> Result<bool, Errno> {
        let Some(repeat) = self.end_repeat(tid) else {
            return Ok(false);
        };
        match repeat.stage {
            Stage::Entry => {
                self.follow(tid, repeat.ends, Stage::End)?;
                trace::resume_to_call(tid)?;
            }
            Stage::End if says_eintr_always(&trace::registers(tid)?) => {
                self.follow(tid, repeat.ends, Stage::Signal)?;
                trace::resume(tid, 0)?;
            }
            Stage::End | Stage::Signal => trace::resume(tid, 0)?,
        }
        Ok(true)
    }

    /// A call that was delivered is left to the host, and is followed again if it was before.
    pub(super) fn go_on_repeating(
        &mut self,
        tid: i32,
        repeat: Option<Repeat>,
    ) -> Result<(), Errno> {
        let Some(repeat) = repeat else {
            return trace::resume(tid, 0);
        };
        self.follow(tid, repeat.ends, Stage::End)?;
        trace::resume_to_call(tid)
    }

    fn follow(&mut self, tid: i32, ends: Instant, stage: Stage) -> Result<(), Errno> {
        self.tracee(tid)?.state = State::Repeating(Repeat { ends, stage });
        Ok(())
    }

    /// What was known of the call that is made again; whatever else happens to the thread ends that.
    pub(super) fn end_repeat(&mut self, tid: i32) -> Option<Repeat> {
        let state = &mut self.tracee(tid).ok()?.state;
        let State::Repeating(repeat) = *state else {
            return None;
        };
        *state = State::Running;
        Some(repeat)
    }
}

/// Where a call has its time from.
#[derive(Clone, Copy)]
enum Time {
    /// Milliseconds, for ever if negative.
    Milliseconds(i32),
    /// A `struct timespec` there, for ever if that is nowhere.
    At(u64),
    /// The first argument, if it is a socket.
    Socket(Timeout),
}

/// Of calls that have changed nothing when they say `EINTR`, and so can be made again; close(2) is none of them.
fn time(user: &Registers) -> Option<Time> {
    let time = match u32::try_from(user.orig_rax).ok()? {
        nr::epoll_wait | nr::epoll_pwait => Time::Milliseconds(user.r10 as i32),
        nr::epoll_pwait2 => Time::At(user.r10),
        nr::rt_sigtimedwait => Time::At(user.rdx),
        nr::semop => Time::At(0),
        nr::semtimedop => Time::At(user.r10),
        nr::io_getevents | nr::io_pgetevents => Time::At(user.r8),
        nr::read | nr::readv | nr::recvfrom | nr::recvmsg | nr::accept | nr::accept4 => {
            Time::Socket(Timeout::Recv)
        }
        nr::write | nr::writev | nr::sendto | nr::sendmsg => Time::Socket(Timeout::Send),
        _ => return None,
    };
    Some(time)
}

fn says_eintr_always(user: &Registers) -> bool {
    user.rax.cast_signed() == -i64::from(libc::EINTR) && time(user).is_some()
}

/// `None` for ever.
fn time_of(tid: i32, user: &Registers) -> Option<Duration> {
    match time(user)? {
        Time::Milliseconds(count) => u64::try_from(count).ok().map(Duration::from_millis),
        Time::At(address) => timespec_at(tid, address),
        Time::Socket(which) => {
            let socket = descriptor(tid, user.rdi as i32).ok()?;
            socket_timeout(socket, which).ok().flatten()
        }
    }
}

fn descriptor(tid: i32, number: i32) -> Result<OwnedFd, Errno> {
    pidfd_getfd(pidfd_open_thread(tid)?.as_fd(), number)
}

/// `None` as well where none can be read, which is then said by the call.
fn timespec_at(tid: i32, address: u64) -> Option<Duration> {
    let mut bytes = [0; 16];
    if address == 0 || memory::read(tid, address, &mut bytes) != Ok(bytes.len()) {
        return None;
    }
    let [seconds, nanoseconds] =
        [0, 8].map(|at| i64::from_le_bytes(std::array::from_fn(|i| bytes[at + i])));
    let nanoseconds = u32::try_from(nanoseconds).ok()?;
    Some(Duration::new(u64::try_from(seconds).ok()?, 0) + Duration::from_nanos(nanoseconds.into()))
}

/// What a call returns when its time is over.
fn timed_out(user: &Registers) -> i64 {
    match time(user) {
        Some(Time::Socket(_)) => -i64::from(libc::EAGAIN),
        _ => match user.orig_rax as u32 {
            nr::rt_sigtimedwait | nr::semtimedop => -i64::from(libc::EAGAIN),
            _ => 0,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    fn at_the_end_of(number: u32, rax: i64) -> Registers {
        let mut user = trace::no_registers();
        user.orig_rax = number.into();
        user.rax = rax.cast_unsigned();
        user
    }

    #[test]
    fn only_calls_that_change_nothing_are_made_again() {
        let eintr = -i64::from(libc::EINTR);
        assert!(says_eintr_always(&at_the_end_of(nr::epoll_wait, eintr)));
        assert!(!says_eintr_always(&at_the_end_of(nr::epoll_wait, 1)));
        assert!(!says_eintr_always(&at_the_end_of(nr::close, eintr)));
        let mut user = at_the_end_of(nr::epoll_wait, eintr);
        user.orig_rax = NO_CALL;
        assert!(!says_eintr_always(&user));
    }

    #[test]
    fn the_time_of_a_call_is_that_of_its_arguments() {
        let mut user = at_the_end_of(nr::epoll_wait, 0);
        user.r10 = 1500;
        assert_eq!(time_of(0, &user), Some(Duration::from_millis(1500)));
        user.r10 = u64::from(u32::MAX);
        assert_eq!(time_of(0, &user), None);
        let own = rustix::thread::gettid().as_raw_nonzero().get();
        let time = [2u64, 500_000_000];
        let mut user = at_the_end_of(nr::rt_sigtimedwait, 0);
        user.rdx = time.as_ptr() as u64;
        assert_eq!(time_of(own, &user), Some(Duration::from_millis(2500)));
        user.rdx = 0;
        assert_eq!(time_of(own, &user), None);
        let (socket, _other) = std::os::unix::net::UnixStream::pair().expect("sockets");
        let wait = Some(Duration::from_secs(7));
        socket.set_read_timeout(wait).expect("set a timeout");
        user = at_the_end_of(nr::recvfrom, 0);
        user.rdi = socket.as_raw_fd() as u64;
        assert_eq!(time_of(own, &user), wait);
        user = at_the_end_of(nr::sendmsg, 0);
        user.rdi = socket.as_raw_fd() as u64;
        assert_eq!(time_of(own, &user), None);
    }
}
