//! User namespaces that exist only to carry id mappings, for idmapped mounts.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;

use crate::descriptor::{pidfd_open, pidfd_send_signal};
use crate::raw::syscall;

/// One line of uid_map or gid_map, user_namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub inside: u32,
    pub outside: u32,
    pub count: u32,
}

/// The text of a map file.
pub fn map_text(mappings: &[Mapping]) -> String {
    mappings
        .iter()
        .map(|line| format!("{} {} {}\n", line.inside, line.outside, line.count))
        .collect()
}

/// A new user namespace with these mappings. Needs CAP_SYS_ADMIN and the host's procfs at /proc.
pub fn with_mappings(uids: &[Mapping], gids: &[Mapping]) -> Result<OwnedFd, Errno> {
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
    let made = fill(pid, uids, gids);
    let killed = pidfd_open(pid).and_then(|pidfd| pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL));
    if killed.is_ok() {
        crate::guest::wait(pid)?;
    }
    made
}

fn fill(pid: i32, uids: &[Mapping], gids: &[Mapping]) -> Result<OwnedFd, Errno> {
    let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    for (file, mappings) in [("uid_map", uids), ("gid_map", gids)] {
        std::fs::write(format!("/proc/{pid}/{file}"), map_text(mappings)).map_err(errno)?;
    }
    let file = std::fs::File::open(format!("/proc/{pid}/ns/user")).map_err(errno)?;
    Ok(file.into())
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
