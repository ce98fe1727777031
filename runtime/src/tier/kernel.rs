//! Tier kernel, seen from the commands: spawns `caisson-kernel` and talks to it.
//!
//! The sandbox process itself is in [`birth`]; the two sides speak [`message`] over the boot socket, then
//! `caisson_wire` over the control socket.

pub mod birth;
mod devices;
mod edges;
mod exec;
mod fuse;
mod message;
mod subscriber;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use caisson_wire::{BootReply, Request, Response, Shortfall};
use rustix::io::FdFlags;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::{Blueprint, ConsoleSize, Exec, Newborn, OnMounted, Running, Tier};
use crate::RuntimeError;
use crate::fault;
use crate::process::ProcessId;
use crate::state::Entry;
use message::{Description, Down, Up};

/// First argument of the sandbox process, and its name in `ps`.
pub const PROCESS_NAME: &str = "caisson-kernel";

#[derive(Clone, Copy, Debug)]
pub struct KernelTier;

/// The sandbox process until it is committed: closing the socket without a word ends it.
#[derive(Debug)]
pub struct LifeLine {
    socket: OwnedFd,
    /// Taken by the commit.
    child: Option<Child>,
}

impl Newborn {
    /// From now on the sandbox outlives the calling process.
    pub fn commit(self) -> Result<Committed, RuntimeError> {
        let mut line = self.life_line;
        rustix::io::write(&line.socket, b"c").map_err(RuntimeError::step("commit the sandbox"))?;
        // Were we to end before it has disarmed its death signal, it would end with us.
        match rustix::io::read(&line.socket, &mut [0u8; 1]) {
            Ok(1) => {}
            Ok(_) => return Err(RuntimeError::SandboxDied),
            Err(errno) => return Err(RuntimeError::step("commit the sandbox")(errno)),
        }
        let child = line.child.take().ok_or(RuntimeError::SandboxDied)?;
        Ok(Committed {
            child,
            console: self.console,
        })
    }
}

