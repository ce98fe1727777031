//! Terminals from the container's own devpts.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Gid, Mode, OFlags, Uid, openat};
use rustix::io::Errno;
use rustix::pty::{ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::ConsoleSize;
use crate::kernel::Kernel;

pub struct Console {
    pub master: OwnedFd,
    pub slave: OwnedFd,
    /// Path of the slave inside the container.
    pub path: Vec<u8>,
}

/// A new terminal that belongs to `uid`. Runs as the app kernel itself.
pub fn open(kernel: &Kernel, size: ConsoleSize, uid: u32) -> Result<Console, Errno> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let master = openat(kernel.root.as_fd(), c"dev/pts/ptmx", flags, Mode::empty())?;
    unlockpt(&master)?;
    // The name is "/dev/pts/N": only its number matters, the directory is the container's.
    let path = ptsname(&master, Vec::new())?.into_bytes();
    let slave = openat(kernel.root.as_fd(), path.as_slice(), flags, Mode::empty())?;
    rustix::fs::fchown(&slave, Some(Uid::from_raw(uid)), None::<Gid>)?;
    if size.rows != 0 || size.columns != 0 {
        let size = Winsize {
            ws_row: size.rows,
            ws_col: size.columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&master, size)?;
    }
    Ok(Console {
        master,
        slave,
        path,
    })
}

/// Bind the terminal over the container's /dev/console.
pub fn mount_as_dev_console(kernel: &Kernel, console: &Console) -> Result<(), Errno> {
    let flags = OFlags::CREATE
        | OFlags::RDWR
        | OFlags::CLOEXEC
        | OFlags::NOFOLLOW
        | OFlags::NOCTTY
        | OFlags::NONBLOCK;
    match openat(
        kernel.root.as_fd(),
        c"dev/console",
        flags,
        Mode::from_raw_mode(0o666),
    ) {
        Ok(_) | Err(Errno::NXIO) => {}
        // A container without a /dev of its own has no console.
        Err(Errno::ROFS | Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error),
    }
    rustix::mount::mount_bind(console.path.as_slice(), c"/dev/console")
}
