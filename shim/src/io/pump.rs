//! Moves bytes from one descriptor to another on the main loop, without ever blocking it.
//!
//! Key type: [`Pump`]. It waits for one of its two ends at a time: for data when there is room, for
//! room when there is data. Nothing is read that cannot be kept.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use rustix::pipe::{SpliceFlags, splice};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use crate::logger;
use crate::poller::{Next, Poller, Source, Token};
use crate::sync::lock;

/// Between two tries to write to a full disk.
const RETRY: Itimerspec = Itimerspec {
    it_interval: Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    },
    it_value: Timespec {
        tv_sec: 0,
        tv_nsec: 200_000_000,
    },
};
const SPLICE_BYTES: usize = 64 << 10;
/// At most a pipe's page: when a pipe is ready for writing, that much fits.
const COPY_BYTES: usize = 4096;
/// Moves in one go, so that one busy container does not starve the others of the pod.
const MOVES: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Between pipes: the kernel moves pages.
    Splice,
    /// For terminals, and files opened for appending.
    Copy,
}

/// What a wait for the end of a pump saw.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    Finished,
    /// Not at its end, but bytes moved meanwhile.
    Progress,
    Idle,
}

struct Ends {
    source: OwnedFd,
    sink: OwnedFd,
    source_polls: bool,
    sink_polls: bool,
    mode: Mode,
    /// Read, but not yet written; copying only.
    pending: Vec<u8>,
    /// Wakes us to try again where nothing else does: on a full disk.
    retry: Option<OwnedFd>,
}

#[derive(Default)]
struct State {
    ends: Option<Ends>,
    token: Option<Token>,
    moved: u64,
}

pub(crate) struct Pump {
    state: Mutex<State>,
    finished: Condvar,
    poller: Arc<Poller>,
}

enum Step {
    Moved(usize),
    WaitForSource,
    WaitForSink,
    /// The sink is a file on a full disk: nothing is lost, the process waits.
    Retry(Errno),
    End,
}

impl Pump {
    pub(crate) fn start(
        poller: &Arc<Poller>,
        source: OwnedFd,
        sink: OwnedFd,
        mode: Mode,
    ) -> io::Result<Arc<Pump>> {
        let pump = Arc::new(Pump {
            state: Mutex::default(),
            finished: Condvar::new(),
            poller: Arc::clone(poller),
        });
        let token = poller.insert(Arc::clone(&pump) as _);
        match pump.attach(token, source, sink, mode) {
            Ok(()) => Ok(pump),
            Err(error) => {
                poller.remove(token);
                Err(error)
            }
        }
    }

    fn attach(&self, token: Token, source: OwnedFd, sink: OwnedFd, mode: Mode) -> io::Result<()> {
        let mut state = lock(&self.state);
        // Regular files and the like cannot be watched: they are always ready.
        let source_polls = watchable(self.poller.watch(&source, EventFlags::ONESHOT, token))?;
        let sink_polls = watchable(self.poller.watch(&sink, EventFlags::ONESHOT, token))?;
        let ends = Ends {
            source,
            sink,
            source_polls,
            sink_polls,
            mode,
            pending: Vec::new(),
            retry: None,
        };
        ends.arm(&self.poller, token, &Step::WaitForSource);
        state.ends = Some(ends);
        state.token = Some(token);
        Ok(())
    }

    /// Wait for the end, at most `limit`.
    pub(crate) fn wait(&self, limit: Duration) -> Drained {
        let deadline = Instant::now() + limit;
        let mut state = lock(&self.state);
        let before = state.moved;
        while state.ends.is_some() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return if state.moved == before {
                    Drained::Idle
                } else {
                    Drained::Progress
                };
            }
            state = self
                .finished
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        Drained::Finished
    }

    /// Stop and close both ends.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        let token = state.token.take();
        if let Some(ends) = state.ends.take() {
            self.poller.unwatch(&ends.source);
            self.poller.unwatch(&ends.sink);
        }
        drop(state);
        if let Some(token) = token {
            self.poller.remove(token);
        }
        self.finished.notify_all();
    }
}

fn watchable(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => Ok(false),
        Err(error) => Err(error),
    }
}

impl Source for Pump {
    fn ready(&self, poller: &Arc<Poller>, token: Token) -> Next {
        let mut state = lock(&self.state);
        let State {
            ends: Some(ends),
            moved,
            ..
        } = &mut *state
        else {
            return Next::Remove;
        };
        for _ in 0..MOVES {
            match ends.step() {
                Step::Moved(bytes) => *moved += bytes as u64,
                Step::End => {
                    drop(state);
                    self.close();
                    return Next::Remove;
                }
                Step::Retry(error) => match ends.retry_later(poller, token, error) {
                    Ok(()) => return Next::Keep,
                    Err(error) => {
                        logger::error(format_args!("stdio: {error}"));
                        drop(state);
                        self.close();
                        return Next::Remove;
                    }
                },
                wait => {
                    ends.arm(poller, token, &wait);
                    return Next::Keep;
                }
            }
        }
        // More to do: both are ready, so either wakes us again at once.
        ends.arm(poller, token, &Step::WaitForSource);
        Next::Keep
    }
}

