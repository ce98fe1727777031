//! A sandbox process belongs to `create` until that is done: both sides of it.

use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;

use caisson_wire::BootReply;

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, Signal as RustixSignal, set_parent_process_death_signal};

use super::{Newborn, edges};
use crate::RuntimeError;

/// The sandbox process until it is committed: closing the socket without a word ends it.
#[derive(Debug)]
pub struct LifeLine {
    socket: Option<OwnedFd>,
    /// Taken by the commit.
    child: Option<Child>,
    /// Where the sandbox says why it ended.
    last_words: Option<OwnedFd>,
}

impl LifeLine {
    /// For a child that has just been spawned, and what it is to be given.
    pub(super) fn of(child: Child) -> Result<(LifeLine, OwnedFd), RuntimeError> {
        let mut line = LifeLine {
            socket: None,
            child: Some(child),
            last_words: None,
        };
        let (end, socket) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(RuntimeError::step("socketpair"))?;
        line.socket = Some(socket);
        Ok((line, end))
    }

    /// Keep listening for a [`BootReply`] after that of a sandbox that is complete.
    pub(super) fn listen(&mut self, boot: OwnedFd) {
        self.last_words = Some(boot);
    }

    fn commit(&self) -> Result<(), RuntimeError> {
        let socket = self.socket.as_ref().ok_or(RuntimeError::SandboxDied)?;
        rustix::io::write(socket, b"c").map_err(RuntimeError::step("commit the sandbox"))?;
        // Were we to end before it has disarmed its death signal, it would end with us.
        match rustix::io::read(socket, &mut [0u8; 1]) {
            Ok(1) => Ok(()),
            Ok(_) => Err(RuntimeError::SandboxDied),
            Err(errno) => Err(RuntimeError::step("commit the sandbox")(errno)),
        }
    }

    /// What the sandbox said before it ended, instead of `error`, which is only that it did.
    fn explain(&self, error: RuntimeError) -> RuntimeError {
        let words = self.last_words.as_ref();
        match words.map(|boot| caisson_wire::receive::<BootReply>(boot.as_fd())) {
            Some(Ok((BootReply::Failed { message }, _))) => RuntimeError::Sandbox { message },
            _ => error,
        }
    }
}

impl Newborn {
    /// From now on the sandbox outlives the calling process.
    pub fn commit(self) -> Result<Committed, RuntimeError> {
        let mut line = self.life_line;
        line.commit().map_err(|error| line.explain(error))?;
        let child = line.child.take().ok_or(RuntimeError::SandboxDied)?;
        Ok(Committed {
            child,
            console: self.console,
            tie: None,
        })
    }

    /// The sandbox goes on, and ends with the calling process or with what this returns.
    pub fn tie(self) -> Result<Committed, RuntimeError> {
        let mut line = self.life_line;
        let child = line.child.take().ok_or(RuntimeError::SandboxDied)?;
        Ok(Committed {
            child,
            console: self.console,
            tie: line.socket.take(),
        })
    }
}

/// A complete sandbox as a child of this process.
#[derive(Debug)]
pub struct Committed {
    pub child: Child,
    pub console: Option<OwnedFd>,
    /// Ends the sandbox when it is closed, if that was not committed.
    pub tie: Option<OwnedFd>,
}

impl Drop for LifeLine {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Uncommitted. An error means that the process has ended already.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Killed with `create`, as long as it has not committed.
pub(super) fn die_with(parent: i32) -> Result<(), RuntimeError> {
    set_parent_process_death_signal(Some(RustixSignal::KILL))
        .map_err(RuntimeError::step("PR_SET_PDEATHSIG"))?;
    if rustix::process::getppid().map(Pid::as_raw_pid) != Some(parent) {
        return Err(RuntimeError::SandboxDied);
    }
    Ok(())
}

/// The death signal belongs to a thread. Hand it to one that waits for the commit and ends then; the app kernel's
/// main thread need not know.
pub(super) fn watch(life_line: OwnedFd) -> Result<(), RuntimeError> {
    let (ready, is_ready) = std::sync::mpsc::sync_channel::<()>(1);
    let body = move || {
        let armed = set_parent_process_death_signal(Some(RustixSignal::KILL));
        // The receiver waits for this; it cannot be gone.
        ready.send(()).ok();
        let mut word = [0u8; 1];
        let committed = loop {
            match rustix::io::read(&life_line, &mut word) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other == Ok(1),
            }
        };
        let disarmed = committed && armed.is_ok() && set_parent_process_death_signal(None).is_ok();
        if !disarmed || rustix::io::write(&life_line, b"c").is_err() {
            edges::die_by(libc::SIGKILL);
        }
    };
    let builder = std::thread::Builder::new()
        .name("commit".into())
        .stack_size(64 << 10);
    builder
        .spawn(body)
        .map_err(RuntimeError::step("start a thread"))?;
    // An error means that the thread has ended, and it ends only when committed or by ending us all.
    is_ready.recv().ok();
    set_parent_process_death_signal(None).map_err(RuntimeError::step("PR_SET_PDEATHSIG"))
}
