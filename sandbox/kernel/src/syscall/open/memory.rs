//! /proc/PID/mem and pagemap: the host's own files, opened in the guests' procfs once the server of /proc has let the caller
//! pass. pagemap has no addresses of the host's memory, as for whoever lacks CAP_SYS_ADMIN.
//!
//! As on Linux the descriptor is bound to the memory that the process had when it was opened, and gives nothing of a
//! program executed later. It must never be opened anew by a link of /proc, which would ask nobody (`walk.rs`).

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use crate::call::Call;
use crate::proc::{MemoryFile, MemoryNode};
use crate::task::Capability;

/// What of the caller's flags matters to the file.
const FLAGS: OFlags = OFlags::from_bits_retain(
    (libc::O_ACCMODE | libc::O_APPEND | libc::O_NONBLOCK | libc::O_SYNC | libc::O_DSYNC) as u32,
);

/// `EACCES` if the process is one that the caller may not trace: asked again for what it is once the file is open.
pub(super) fn open(call: &mut Call<'_>, node: MemoryNode, flags: OFlags) -> Result<OwnedFd, Errno> {
    call.servant.assume_self()?;
    let name = match node.file {
        MemoryFile::Mem => "mem",
        MemoryFile::Pagemap => {
            // The host asks who opens it, not who reads it.
            call.servant.lay_aside(Capability::SysAdmin)?;
            "pagemap"
        }
    };
    let proc = call.kernel.guest_proc.get().ok_or(Errno::NOENT)?;
    let path = match node.tid {
        0 => format!("{}/{name}", node.pid),
        tid => format!("{}/task/{tid}/{name}", node.pid),
    };
    let process = call
        .kernel
        .process_by_guest_pid(node.pid)
        .ok_or(Errno::NOENT)?;
    let file = openat(
        proc.as_fd(),
        path,
        (flags & FLAGS) | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    if process.has_ended() {
        return Err(Errno::NOENT);
    }
    crate::syscall::foreign::may_attach(call, &process).map_err(|_| Errno::ACCESS)?;
    Ok(file)
}
