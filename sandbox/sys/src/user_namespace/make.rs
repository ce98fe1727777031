//! Making a user namespace: a child is born into one, which lives on behind a descriptor.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;

use super::{Mapping, map_text};
use crate::descriptor::{pidfd_open, pidfd_send_signal};
use crate::raw::syscall;

/// A new user namespace with these mappings. Needs CAP_SETUID, CAP_SETGID and a procfs of this pid namespace at /proc.
pub fn with_mappings(uids: &[Mapping], gids: &[Mapping]) -> Result<OwnedFd, Errno> {
    mapped_by(|pid| {
        write(pid, "uid_map", &map_text(uids))?;
        write(pid, "gid_map", &map_text(gids))
    })?
}

/// A new user namespace whose mappings are written by `map`, which is given the pid of a process in it.
pub fn mapped_by<E>(map: impl FnOnce(i32) -> Result<(), E>) -> Result<Result<OwnedFd, E>, Errno> {
    let flags = (libc::CLONE_NEWUSER | libc::SIGCHLD) as u64;
    // SAFETY: without CLONE_VM this is fork(2). The child only waits for its end by raw calls.
    let pid = unsafe { syscall!(libc::SYS_clone, flags, 0, 0, 0, 0) }? as i32;
    if pid == 0 {
        // SAFETY: takes integers: were the parent to end now, so would the child.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
        loop {
            // SAFETY: takes nothing.
            unsafe { libc::pause() };
        }
    }
    let mapped = map(pid);
    let opened = std::fs::File::open(format!("/proc/{pid}/ns/user"));
    let killed = pidfd_open(pid).and_then(|pidfd| pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL));
    if killed.is_ok() {
        match crate::guest::wait(pid) {
            // A caller that waits for any child was first.
            Err(Errno::CHILD) => {}
            ended => drop(ended?),
        }
    }
    let namespace = OwnedFd::from(opened.map_err(errno)?);
    Ok(mapped.map(|()| namespace))
}

/// Write a file of /proc/PID that describes its user namespace.
fn write(pid: i32, file: &str, text: &str) -> Result<(), Errno> {
    std::fs::write(format!("/proc/{pid}/{file}"), text).map_err(errno)
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_outlives_its_maker_and_bad_maps_are_refused() {
        let map = [Mapping {
            inside: 0,
            outside: 1000,
            count: 10,
        }];
        assert_eq!(map_text(&map), "0 1000 10\n");
        with_mappings(&map, &map).expect("made");
        let overlap = [map[0], map[0]];
        assert_eq!(
            with_mappings(&overlap, &map).expect_err("overlap"),
            Errno::INVAL
        );
    }
}
