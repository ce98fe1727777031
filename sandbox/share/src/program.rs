//! The process `caisson-share`.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;

use caisson_wire::WireError;
use caisson_wire::share::{Answer, MAX_FUSE_BYTES, Order, RequestHeader};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::process::{Resource, getrlimit};

use crate::{Server, jail};

/// Requests that are served at a time: those that wait for a disk must not hold up those that do not.
const THREADS: usize = 4;
const STACK_BYTES: usize = 256 << 10;

/// Serves the monitor at the other end of standard input and whoever is at the other end of standard output, until one
/// of them goes; the only argument is the number of the user to become.
pub fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let id = arguments.next();
    let id = id.and_then(|id| id.to_str()?.parse().ok());
    let Some(id) = id.filter(|id| *id != 0) else {
        eprintln!("caisson-share is started by caisson create only");
        return ExitCode::from(2);
    };
    match live(id) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("caisson-share: {error}");
            ExitCode::FAILURE
        }
    }
}

fn live(id: u32) -> Result<(), Box<dyn std::error::Error>> {
    let own = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned();
    let files = Arc::new(own(rustix::stdio::stdin())?);
    let control = own(rustix::stdio::stdout())?;
    jail::enter(id)?;
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
    let server = Arc::new(Server::new(descriptors));
    for _ in 0..THREADS {
        let (files, server) = (Arc::clone(&files), Arc::clone(&server));
        std::thread::Builder::new()
            .name("files".into())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let _last_word = LastWord;
                let served = jail::confine()
                    .map_err(io::Error::other)
                    .and_then(|()| serve(&files, &server));
                // The first of the threads to end ends all.
                match served {
                    Ok(()) => std::process::exit(0),
                    Err(error) => {
                        eprintln!("caisson-share: {error}");
                        std::process::exit(1);
                    }
                }
            })?;
    }
    jail::confine()?;
    obey(&control, &server)
}

/// A thread that panics takes the process with it, and so the machine, instead of leaving requests unanswered.
struct LastWord;

impl Drop for LastWord {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::exit(70);
        }
    }
}

/// Until the monitor goes.
fn serve(files: &OwnedFd, server: &Server) -> io::Result<()> {
    let mut packet = vec![0; RequestHeader::BYTES + MAX_FUSE_BYTES];
    let mut buffer = Vec::new();
    loop {
        let (length, whole) = match recv(files, &mut packet[..], RecvFlags::TRUNC) {
            Ok((length, whole)) => (length, whole),
            Err(Errno::INTR) => continue,
            Err(Errno::CONNRESET) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        if whole == 0 {
            return Ok(());
        }
        let answer = Some(&packet[..length])
            .filter(|_| whole == length)
            .and_then(|packet| server.serve(packet, std::mem::take(&mut buffer)));
        let Some(answer) = answer else {
            return Err(io::Error::other("the monitor sent what is no request"));
        };
        loop {
            match send(files, &answer, SendFlags::NOSIGNAL) {
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
        buffer = answer;
    }
}

/// Until whoever gives orders goes.
fn obey(control: &OwnedFd, server: &Server) -> Result<(), Box<dyn std::error::Error>> {
    loop {
        let (order, fds) = match caisson_wire::receive::<Order>(control.as_fd()) {
            Ok(received) => received,
            Err(WireError::Closed) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let answer = match server.obey(order, fds.into_iter().next()) {
            Ok(()) => Answer::Done,
            Err(error) => Answer::Failed {
                message: error.to_string(),
            },
        };
        caisson_wire::send(control.as_fd(), &answer, &[])?;
    }
}
