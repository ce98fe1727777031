//! `binary://`: a program of the operator's that takes a process's output.
//!
//! As containerd's runc shim runs it: descriptor 3 reads standard output, 4 standard error, and the
//! process starts once the program closes 5. The query becomes arguments, the container's id and
//! namespace come in the environment. Must never be waited for longer than a moment.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use crate::error::ShimError;
use crate::logger;
use crate::reaper::{Child, Reaper};

const SCHEME: &str = "binary://";
const READY_SECONDS: i64 = 10;
/// How long the program may go on after its input has ended, and then after SIGTERM.
const END_LIMIT: Duration = Duration::from_secs(10);
const TERM_LIMIT: Duration = Duration::from_secs(2);

/// What a logging program is told, and who waits for it.
pub(crate) struct Logging<'a> {
    pub(crate) container_id: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) reaper: &'a Arc<Reaper>,
}

/// A logging program that runs.
pub(super) struct LogProgram {
    child: Child,
}

pub(super) fn is_binary(uri: &str) -> bool {
    uri.starts_with(SCHEME)
}

/// Start the program of `uri`; returns the write ends of its two inputs.
pub(super) fn start(
    uri: &str,
    logging: &Logging<'_>,
) -> Result<(LogProgram, OwnedFd, OwnedFd), ShimError> {
    let (path, arguments) = parse(uri).ok_or_else(|| ShimError::InvalidField {
        field: "stdio",
        value: uri.to_owned(),
        reason: "must be binary:// and an absolute path".into(),
    })?;
    let failed = |error: io::Error| ShimError::io("run", &path)(error);
    let (stdout, theirs_out) = super::pipe(None)?;
    let (stderr, theirs_err) = super::pipe(None)?;
    let (ready, ready_theirs) = super::pipe(None)?;
    let mut command = Command::new(&path);
    command
        .args(arguments)
        .env("CONTAINER_ID", logging.container_id)
        .env("CONTAINER_NAMESPACE", logging.namespace)
        .env_remove("MALLOC_ARENA_MAX")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mappings = [stdout, stderr, ready_theirs].into_iter().zip(3..);
    let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping {
        parent_fd,
        child_fd,
    });
    command
        .fd_mappings(mappings.collect())
        .map_err(|error| failed(io::Error::other(error)))?;
    let child = logging.reaper.spawn(&mut command).map_err(failed)?;
    drop(command); // and with it our copies of the program's ends
    let program = LogProgram { child };
    await_ready(&ready).map_err(failed)?;
    Ok((program, theirs_out, theirs_err))
}

/// A byte or the end, both say that the program is ready.
fn await_ready(ready: &OwnedFd) -> io::Result<()> {
    let mut fds = [PollFd::new(ready, PollFlags::IN)];
    let limit = Timespec {
        tv_sec: READY_SECONDS,
        tv_nsec: 0,
    };
    match poll(&mut fds, Some(&limit))? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

impl LogProgram {
    /// All writers are gone or will be soon: let the program finish, then ask it, then make it.
    pub(super) fn finish(&self) {
        for (limit, signal) in [(END_LIMIT, Signal::TERM), (TERM_LIMIT, Signal::KILL)] {
            if self.child.ended_within(limit) {
                return;
            }
            self.child.signal(signal);
        }
        logger::error(format_args!("a logging program had to be killed"));
    }
}

/// `binary:///path?key=value&key` as path and arguments.
fn parse(uri: &str) -> Option<(OsString, Vec<OsString>)> {
    let rest = uri.strip_prefix(SCHEME)?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !path.starts_with('/') {
        return None;
    }
    let mut arguments = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        arguments.push(decode(name));
        if !value.is_empty() {
            arguments.push(decode(value));
        }
    }
    Some((decode(path), arguments))
}

/// Percent-encoding; what is none stays as it is.
fn decode(text: &str) -> OsString {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let encoded = after
            .get(..2)
            .filter(|_| first == b'%')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match encoded {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_becomes_arguments() {
        let (path, arguments) = parse("binary:///opt/my%20log?--to=a%2fb&-v").unwrap();
        assert_eq!(path, "/opt/my log");
        assert_eq!(arguments, ["--to", "a/b", "-v"]);
        assert_eq!(parse("binary://relative"), None);
        assert_eq!(decode("100%"), "100%");
    }
}
