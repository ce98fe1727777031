//! Freeing a sandbox process that was killed while it asked itself for a file of its own /proc.
//!
//! Such a thread waits, deaf to SIGKILL, for an answer from threads that are dead already, and keeps /dev/fuse
//! open by waiting. Only aborting the connection, through the fusectl file system, ends that.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// Abort every connection of a /proc or /sys that process `pid` serves or is a guest of. Only for processes that were
/// sent SIGKILL.
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

/// Numbers of the connections: the minor numbers of the mounts' devices. Asked of every thread, because those that have
/// ended, as the first one has most likely, are in no mount namespace any more.
fn connections_of(pid: i32) -> BTreeSet<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    let tables = threads
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("mountinfo")).ok());
    tables
        .flat_map(|table| table.lines().filter_map(connection).collect::<Vec<_>>())
        .collect()
}

fn connection(line: &str) -> Option<u32> {
    let (mount, fs) = line.split_once(" - ")?;
    let kind = fs.split(' ').next()?;
    // Others belong to the host: a container can have a part of one bound into its tree.
    if !matches!(kind, "fuse.proc" | "fuse.sysfs") {
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
    fn only_what_the_app_kernel_serves_is_a_connection() {
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
        assert_eq!(
            connection("40 38 0:58 / /data rw - fuse.sshfs host:/data rw"),
            None
        );
        assert_eq!(connection("40 38 8:1 / /m rw - fuse.proc proc rw"), None);
    }

    #[test]
    fn the_control_file_system_can_be_had() {
        control().expect("fusectl");
    }
}
