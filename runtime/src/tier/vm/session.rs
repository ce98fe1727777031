//! A connection to the agent that stands for one process of the guest, and the connections to its files.
//!
//! Everything that comes from the agent is a guest's word: lengths and values are checked, and nothing is waited for
//! without a limit but the end of a process that runs.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use caisson_wire::WireError;
use caisson_wire::agent::{self, MAX_UP_BYTES, Opening, Order, PORT, Question, Report, Stdio};

use super::files::VSOCK;
use crate::RuntimeError;

/// From the start of the machine to the agent's first word, unless `CAISSON_BOOT_LIMIT` says otherwise.
const BOOT_LIMIT_S: u64 = 120;
/// How long the agent may take for an answer.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take for one to a question about a container.
const QUESTION_LIMIT: Duration = Duration::from_secs(20);
/// How long the monitor may take to connect us, before it is asked again.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(10);

/// `CAISSON_BOOT_LIMIT`, for hosts that are slower, or where somebody waits.
pub(super) fn boot_limit_s() -> Result<u64, RuntimeError> {
    const VARIABLE: &str = "CAISSON_BOOT_LIMIT";
    let Some(text) = std::env::var_os(VARIABLE).filter(|text| !text.is_empty()) else {
        return Ok(BOOT_LIMIT_S);
    };
    let text = text.to_string_lossy();
    match text.parse() {
        Ok(seconds @ 1..) => Ok(seconds),
        _ => Err(RuntimeError::option(
            VARIABLE,
            text,
            "not a number of seconds",
        )),
    }
}

#[derive(Debug)]
pub(super) struct Session {
    folder: File,
    stream: UnixStream,
    /// The agent's number of the process.
    process: u64,
}

/// Looks whether waiting is of use still.
pub(super) type Doubt<'a> = &'a mut dyn FnMut() -> Option<RuntimeError>;

impl Session {
    /// Open a session and wait for its process to stand. `folder` is the container's in the state.
    pub(super) fn open(
        folder: &Path,
        opening: &Opening,
        connect_limit: Duration,
        doubt: Doubt<'_>,
    ) -> Result<Session, RuntimeError> {
        let folder = File::open(folder).map_err(RuntimeError::file(folder, "open"))?;
        let mut stream = connect(&folder, connect_limit, doubt)?;
        agent::write(&mut stream, opening)?;
        stream
            .set_read_timeout(Some(ANSWER_LIMIT))
            .map_err(RuntimeError::step("set a time limit"))?;
        match agent::read(&mut stream, MAX_UP_BYTES) {
            Ok(Report::Ready { process }) => {
                stream
                    .set_read_timeout(None)
                    .map_err(RuntimeError::step("set a time limit"))?;
                Ok(Session {
                    folder,
                    stream,
                    process,
                })
            }
            Ok(Report::Failed { message }) => Err(of_agent(&message)),
            Ok(other) => Err(nonsense(&other)),
            Err(error) => Err(doubt().unwrap_or_else(|| failed(error, ANSWER_LIMIT))),
        }
    }

    /// Connect to one of the process's files.
    pub(super) fn file(&self, file: Stdio) -> Result<UnixStream, RuntimeError> {
        let mut stream = connect(&self.folder, ANSWER_LIMIT, &mut || None)?;
        let process = self.process;
        agent::write(&mut stream, &Opening::Stream { process, file })?;
        Ok(stream)
    }

    pub(super) fn order(&self, order: Order) -> Result<(), RuntimeError> {
        Ok(agent::write(&mut &self.stream, &order)?)
    }

    /// Where reports come from.
    pub(super) fn reports(&self) -> Result<UnixStream, RuntimeError> {
        self.stream
            .try_clone()
            .map_err(RuntimeError::step("duplicate a descriptor"))
    }
}

/// Ask the agent one question about a container; `folder` is the container's in the state.
pub(super) fn ask(
    folder: &Path,
    container: &str,
    question: Question,
) -> Result<Report, RuntimeError> {
    let folder = File::open(folder).map_err(RuntimeError::file(folder, "open"))?;
    let mut stream = connect(&folder, QUESTION_LIMIT, &mut || None)?;
    let opening = Opening::Ask {
        container: container.to_owned(),
        question,
    };
    agent::write(&mut stream, &opening)?;
    stream
        .set_read_timeout(Some(QUESTION_LIMIT))
        .map_err(RuntimeError::step("set a time limit"))?;
    match agent::read(&mut stream, MAX_UP_BYTES) {
        Ok(Report::Failed { message }) => Err(of_agent(&message)),
        Ok(report) => Ok(report),
        Err(error) => Err(failed(error, QUESTION_LIMIT)),
    }
}

/// The agent's own words, which may be a guest's: printable, and not too many.
pub(super) fn of_agent(message: &str) -> RuntimeError {
    const LIMIT: usize = 2000;
    let message: String = message.chars().take(LIMIT).collect();
    RuntimeError::Sandbox {
        message: format!("agent: {}", message.escape_debug()),
    }
}

pub(super) fn nonsense(report: &Report) -> RuntimeError {
    RuntimeError::Sandbox {
        message: format!("agent: says what cannot be: {report:?}"),
    }
}

/// A message did not come.
fn failed(error: WireError, limit: Duration) -> RuntimeError {
    let message = match error {
        WireError::Connection(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ) =>
        {
            format!("agent: no answer within {} s", limit.as_secs())
        }
        other => format!("agent: {other}"),
    };
    RuntimeError::Sandbox { message }
}

fn connect(folder: &File, limit: Duration, doubt: Doubt<'_>) -> Result<UnixStream, RuntimeError> {
    let deadline = Instant::now() + limit;
    loop {
        let error = match attempt(folder) {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        if let Some(error) = doubt() {
            return Err(error);
        }
        if Instant::now() > deadline {
            let message = format!("agent: not reached within {} s: {error}", limit.as_secs());
            return Err(RuntimeError::Sandbox { message });
        }
        std::thread::sleep(PAUSE);
    }
}

/// The monitor's side of it: `CONNECT port`, and `OK port` when the agent has taken the connection.
fn attempt(folder: &File) -> io::Result<UnixStream> {
    const LONGEST: usize = 32;
    // Socket addresses are limited to 108 bytes, state folders are not.
    let path = format!("/proc/self/fd/{}/{VSOCK}", folder.as_raw_fd());
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(CONNECT_LIMIT))?;
    stream.write_all(format!("CONNECT {PORT}\n").as_bytes())?;
    let mut line = Vec::new();
    let mut byte = [0u8];
    while line.last() != Some(&b'\n') {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
        if line.len() > LONGEST {
            break;
        }
    }
    if !line.starts_with(b"OK ") {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.set_read_timeout(None)?;
    Ok(stream)
}

#[cfg(test)]
mod tests;