/// A committed sandbox as a child of this process.
#[derive(Debug)]
pub struct Committed {
    pub child: Child,
    pub console: Option<OwnedFd>,
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

impl Tier for KernelTier {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn create(
        &self,
        blueprint: &Blueprint<'_>,
        on_mounted: OnMounted<'_>,
    ) -> Result<Newborn, RuntimeError> {
        let control = listen(blueprint.entry)?;
        let (boot, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(RuntimeError::step("socketpair"))?;
        let (life_end, line) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(RuntimeError::step("socketpair"))?;
        let child = spawn(blueprint.entry.id(), &theirs)?;
        drop(theirs);
        let pid = child.id() as i32;
        let line = LifeLine {
            socket: line,
            child: Some(child),
        };
        fault::point("create.spawned");
        let sandbox = ProcessId::of(pid).ok_or(RuntimeError::SandboxDied)?;
        let description = Description::new(blueprint);
        let mut fds = vec![control.as_fd(), life_end.as_fd()];
        fds.extend(blueprint.strace.iter().map(|(file, _)| file.as_fd()));
        fds.extend(blueprint.log.iter().map(|(file, _)| file.as_fd()));
        let sent = caisson_wire::send(boot.as_fd(), &Down::Build(Box::new(description)), &fds);
        drop(fds);
        // A sandbox that died before it read says why in `receive`.
        drop((control, life_end));
        if sent.is_ok() && self.wait_mounted(&boot)? {
            on_mounted(sandbox)?;
            caisson_wire::send(boot.as_fd(), &Down::GoOn, &[])?;
        }
        let (init_pid, console) = wait_created(&boot)?;
        let init = ProcessId::of(init_pid).ok_or(RuntimeError::SandboxDied)?;
        Ok(Newborn {
            sandbox,
            init,
            console,
            life_line: line,
        })
    }

    fn start(&self, entry: &Entry) -> Result<(), RuntimeError> {
        ask(entry, &Request::Start, &[]).map(drop)
    }

    fn exec(&self, exec: &Exec<'_>) -> Result<Running, RuntimeError> {
        exec::exec(exec)
    }

    fn shortfalls(&self, entry: &Entry) -> Result<Vec<Shortfall>, RuntimeError> {
        match converse(entry, &Request::Shortfalls, &[])? {
            (Response::Shortfalls(list), _) => Ok(list),
            _ => Err(RuntimeError::Sandbox {
                message: "unexpected answer to a request for refused calls".into(),
            }),
        }
    }

    fn unblock(&self, pid: i32) {
        fuse::abort_connections(pid);
    }
}

impl KernelTier {
    /// `true` once the mounts stand and the sandbox waits to go on.
    fn wait_mounted(self, boot: &OwnedFd) -> Result<bool, RuntimeError> {
        match receive(boot)? {
            (Up::Mounted, _) => Ok(true),
            (Up::Boot(BootReply::Failed { message }), _) => Err(RuntimeError::Sandbox { message }),
            (Up::Boot(BootReply::Created { .. }), _) => Err(RuntimeError::SandboxDied),
        }
    }
}

fn wait_created(boot: &OwnedFd) -> Result<(i32, Option<OwnedFd>), RuntimeError> {
    match receive(boot)? {
        (Up::Boot(BootReply::Created { init_pid }), mut fds) => Ok((init_pid, fds.pop())),
        (Up::Boot(BootReply::Failed { message }), _) => Err(RuntimeError::Sandbox { message }),
        (Up::Mounted, _) => Err(RuntimeError::SandboxDied),
    }
}

fn receive(boot: &OwnedFd) -> Result<(Up, Vec<OwnedFd>), RuntimeError> {
    caisson_wire::receive(boot.as_fd()).map_err(|error| match error {
        caisson_wire::WireError::Closed => RuntimeError::SandboxDied,
        other => other.into(),
    })
}

/// The control socket of a new container. Its path is given relative to a descriptor: socket addresses
/// are limited to 108 bytes, state folders are not.
fn listen(entry: &Entry) -> Result<OwnedFd, RuntimeError> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(RuntimeError::step("socket"))?;
    let path = entry.control_socket();
    let folder = entry.open()?;
    let address = address(&folder).map_err(RuntimeError::file(&path, "bind"))?;
    rustix::net::bind(&socket, &address).map_err(RuntimeError::file(&path, "bind"))?;
    rustix::fs::chmod(&path, rustix::fs::Mode::from_raw_mode(0o600))
        .map_err(RuntimeError::file(&path, "chmod"))?;
    rustix::net::listen(&socket, 16).map_err(RuntimeError::file(&path, "listen"))?;
    Ok(socket)
}

fn address(folder: &OwnedFd) -> rustix::io::Result<SocketAddrUnix> {
    SocketAddrUnix::new(format!("/proc/self/fd/{}/control.sock", folder.as_raw_fd()))
}

/// One request to a running app kernel. The descriptors that come with the answer are returned.
fn ask(
    entry: &Entry,
    request: &Request,
    fds: &[BorrowedFd<'_>],
) -> Result<Vec<OwnedFd>, RuntimeError> {
    match converse(entry, request, fds)? {
        (Response::Done, fds) => Ok(fds),
        (Response::Failed { message, .. }, _) => Err(RuntimeError::Sandbox { message }),
        (Response::Filter(_) | Response::Shortfalls(_), _) => Err(RuntimeError::Sandbox {
            message: "unexpected answer".into(),
        }),
    }
}

/// One connection: a request and its answer, whatever that is.
fn converse(
    entry: &Entry,
    request: &Request,
    fds: &[BorrowedFd<'_>],
) -> Result<(Response, Vec<OwnedFd>), RuntimeError> {
    let path = entry.control_socket();
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(RuntimeError::step("socket"))?;
    let folder = entry.open()?;
    let address = address(&folder).map_err(RuntimeError::file(&path, "connect"))?;
    rustix::net::connect(&socket, &address).map_err(RuntimeError::file(&path, "connect"))?;
    caisson_wire::send(socket.as_fd(), request, fds)?;
    Ok(caisson_wire::receive::<Response>(socket.as_fd())?)
}

/// Execute this binary again as the sandbox process. It has our standard input, output and error.
fn spawn(id: &str, boot: &OwnedFd) -> Result<Child, RuntimeError> {
    rustix::io::fcntl_setfd(boot, FdFlags::empty()).map_err(RuntimeError::step("fcntl"))?;
    Command::new("/proc/self/exe")
        .arg0(PROCESS_NAME)
        .arg(id)
        .arg(boot.as_raw_fd().to_string())
        .arg(std::process::id().to_string())
        .env_clear()
        .envs(fault::inherited())
        .spawn()
        .map_err(RuntimeError::step("execute caisson-kernel"))
}

impl From<ConsoleSize> for caisson_kernel::ConsoleSize {
    fn from(size: ConsoleSize) -> caisson_kernel::ConsoleSize {
        caisson_kernel::ConsoleSize {
            rows: size.rows,
            columns: size.columns,
        }
    }
}
