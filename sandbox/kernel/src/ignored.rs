//! Which signals a process ignores: because it says so, or because it says nothing and Linux then does.
//!
//! Who ignores a signal never hears of it. But to a traced thread the host delivers it all the same.

use std::os::fd::AsFd;

use crate::task::read_proc;

/// From `/proc/TID/status`.
pub struct Signals {
    status: String,
}

/// By default, as signal(7) has it.
const BY_DEFAULT: u64 =
    bit(libc::SIGCHLD) | bit(libc::SIGURG) | bit(libc::SIGWINCH) | bit(libc::SIGCONT);

const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

impl Signals {
    /// `None` if the thread is gone.
    pub fn of(host_proc: impl AsFd, tid: i32) -> Option<Signals> {
        let status = read_proc(host_proc.as_fd(), &format!("{tid}/status")).ok()?;
        Some(Signals { status })
    }

    fn mask(&self, name: &str) -> u64 {
        self.status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|value| u64::from_str_radix(value.trim(), 16).ok())
            .unwrap_or(0)
    }

    fn ignored(&self) -> u64 {
        self.mask("SigIgn:") | (BY_DEFAULT & !self.mask("SigCgt:"))
    }

    pub fn ignore(&self, signal: i32) -> bool {
        self.ignored() & bit(signal) != 0
    }

    /// Whether one waits that the thread is to hear of.
    pub fn is_due(&self) -> bool {
        let pending = self.mask("SigPnd:") | self.mask("ShdPnd:");
        pending & !self.mask("SigBlk:") & !self.ignored() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signals(pending: u64, blocked: u64, ignored: u64, caught: u64) -> Signals {
        let status = format!(
            "Name:\tx\nSigPnd:\t{:016x}\nShdPnd:\t{pending:016x}\nSigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\n\
             SigCgt:\t{caught:016x}\n",
            0
        );
        Signals { status }
    }

    #[test]
    fn a_signal_is_ignored_by_wish_or_by_default() {
        let signals = signals(0, 0, bit(libc::SIGUSR2), bit(libc::SIGCHLD));
        assert!(signals.ignore(libc::SIGUSR2));
        assert!(signals.ignore(libc::SIGWINCH));
        assert!(!signals.ignore(libc::SIGCHLD));
        assert!(!signals.ignore(libc::SIGUSR1));
    }

    #[test]
    fn only_what_is_heard_of_is_due() {
        let one = bit(libc::SIGUSR1);
        assert!(signals(one, 0, 0, 0).is_due());
        assert!(!signals(one, one, 0, 0).is_due());
        assert!(!signals(one, 0, one, 0).is_due());
        let child = bit(libc::SIGCHLD);
        assert!(!signals(child, 0, 0, 0).is_due());
        assert!(signals(child, 0, 0, child).is_due());
        assert!(signals(child | bit(64), 0, 0, 0).is_due());
    }
}
