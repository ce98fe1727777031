//! Ports of guests' netlink sockets. As on Linux a socket has none before it is bound, connects or sends, so that
//! the first that does has its process's pid, whatever others were made before it.

use std::collections::HashMap;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{End, Family};

/// Beyond the ports that Linux chooses for the second socket of a process: numbers that no process has.
const BEHIND_CHOSEN: u32 = u32::MAX - 4095;

/// Give an end a port, if it has none.
pub(super) fn choose(ends: &mut HashMap<i32, End>, number: i32) -> Result<(), Errno> {
    let end = ends.get(&number).ok_or(Errno::NOTCONN)?;
    if end.port.is_some() {
        return Ok(());
    }
    let mut port = end.pid;
    let mut behind = BEHIND_CHOSEN;
    while taken(ends, end.family, port) {
        behind -= 1;
        port = behind;
    }
    set(ends, number, port)
}

/// bind(2) with a port of the guest's choice, or 0 for any. `EINVAL` when it has another, `EADDRINUSE`.
pub(super) fn bind(ends: &mut HashMap<i32, End>, number: i32, port: u32) -> Result<(), Errno> {
    let end = ends.get(&number).ok_or(Errno::NOTCONN)?;
    match end.port {
        Some(own) if own == port => Ok(()),
        Some(_) => Err(Errno::INVAL),
        None if port == 0 => choose(ends, number),
        None if taken(ends, end.family, port) => Err(Errno::ADDRINUSE),
        None => set(ends, number, port),
    }
}

fn set(ends: &mut HashMap<i32, End>, number: i32, port: u32) -> Result<(), Errno> {
    ends.get_mut(&number).ok_or(Errno::NOTCONN)?.port = Some(port);
    Ok(())
}

fn taken(ends: &HashMap<i32, End>, family: Family, port: u32) -> bool {
    ends.values()
        .any(|end| end.family == family && end.port == Some(port) && !is_closed(end))
}

/// Whether the guest has closed its side, which the thread may not have come to yet.
fn is_closed(end: &End) -> bool {
    let mut fds = [PollFd::new(&end.fd, PollFlags::empty())];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&at_once)).is_ok() && fds[0].revents().contains(PollFlags::HUP)
}
