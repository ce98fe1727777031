//! Terminals: handing the master to a console socket, or relaying it to our own terminal (`run -t` in the
//! foreground).

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::termios::{OptionalActions, Termios, Winsize};

use crate::RuntimeError;

/// Send the master to the `AF_UNIX` stream socket at `path`, as runc does: the name travels as data.
pub fn send(path: &Path, master: &OwnedFd) -> Result<(), RuntimeError> {
    let fail = |step| RuntimeError::file::<Errno>(path, step);
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(fail("socket"))?;
    let address = SocketAddrUnix::new(path).map_err(fail("--console-socket"))?;
    rustix::net::connect(&socket, &address).map_err(fail("connect to the console socket"))?;
    let raw = [master.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&raw)];
    sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(b"/dev/ptmx")],
        &rights,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )
    .map_err(RuntimeError::file(path, "send the console"))?;
    Ok(())
}

/// Our own terminal in raw mode, restored on drop.
#[derive(Debug)]
struct Raw(Termios);

impl Raw {
    fn enter() -> Option<Raw> {
        let stdin = rustix::stdio::stdin();
        let before = rustix::termios::tcgetattr(stdin).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(stdin, OptionalActions::Now, &raw).ok()?;
        Some(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that went away.
        rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.0).ok();
    }
}

/// Copies between our standard streams and a console until the console hangs up.
#[derive(Debug)]
pub struct Relay {
    master: OwnedFd,
    _raw: Option<Raw>,
    input_open: bool,
}

/// What a round of the relay found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    Open,
    HungUp,
}

impl Relay {
    pub fn new(master: OwnedFd) -> Relay {
        let relay = Relay {
            master,
            _raw: Raw::enter(),
            input_open: true,
        };
        relay.resize();
        relay
    }

    /// Give the console the size of our terminal.
    pub fn resize(&self) {
        let size: Result<Winsize, Errno> = rustix::termios::tcgetwinsize(rustix::stdio::stdin());
        if let Ok(size) = size {
            // A console that has hung up needs no size.
            rustix::termios::tcsetwinsize(&self.master, size).ok();
        }
    }

    /// Wait for `also` or for traffic, and copy what there is. Returns whether `also` is ready as well.
    pub fn round(&mut self, also: &[&OwnedFd]) -> Result<(Round, Vec<bool>), RuntimeError> {
        let stdin = rustix::stdio::stdin();
        let input = if self.input_open {
            PollFlags::IN
        } else {
            PollFlags::empty()
        };
        let mut fds = vec![
            PollFd::new(&self.master, PollFlags::IN),
            PollFd::from_borrowed_fd(stdin, input),
        ];
        fds.extend(also.iter().map(|fd| PollFd::new(*fd, PollFlags::IN)));
        match poll(&mut fds, None) {
            Err(Errno::INTR) => return Ok((Round::Open, vec![false; also.len()])),
            other => other.map_err(RuntimeError::step("poll"))?,
        };
        let ready: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        drop(fds);
        let mut round = Round::Open;
        if !ready[0].is_empty() && !copy(self.master.as_fd(), rustix::stdio::stdout()) {
            round = Round::HungUp;
        }
        if self.input_open && !ready[1].is_empty() {
            self.input_open = copy(stdin, self.master.as_fd());
        }
        Ok((
            round,
            ready[2..].iter().map(|flags| !flags.is_empty()).collect(),
        ))
    }

    /// Copy what the console still holds.
    pub fn drain(&self) {
        loop {
            let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
            let none = rustix::event::Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            let ready = poll(&mut fds, Some(&none)).unwrap_or(0) > 0
                && fds[0].revents().contains(PollFlags::IN);
            if !ready || !copy(self.master.as_fd(), rustix::stdio::stdout()) {
                return;
            }
        }
    }
}

/// One read and its writes; `false` at the end of the stream (a console without slaves reads EIO).
fn copy(from: std::os::fd::BorrowedFd<'_>, to: std::os::fd::BorrowedFd<'_>) -> bool {
    let mut buffer = [0u8; 16 << 10];
    let read = loop {
        match rustix::io::read(from, &mut buffer) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return true,
            Err(_) | Ok(0) => return false,
            Ok(read) => break read,
        }
    };
    let mut rest = &buffer[..read];
    while !rest.is_empty() {
        match rustix::io::write(to, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::from_borrowed_fd(to, PollFlags::OUT)];
                poll(&mut fds, None).ok();
            }
            // The other side is gone; the rest has nowhere to go.
            Err(_) => return false,
        }
    }
    true
}
