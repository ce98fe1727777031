//! The console socket, through which the runtime hands over the master side of a terminal.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::error::ShimError;
use crate::runtime::RuntimeError;

/// Longest socket path that fits into sockaddr_un with its final zero byte.
const MAX_PATH_BYTES: usize = 107;
/// The runtime sends the terminal before it exits, so this is never waited in full.
const PATIENCE_SECONDS: i64 = 5;

pub(crate) struct ConsoleSocket {
    listener: UnixListener,
    /// In the bundle, so that nothing outlives it.
    file: PathBuf,
    /// What the runtime is told: the file, or a shorter way to it.
    path: PathBuf,
    /// Keeps the shorter way open.
    _bundle: File,
}

impl ConsoleSocket {
    pub(crate) fn bind(bundle: &Path, name: &str) -> Result<ConsoleSocket, ShimError> {
        let file = bundle.join(name);
        let failed = |source| ShimError::Io {
            action: "bind",
            path: file.clone(),
            source,
        };
        let folder = File::open(bundle).map_err(failed)?;
        let path = if file.as_os_str().len() <= MAX_PATH_BYTES {
            file.clone()
        } else {
            PathBuf::from(format!(
                "/proc/{}/fd/{}/{name}",
                std::process::id(),
                folder.as_raw_fd()
            ))
        };
        let listener = UnixListener::bind(&path).map_err(failed)?;
        Ok(ConsoleSocket {
            listener,
            file,
            path,
            _bundle: folder,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Take the terminal that the runtime has sent.
    pub(crate) fn receive(&self) -> Result<OwnedFd, RuntimeError> {
        self.receive_fd().map_err(RuntimeError::Console)
    }

    fn receive_fd(&self) -> io::Result<OwnedFd> {
        wait_readable(&self.listener)?;
        let (stream, _) = self.listener.accept()?;
        wait_readable(&stream)?;
        receive_from(&stream)
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        let _with_the_bundle = std::fs::remove_file(&self.file);
    }
}

fn wait_readable(fd: &impl std::os::fd::AsFd) -> io::Result<()> {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    match poll(
        &mut fds,
        Some(&Timespec {
            tv_sec: PATIENCE_SECONDS,
            tv_nsec: 0,
        }),
    )? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

fn receive_from(stream: &UnixStream) -> io::Result<OwnedFd> {
    // The message names the terminal; runc allows 4096 bytes for it.
    let mut name = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut name)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let fd = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    fd.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the runtime sent no descriptor"))
}
