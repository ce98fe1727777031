//! Opening what containerd names as stdio: a fifo, a file, or `file://` and a path.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, open, stat};
use rustix::io::Errno;

use crate::error::ShimError;

fn opened(path: &str, flags: OFlags) -> Result<OwnedFd, ShimError> {
    let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    open(path, flags, Mode::from_raw_mode(0o644))
        .map_err(|error: Errno| ShimError::io("open stdio", path)(error.into()))
}

fn is_fifo(mode: u32) -> bool {
    FileType::from_raw_mode(mode) == FileType::Fifo
}

/// Where a process's output goes.
pub(crate) fn open_output(uri: &str) -> Result<OwnedFd, ShimError> {
    let path = match uri.split_once("://") {
        None | Some(("fifo", _)) => uri.strip_prefix("fifo://").unwrap_or(uri),
        Some(("file", path)) => {
            let folder = Path::new(path).parent().unwrap_or(Path::new("/"));
            fs::create_dir_all(folder).map_err(ShimError::io("create", folder))?;
            return opened(path, OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE);
        }
        Some(_) => {
            return Err(ShimError::Unsupported {
                field: "stdio",
                value: uri.to_owned(),
            });
        }
    };
    match stat(path) {
        // Open for reading as well: writing must neither fail nor kill while containerd, the reader,
        // is away, and opening must not wait for it.
        Ok(found) if is_fifo(found.st_mode) => opened(path, OFlags::RDWR),
        Ok(_) => opened(path, OFlags::WRONLY | OFlags::APPEND),
        Err(error) => Err(ShimError::io("open stdio", path)(error.into())),
    }
}

/// Where a process's input comes from; and for a fifo a writing end, without which the input would
/// end as soon as the client that writes goes away.
pub(crate) fn open_input(path: &str) -> Result<(OwnedFd, Option<OwnedFd>), ShimError> {
    let path = path.strip_prefix("fifo://").unwrap_or(path);
    let source = opened(path, OFlags::RDONLY)?;
    let found =
        fstat(&source).map_err(|error| ShimError::io("look at stdio", path)(error.into()))?;
    let hold = if is_fifo(found.st_mode) {
        Some(opened(path, OFlags::WRONLY)?)
    } else {
        None
    };
    Ok((source, hold))
}