impl Ends {
    /// Be called again in a moment, by a timer.
    fn retry_later(&mut self, poller: &Poller, token: Token, error: Errno) -> io::Result<()> {
        if self.retry.is_none() {
            logger::error(format_args!(
                "stdio: {error}; trying again until there is room"
            ));
            let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            poller.watch(&timer, EventFlags::IN | EventFlags::ONESHOT, token)?;
            self.retry = Some(timer);
        }
        if let Some(timer) = &self.retry {
            // Setting it anew also takes back what it has told.
            timerfd_settime(timer, TimerfdTimerFlags::empty(), &RETRY)?;
            poller.rearm(timer, EventFlags::IN | EventFlags::ONESHOT, token);
        }
        Ok(())
    }

    fn arm(&self, poller: &Poller, token: Token, wait: &Step) {
        let for_sink = matches!(wait, Step::WaitForSink) || !self.source_polls;
        if for_sink && self.sink_polls {
            poller.rearm(&self.sink, EventFlags::OUT | EventFlags::ONESHOT, token);
        } else {
            poller.rearm(&self.source, EventFlags::IN | EventFlags::ONESHOT, token);
        }
    }

    fn step(&mut self) -> Step {
        match self.mode {
            Mode::Splice => self.splice(),
            Mode::Copy => self.copy(),
        }
    }

    fn splice(&mut self) -> Step {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        match splice(&self.source, None, &self.sink, None, SPLICE_BYTES, flags) {
            Ok(0) => Step::End,
            Ok(bytes) => Step::Moved(bytes),
            Err(Errno::INTR) => Step::Moved(0),
            Err(Errno::AGAIN) if self.sink_polls && !self.sink_has_room() => Step::WaitForSink,
            Err(Errno::AGAIN) => Step::WaitForSource,
            Err(error @ (Errno::NOSPC | Errno::DQUOT)) => Step::Retry(error),
            Err(Errno::INVAL) => {
                self.mode = Mode::Copy;
                Step::Moved(0)
            }
            Err(error) => ended(error),
        }
    }

    fn sink_has_room(&self) -> bool {
        let mut fds = [PollFd::new(&self.sink, PollFlags::OUT)];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        matches!(poll(&mut fds, Some(&at_once)), Ok(ready) if ready > 0)
    }

    fn copy(&mut self) -> Step {
        if self.pending.is_empty() {
            let mut chunk = [0; COPY_BYTES];
            match read(&self.source, &mut chunk) {
                Ok(0) => return Step::End,
                Ok(bytes) => self.pending.extend_from_slice(&chunk[..bytes]),
                Err(Errno::INTR) => return Step::Moved(0),
                Err(Errno::AGAIN) => return Step::WaitForSource,
                Err(error) => return ended(error),
            }
        }
        match write(&self.sink, &self.pending) {
            Ok(bytes) => {
                self.pending.drain(..bytes);
                if self.pending.is_empty() {
                    self.pending = Vec::new();
                }
                self.retry = None;
                Step::Moved(bytes)
            }
            Err(Errno::INTR) => Step::Moved(0),
            Err(Errno::AGAIN) => Step::WaitForSink,
            Err(error @ (Errno::NOSPC | Errno::DQUOT)) => Step::Retry(error),
            Err(error) => ended(error),
        }
    }
}

/// A terminal without processes reads as EIO, a pipe without readers writes as EPIPE: both are ends.
fn ended(error: Errno) -> Step {
    if !matches!(error, Errno::IO | Errno::PIPE) {
        logger::error(format_args!("stdio: {error}"));
    }
    Step::End
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};

    use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

    use super::*;

    #[test]
    fn moves_everything_through_a_sink_that_is_full_most_of_the_time() {
        let poller = Arc::new(Poller::new().unwrap());
        let running = Arc::clone(&poller);
        let main_loop = std::thread::spawn(move || running.run());
        for mode in [Mode::Splice, Mode::Copy] {
            let (source, input) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            let (output, sink) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            fcntl_setpipe_size(&sink, 4096).unwrap();
            for fd in [&source, &sink] {
                super::super::nonblocking(fd).unwrap();
            }
            let pump = Pump::start(&poller, source, sink, mode).unwrap();
            let sent: Vec<u8> = (0..1_000_003u32).map(|n| (n % 251) as u8).collect();
            let sending = sent.clone();
            let writer = std::thread::spawn(move || {
                let mut input = File::from(input);
                sending
                    .chunks(777)
                    .for_each(|chunk| input.write_all(chunk).unwrap());
            });
            let mut received = Vec::new();
            File::from(output).read_to_end(&mut received).unwrap();
            writer.join().unwrap();
            assert!(
                received == sent,
                "{mode:?}: {} of {} bytes",
                received.len(),
                sent.len()
            );
            assert_eq!(pump.wait(Duration::from_secs(5)), Drained::Finished);
        }
        poller.stop();
        main_loop.join().unwrap().unwrap();
    }
}
