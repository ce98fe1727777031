//! A log of the calls that guests make, in the manner of strace(1).
//!
//! A line is begun before a call is served, because its handler may change what its arguments point to, and written
//! when it is answered. What is read of a guest's memory is for the log alone: no decision may rest on it.

mod show;
mod signature;

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use caisson_sys::memory;
use rustix::io::Errno;

use crate::task::lock;
use crate::transport::Incoming;

/// The log ends here: a guest must not fill the host's disk.
const MOST_BYTES: u64 = 256 << 20;

#[derive(Debug)]
pub struct Strace {
    log: Mutex<(File, u64)>,
}

/// A call as it came.
#[derive(Debug)]
pub struct Line {
    start: SystemTime,
    text: String,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Value(i64),
    Error(Errno),
    /// The host kernel runs it, and its result is the guest's alone.
    Native,
    /// It is over, and who ended it says no more: an exec that has begun.
    Elsewhere,
    /// A signal ended it: it is made again or fails with EINTR.
    Interrupted,
    /// The guest was killed meanwhile.
    Gone,
}

impl Strace {
    pub fn new(file: File) -> Strace {
        Strace {
            log: Mutex::new((file, 0)),
        }
    }

    /// Note a call of the thread that is `guest_tid` inside.
    pub fn begin(&self, call: &Incoming, guest_tid: i32) -> Line {
        let read = |address: u64, into: &mut [u8]| memory::read(call.tid, address, into);
        Line {
            start: SystemTime::now(),
            text: describe(call.nr, guest_tid, &call.args, &read),
        }
    }

    pub fn end(&self, line: Line, outcome: Outcome) {
        let since = line.start.duration_since(UNIX_EPOCH).unwrap_or_default();
        let took = line.start.elapsed().unwrap_or_default();
        let text = format!(
            "{}.{:06} {}{} <{}>\n",
            since.as_secs(),
            since.subsec_micros(),
            line.text,
            result(outcome),
            seconds(took)
        );
        let mut log = lock(&self.log);
        if log.1 >= MOST_BYTES {
            return;
        }
        log.1 += text.len() as u64;
        let end = log.1 >= MOST_BYTES;
        // A full disk is no reason to stop a guest.
        log.0.write_all(text.as_bytes()).ok();
        if end {
            log.0.write_all(b"the log is full\n").ok();
        }
    }
}

/// A call with its arguments.
pub fn describe(number: u32, guest_tid: i32, arguments: &[u64; 6], read: show::Read<'_>) -> String {
    let mut text = String::with_capacity(128);
    let row = caisson_abi::row(number);
    // Writing to a string cannot fail.
    let _ = match row {
        Some(row) => write!(text, "[{guest_tid}] {}(", row.name),
        None => write!(text, "[{guest_tid}] syscall_{number}("),
    };
    let letters = row
        .and_then(|row| signature::of(row.name))
        .unwrap_or("xxxxxx");
    for (index, letter) in letters.chars().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        show::argument(&mut text, signature::kind(letter), index, arguments, read);
    }
    text.push(')');
    text
}

fn seconds(time: Duration) -> String {
    format!("{}.{:06}", time.as_secs(), time.subsec_micros())
}

fn result(outcome: Outcome) -> String {
    match outcome {
        Outcome::Value(value @ -65536..=65536) => format!(" = {value}"),
        Outcome::Value(value) => format!(" = {value:#x}"),
        Outcome::Error(errno) => {
            let errno = caisson_abi::Errno::from_raw(errno.raw_os_error());
            format!(" = -1 {errno:?} ({errno})")
        }
        Outcome::Native => " = native".to_owned(),
        Outcome::Elsewhere => " = ?".to_owned(),
        Outcome::Interrupted => " = ? (interrupted by a signal)".to_owned(),
        Outcome::Gone => " = ? (killed)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_name_their_errors() {
        assert_eq!(result(Outcome::Value(3)), " = 3");
        assert_eq!(
            result(Outcome::Value(0x7f00_0000_0000)),
            " = 0x7f0000000000"
        );
        assert_eq!(
            result(Outcome::Error(Errno::NOENT)),
            " = -1 ENOENT (No such file or directory)"
        );
    }
}
