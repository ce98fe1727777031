//! Freeing a sandbox process that was killed while it asked itself for a file of its own /proc.
//!
//! Such a thread waits, deaf to SIGKILL, for an answer from threads that are dead already, and keeps /dev/fuse
//! open by waiting. Only aborting the connection, through the fusectl file system, ends that.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// Abort every FUSE connection that process `pid` has mounted. Only for processes that were sent SIGKILL.
pub(super) fn abort_connections(pid: i32) {
    let connections = connections_of(pid);
    if connections.is_empty() {
        return;
    }
    // Where an ordinary user's connections are its own, too, though it cannot mount the file system.
    let usual = || {
        rustix::fs::open(
            "/sys/fs/fuse/connections",
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
        )
    };
    let Ok(control) = control().or_else(|_| usual()) else {
        return;
    };
    for connection in connections {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        // One that is gone needs no abort.
        if let Ok(file) = openat(
            &control,
            format!("{connection}/abort"),
            flags,
            Mode::empty(),
        ) {
            rustix::io::write(&file, b"1").ok();
        }
    }
}

/// Numbers of the connections: the minor numbers of the mounts' devices.
fn connections_of(pid: i32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    text.lines().filter_map(connection).collect()
}

fn connection(line: &str) -> Option<u32> {
    let (mount, fs) = line.split_once(" - ")?;
    let kind = fs.split(' ').next()?;
    if kind != "fuse" && !kind.starts_with("fuse.") {
        return None;
    }
    mount.split(' ').nth(2)?.strip_prefix("0:")?.parse().ok()
}

/// The fusectl file system, mounted nowhere: the host may not have it at its usual place.
fn control() -> Result<OwnedFd, Errno> {
    let context = fsopen(c"fusectl", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fuse_mounts_are_connections() {
        assert_eq!(
            connection("40 38 0:57 / /proc rw,nosuid - fuse.proc proc rw,user_id=0"),
            Some(57)
        );
        assert_eq!(
            connection("40 38 0:57 / /proc rw,nosuid - fusectl none rw"),
            None
        );
        assert_eq!(
            connection("40 38 0:57 / /proc rw,nosuid - proc proc rw"),
            None
        );
        assert_eq!(connection("40 38 8:1 / /m rw - fuse x rw"), None);
    }

    #[test]
    fn the_control_file_system_can_be_had() {
        control().expect("fusectl");
    }
}
