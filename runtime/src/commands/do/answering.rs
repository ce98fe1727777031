//! Which mounts of the host answer: a FUSE or network file system whose server hangs makes everybody wait who looks at it,
//! and the sandbox, which looks at all of its tree, would never be there.
//!
//! A mount is asked by a process of its own. A thread that waits for such a server may not end even by SIGKILL, and would
//! keep its whole process.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::rootfs::attributes::unescape;

/// The process that asks, in `ps`.
pub const PROCESS_NAME: &str = "caisson-probe";
/// How long all of them may take together.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks at those that have not ended.
const LOOK: Duration = Duration::from_millis(5);
/// How the types of file systems begin whose files somebody else serves.
const SERVED: [&str; 7] = ["fuse", "nfs", "9p", "cifs", "smb3", "ceph", "afs"];

/// `caisson-probe POINT`: ends with success if what is mounted there answers.
pub fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(point) = arguments.next() else {
        return ExitCode::FAILURE;
    };
    match std::fs::symlink_metadata(Path::new(&point)).map_err(|error| error.raw_os_error()) {
        Err(Some(
            libc::ENOTCONN | libc::EIO | libc::ESTALE | libc::ETIMEDOUT | libc::EHOSTDOWN,
        )) => ExitCode::FAILURE,
        // That the caller may not look is an answer, too.
        _ => ExitCode::SUCCESS,
    }
}

/// Where the host has mounted something, outermost first as mountinfo has them, without the root.
pub(super) struct Mounts {
    points: Vec<Point>,
}

struct Point {
    path: PathBuf,
    served: bool,
}

impl Mounts {
    pub(super) fn parse(mountinfo: &str) -> Mounts {
        let parse = |line: &str| {
            let (mount, fs) = line.split_once(" - ")?;
            let kind = fs.split(' ').next()?;
            let path = PathBuf::from(unescape(mount.split(' ').nth(4)?));
            let served = SERVED.iter().any(|begin| kind.starts_with(begin));
            (path != Path::new("/")).then_some(Point { path, served })
        };
        Mounts {
            points: mountinfo.lines().filter_map(parse).collect(),
        }
    }

    /// Those below the folders that `wanted` says, and what is mounted in them, that do not answer.
    pub(super) fn silent(&self, wanted: impl Fn(&Path) -> bool) -> Vec<&Path> {
        let asked: Vec<(&Path, Option<Child>)> = self
            .points
            .iter()
            .filter(|point| point.served && wanted(&point.path))
            .map(|point| (point.path.as_path(), ask(&point.path)))
            .collect();
        let deadline = Instant::now() + PATIENCE;
        let silent = asked.into_iter().filter_map(|(path, child)| {
            // Where nobody can be sent to ask, the mount has the benefit of the doubt.
            (!answered(child?, deadline)).then_some(path)
        });
        silent.collect()
    }

    /// What is mounted strictly below `folder`, but for what is at or below one of `silent`.
    pub(super) fn below<'a>(&'a self, folder: &Path, silent: &[&Path]) -> Vec<&'a Path> {
        let paths = self.points.iter().map(|point| point.path.as_path());
        let mut below: Vec<&Path> = paths
            .filter(|path| *path != folder && path.starts_with(folder))
            .filter(|path| !silent.iter().any(|silent| path.starts_with(silent)))
            .collect();
        below.sort_unstable();
        below.dedup();
        below
    }
}

fn ask(point: &Path) -> Option<Child> {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(PROCESS_NAME)
        .arg(point)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().ok()
}

/// Whether `child` ended with success in time. One that waits for ever is left to whoever adopts it.
fn answered(mut child: Child, deadline: Instant) -> bool {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK),
            Ok(None) | Err(_) => {
                // It ends now or when its server does; to wait for it would be to hang as it does.
                child.kill().ok();
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
21 1 8:1 / / rw - ext4 /dev/sda1 rw
30 21 0:40 / /mnt/a\\040b rw - fuse.sshfs host: rw
31 21 0:41 / /mnt/disk rw - ext4 /dev/sdb1 rw
32 30 0:42 / /mnt/a\\040b/deep rw - tmpfs tmpfs rw
33 21 0:43 / /proc rw - proc proc rw";

    #[test]
    fn what_is_at_or_below_a_silent_mount_is_left_out() {
        let mounts = Mounts::parse(MOUNTINFO);
        let silent = [Path::new("/mnt/a b")];
        assert_eq!(
            mounts.below(Path::new("/mnt"), &silent),
            [Path::new("/mnt/disk")]
        );
        assert_eq!(mounts.below(Path::new("/mnt"), &[]).len(), 3);
        assert_eq!(mounts.below(Path::new("/mn"), &[]).len(), 0);
    }

    #[test]
    fn only_what_others_serve_is_asked() {
        let mounts = Mounts::parse(MOUNTINFO);
        let served = mounts.points.iter().filter(|point| point.served);
        let served: Vec<&Path> = served.map(|point| point.path.as_path()).collect();
        assert_eq!(served, [Path::new("/mnt/a b")]);
    }
}
