//! Native calls that were ended by a signal which their process ignores.
//!
//! The host has the tracer of a thread hear of every signal to it, also of those that nobody would hear of otherwise, and
//! ends the thread's call for them. Most calls it makes again by itself. Those that say `EINTR` whatever the signal does
//! (`epoll_wait`, for one, or what is received with a time) are made again from here, by way of `ERESTARTNOHAND`: so a
//! handler that runs first still ends them.
//!
//! Made again, a call waits its whole time again. When it began is not known, because it did not come here; so its time runs
//! from the first such signal on, and the first that comes after it ends the call as its time would have. A call never
//! takes more than twice its time therefore, however many signals come. To know a call that ended by itself from one that is
//! ended again, the thread is stopped at its beginning and its end meanwhile.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use caisson_abi::nr;
use caisson_sys::descriptor::{pidfd_getfd, pidfd_open_thread};
use caisson_sys::memory;
use caisson_sys::trace::{self, Registers};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, socket_timeout};

const ERESTARTNOHAND: i64 = 514;
/// The number of no call.
const NO_CALL: u64 = u64::MAX;

/// The time of a call that is made again.
#[derive(Clone, Copy, Debug)]
pub struct Repeat {
    ends: Instant,
    /// Where the thread stops next.
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

impl Repeat {
    /// A call that goes on in the midst of it.
    pub fn to_its_end(self) -> Repeat {
        let stage = Stage::End;
        Repeat { stage, ..self }
    }

    /// Whether the host is to stop the thread at its call.
    pub fn stops_at_call(self) -> bool {
        self.stage != Stage::Signal
    }

    /// The thread has stopped at the beginning or the end of a call. `None` if it is over.
    pub fn at_call(self, tid: i32) -> Result<Option<Repeat>, Errno> {
        let stage = match self.stage {
            Stage::Entry => Stage::End,
            Stage::End if says_eintr_always(&trace::registers(tid)?) => Stage::Signal,
            Stage::End | Stage::Signal => return Ok(None),
        };
        Ok(Some(Repeat { stage, ..self }))
    }
}

/// The thread is in the stop before a signal; `ignores`: its process ignores it. `known` of the call that it comes from. Have
/// that made again if it is such a one. What is to be followed then, if it has a time.
pub fn begin(
    tid: i32,
    known: Option<Repeat>,
    ignores: impl FnOnce() -> bool,
) -> Result<Option<Repeat>, Errno> {
    let mut user = trace::registers(tid)?;
    if !says_eintr_always(&user) || !ignores() {
        return Ok(None);
    }
    let now = Instant::now();
    let ends = match known {
        Some(repeat) => Some(repeat.ends),
        None => time_of(tid, &user).and_then(|time| now.checked_add(time)),
    };
    if ends.is_some_and(|ends| ends <= now) {
        user.rax = timed_out(&user).cast_unsigned();
        user.orig_rax = NO_CALL;
        trace::set_registers(tid, &user)?;
        return Ok(None);
    }
    user.rax = (-ERESTARTNOHAND).cast_unsigned();
    trace::set_registers(tid, &user)?;
    let stage = Stage::Entry;
    Ok(ends.map(|ends| Repeat { ends, stage }))
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
