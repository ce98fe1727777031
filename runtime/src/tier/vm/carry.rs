//! Carries bytes between our own files and those of the guest's process.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;

use caisson_wire::agent::Stdio;

use super::life::Event;
use super::session::Session;
use crate::RuntimeError;

const CHUNK_BYTES: usize = 64 << 10;
const STACK_BYTES: usize = 128 << 10;

/// Connect standard input, output and error. Returns how many [`Event::StreamEnded`]s there will be.
pub(super) fn stdio(session: &Session, events: &Sender<Event>) -> Result<usize, RuntimeError> {
    let input = session.file(Stdio::In)?;
    let own = duplicate(rustix::stdio::stdin())?;
    start("stdin", move || {
        copy(own, &input);
        // The process's end of file; it may have gone.
        input.shutdown(Shutdown::Write).ok();
    })?;
    let outputs = [
        (Stdio::Out, rustix::stdio::stdout()),
        (Stdio::Err, rustix::stdio::stderr()),
    ];
    for (file, fd) in outputs {
        let output = session.file(file)?;
        let own = duplicate(fd)?;
        let events = events.clone();
        start("output", move || {
            copy(&output, own);
            // Whoever would hear of it may be done.
            events.send(Event::StreamEnded).ok();
        })?;
    }
    Ok(outputs.len())
}

/// Connect the slave of our terminal, both ways.
pub(super) fn console(
    session: &Session,
    slave: &OwnedFd,
    events: &Sender<Event>,
) -> Result<usize, RuntimeError> {
    let stream = session.file(Stdio::Console)?;
    let up: UnixStream = stream
        .try_clone()
        .map_err(RuntimeError::step("duplicate a descriptor"))?;
    let (read, write) = (duplicate(slave.as_fd())?, duplicate(slave.as_fd())?);
    start("console-in", move || copy(read, &up))?;
    let events = events.clone();
    start("console-out", move || {
        copy(&stream, write);
        events.send(Event::StreamEnded).ok();
    })?;
    Ok(1)
}

fn duplicate(fd: BorrowedFd<'_>) -> Result<File, RuntimeError> {
    let fd = fd.try_clone_to_owned();
    fd.map(File::from)
        .map_err(RuntimeError::step("duplicate a descriptor"))
}

pub(super) fn start(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), RuntimeError> {
    std::thread::Builder::new()
        .name(name.into())
        .stack_size(STACK_BYTES)
        .spawn(body)
        .map(drop)
        .map_err(RuntimeError::step("start a thread"))
}

/// Until either side ends.
fn copy(mut from: impl Read, mut to: impl Write) {
    let mut chunk = vec![0u8; CHUNK_BYTES];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return,
            Ok(length) => {
                if to.write_all(&chunk[..length]).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
