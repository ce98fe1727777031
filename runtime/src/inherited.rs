//! Descriptors that the caller of a command has left open for the container: `--preserve-fds`, and sd_listen_fds(3).
//!
//! Must never pass a directory on: walks of a guest that start there would leave the container's tree.

use std::os::fd::{AsFd, OwnedFd};

use caisson_sys::descriptor::{pidfd_getfd, pidfd_open};
use caisson_sys::guest::MAX_PRESERVED;
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use crate::RuntimeError;

/// First descriptor behind the standard streams.
const FIRST: u32 = 3;

const OPTION: &str = "--preserve-fds";

/// Sockets that an init system has handed to this process: `LISTEN_FDS` counts if `LISTEN_PID` is ours.
pub fn listening() -> u32 {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let ours = number("LISTEN_PID") == Some(std::process::id());
    number("LISTEN_FDS").filter(|_| ours).unwrap_or(0)
}

/// What the environment says of them, in the container.
pub fn listening_environment(count: u32) -> Vec<String> {
    if count == 0 {
        return Vec::new();
    }
    vec![format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()]
}

/// Duplicates of the descriptors 3 to 2 + `count` of this process.
pub fn take(count: u32) -> Result<Vec<OwnedFd>, RuntimeError> {
    let refused = |reason: String| RuntimeError::option(OPTION, count, reason);
    if count as usize > MAX_PRESERVED {
        return Err(refused(format!("more than {MAX_PRESERVED}")));
    }
    if count == 0 {
        return Ok(Vec::new());
    }
    let numbers = FIRST..FIRST + count;
    if let Some(number) = numbers.clone().find(|number| !is_inherited(*number)) {
        return Err(refused(format!("descriptor {number}: not open")));
    }
    let own = pidfd_open(std::process::id() as i32).map_err(RuntimeError::step("pidfd_open"))?;
    let one = |number: u32| {
        let fd = pidfd_getfd(own.as_fd(), number as i32)
            .map_err(|errno| refused(format!("descriptor {number}: {errno}")))?;
        match is_place(&fd) {
            Ok(false) => Ok(fd),
            Ok(true) => Err(refused(format!(
                "descriptor {number}: a directory, from which a container could leave its tree"
            ))),
            Err(errno) => Err(refused(format!("descriptor {number}: {errno}"))),
        }
    };
    numbers.map(one).collect()
}

/// Whether the descriptor came through exec: those of our own making close there.
fn is_inherited(number: u32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
    let mut flags = text.lines().filter_map(|line| line.strip_prefix("flags:"));
    let flags = flags
        .next()
        .and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & OFlags::CLOEXEC.bits() == 0)
}

/// Whether paths can be walked from it, or it names a file without having it open.
fn is_place(fd: &OwnedFd) -> Result<bool, Errno> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode);
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(kind == FileType::Directory || flags.contains(OFlags::PATH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_from_files() {
        let open = |path: &str, flags| {
            rustix::fs::open(path, flags, rustix::fs::Mode::empty()).expect("opens")
        };
        assert_eq!(is_place(&open("/", OFlags::RDONLY)), Ok(true));
        assert_eq!(is_place(&open("/dev/null", OFlags::PATH)), Ok(true));
        assert_eq!(is_place(&open("/dev/null", OFlags::RDWR)), Ok(false));
    }

    #[test]
    fn too_many_are_refused() {
        let error = take(100_000).expect_err("too many");
        assert!(error.to_string().contains("--preserve-fds"), "{error}");
    }
}
