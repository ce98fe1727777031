//! Staying until a child ends: its terminal is relayed, our signals are passed on, its status becomes ours.

use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::process::{Pid, WaitOptions, waitpid};

use crate::RuntimeError;
use crate::console::{Relay, Round};
use crate::process::ProcessId;

/// Wait for the child `pid` and return its status the way shells do. Signals go to `target`.
pub fn stay(
    pid: i32,
    target: Option<ProcessId>,
    console: Option<OwnedFd>,
) -> Result<u8, RuntimeError> {
    let mut set = SigSet::all();
    // Faults of our own are ours.
    for fault in [
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGILL,
        Signal::SIGFPE,
        Signal::SIGABRT,
    ] {
        set.remove(fault);
    }
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)
        .map_err(RuntimeError::step("sigprocmask"))?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let signals = SignalFd::with_flags(&set, flags).map_err(RuntimeError::step("signalfd"))?;
    let wake: OwnedFd = signals
        .as_fd()
        .try_clone_to_owned()
        .map_err(RuntimeError::step("dup"))?;
    let mut relay = console.map(Relay::new);
    let mut open = relay.is_some();
    loop {
        if let Some(status) = ended(pid)? {
            if let Some(relay) = &relay {
                relay.drain();
            }
            return Ok(status);
        }
        match relay.as_mut().filter(|_| open) {
            Some(relay) => open = relay.round(&[&wake])?.0 == Round::Open,
            None => wait_readable(&wake)?,
        }
        while let Ok(Some(signal)) = signals.read_signal() {
            pass_on(signal.ssi_signo as i32, target, relay.as_ref())?;
        }
    }
}

fn wait_readable(fd: &OwnedFd) -> Result<(), RuntimeError> {
    use rustix::event::{PollFd, PollFlags, poll};
    match poll(&mut [PollFd::new(fd, PollFlags::IN)], None) {
        Err(rustix::io::Errno::INTR) | Ok(_) => Ok(()),
        Err(errno) => Err(RuntimeError::step("poll")(errno)),
    }
}

fn pass_on(
    signal: i32,
    target: Option<ProcessId>,
    relay: Option<&Relay>,
) -> Result<(), RuntimeError> {
    match signal {
        libc::SIGCHLD | libc::SIGPIPE | libc::SIGURG => Ok(()),
        libc::SIGWINCH if relay.is_some() => {
            relay.iter().for_each(|relay| relay.resize());
            Ok(())
        }
        other => match target {
            Some(target) => target
                .signal(other)
                .map(drop)
                .map_err(RuntimeError::step("pidfd_send_signal")),
            None => Ok(()),
        },
    }
}

fn ended(pid: i32) -> Result<Option<u8>, RuntimeError> {
    let pid = Pid::from_raw(pid);
    let found = waitpid(pid, WaitOptions::NOHANG).map_err(RuntimeError::step("waitpid"))?;
    Ok(found.map(
        |(_, status)| match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code as u8,
            (None, Some(signal)) => (128 + signal) as u8,
            (None, None) => 255,
        },
    ))
}
