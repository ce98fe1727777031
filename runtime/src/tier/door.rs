//! The control socket of a sandbox process, and how the process is executed.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use caisson_wire::{ProcessSpec, Request, Response};
use rustix::io::FdFlags;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::RuntimeError;
use crate::fault;
use crate::state::Entry;

/// The control socket of a new container. Its path is given relative to a descriptor: socket addresses
/// are limited to 108 bytes, state folders are not.
pub(super) fn listen(entry: &Entry) -> Result<OwnedFd, RuntimeError> {
    let socket = socket()?;
    let path = entry.control_socket();
    let folder = entry.open()?;
    let address = address(&folder).map_err(RuntimeError::file(&path, "bind"))?;
    rustix::net::bind(&socket, &address).map_err(RuntimeError::file(&path, "bind"))?;
    rustix::fs::chmod(&path, rustix::fs::Mode::from_raw_mode(0o600))
        .map_err(RuntimeError::file(&path, "chmod"))?;
    rustix::net::listen(&socket, 16).map_err(RuntimeError::file(&path, "listen"))?;
    Ok(socket)
}

fn socket() -> Result<OwnedFd, RuntimeError> {
    rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(RuntimeError::step("socket"))
}

/// Two ends of a conversation with a process of the sandbox that is about to be started.
pub(super) fn pair() -> Result<(OwnedFd, OwnedFd), RuntimeError> {
    rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(RuntimeError::step("socketpair"))
}

fn address(folder: &OwnedFd) -> rustix::io::Result<SocketAddrUnix> {
    SocketAddrUnix::new(format!("/proc/self/fd/{}/control.sock", folder.as_raw_fd()))
}

/// A connection to a running app kernel, for one request.
pub(super) struct Door(OwnedFd);

impl Door {
    pub(super) fn open(entry: &Entry) -> Result<Door, RuntimeError> {
        let path = entry.control_socket();
        let socket = socket()?;
        let folder = entry.open()?;
        let address = address(&folder).map_err(RuntimeError::file(&path, "connect"))?;
        rustix::net::connect(&socket, &address).map_err(RuntimeError::file(&path, "connect"))?;
        Ok(Door(socket))
    }

    /// The answer, whatever that is.
    fn converse(
        self,
        request: &Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(Response, Vec<OwnedFd>), RuntimeError> {
        caisson_wire::send(self.0.as_fd(), request, fds)?;
        Ok(caisson_wire::receive::<Response>(self.0.as_fd())?)
    }

    /// The descriptors that come with the answer are returned.
    pub(super) fn ask(
        self,
        request: &Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Vec<OwnedFd>, RuntimeError> {
        done(self.converse(request, fds)?)
    }
}

/// One request to a running app kernel. The descriptors that come with the answer are returned.
pub(super) fn ask(
    entry: &Entry,
    request: &Request,
    fds: &[BorrowedFd<'_>],
) -> Result<Vec<OwnedFd>, RuntimeError> {
    Door::open(entry)?.ask(request, fds)
}

fn done(answer: (Response, Vec<OwnedFd>)) -> Result<Vec<OwnedFd>, RuntimeError> {
    match answer {
        (Response::Done, fds) => Ok(fds),
        (Response::Failed { message, .. }, _) => Err(RuntimeError::Sandbox { message }),
        (Response::Filter(_) | Response::Shortfalls(_), _) => Err(RuntimeError::Sandbox {
            message: "unexpected answer".into(),
        }),
    }
}

/// One connection: a request and its answer, whatever that is.
pub(super) fn converse(
    entry: &Entry,
    request: &Request,
    fds: &[BorrowedFd<'_>],
) -> Result<(Response, Vec<OwnedFd>), RuntimeError> {
    Door::open(entry)?.converse(request, fds)
}

/// Execute this binary again as the process `name` of container `id`. It has our standard input, output and error,
/// unless others are given. `shown` is for whoever lists processes.
pub(super) fn spawn(
    name: &str,
    id: &str,
    boot: &OwnedFd,
    stdio: Option<[BorrowedFd<'_>; 3]>,
    shown: &[String],
) -> Result<Child, RuntimeError> {
    rustix::io::fcntl_setfd(boot, FdFlags::empty()).map_err(RuntimeError::step("fcntl"))?;
    let mut command = Command::new("/proc/self/exe");
    if let Some(files) = stdio {
        let own = |fd: BorrowedFd<'_>| {
            fd.try_clone_to_owned()
                .map_err(RuntimeError::step("duplicate a descriptor"))
        };
        command
            .stdin(own(files[0])?)
            .stdout(own(files[1])?)
            .stderr(own(files[2])?);
    }
    command
        .arg0(name)
        .arg(id)
        .arg(boot.as_raw_fd().to_string())
        .arg(std::process::id().to_string())
        .args(shown)
        .env_clear()
        .envs(fault::inherited())
        .spawn()
        .map_err(RuntimeError::step("execute the sandbox process"))
}

/// The null device for a sandbox process whose container has a terminal, `None` for any other. What runs a terminal's
/// container may read our output to its end, which must not be that of the sandbox.
pub(super) fn silence(process: &ProcessSpec) -> Result<Option<OwnedFd>, RuntimeError> {
    if !process.terminal {
        return Ok(None);
    }
    let null = std::path::Path::new("/dev/null");
    let opened = std::fs::File::options().read(true).write(true).open(null);
    Ok(Some(
        opened.map_err(RuntimeError::file(null, "open"))?.into(),
    ))
}
