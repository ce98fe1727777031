//! What mounts from outside must not lend to a guest: devices, and the links of a real procfs.
//!
//! An image or a volume may hold any device node. The app kernel opens files as the host's root, and to open some
//! devices (a watchdog) is to use them, so the host kernel has to refuse before: by `nodev` on every mount but /dev,
//! where the runtime has put what the configuration allows.
//!
//! A procfs of the host that was bound into the container holds links to the host's root directory, which the app
//! kernel might follow where the guest could not.

use std::ffi::CString;
use std::os::fd::BorrowedFd;

use caisson_sys::mount_attributes::{Reach, allow_devices, forbid_devices, forbid_links};
use rustix::fs::FileType;
use rustix::io::Errno;

/// Must be called in the container's tree before the guest can name a path.
pub fn confine_mounts(host_proc: BorrowedFd<'_>) -> Result<(), Errno> {
    let mounts = mounts(host_proc)?;
    let has_own_dev = mounts.iter().any(|mount| mount.point.as_bytes() == b"/dev");
    if !has_own_dev && rustix::fs::stat(c"/dev").is_ok() {
        // The image's directory with the runtime's nodes in it: a mount of its own, so that it can differ.
        rustix::mount::mount_bind(c"/dev", c"/dev")?;
    }
    forbid_devices(c"/", Reach::Tree)?;
    if rustix::fs::stat(c"/dev").is_ok() {
        allow_devices(c"/dev")?;
    }
    for Mount { point, kind } in &mounts {
        if is_terminals(point) || is_device(point) {
            allow_devices(point)?;
        }
        if kind == "proc" {
            forbid_links(point)?;
        }
    }
    Ok(())
}

struct Mount {
    point: CString,
    /// Type of the file system; ours are `fuse.proc` and `fuse.sysfs`.
    kind: String,
}

fn is_terminals(point: &CString) -> bool {
    point.as_bytes() == b"/dev/pts"
}

/// A device that was bound from the host.
fn is_device(point: &CString) -> bool {
    rustix::fs::lstat(point.as_c_str()).is_ok_and(|stat| {
        let kind = FileType::from_raw_mode(stat.st_mode);
        kind.is_char_device() || kind.is_block_device()
    })
}

/// The mounts of this process below its root, proc_pid_mountinfo(5).
fn mounts(host_proc: BorrowedFd<'_>) -> Result<Vec<Mount>, Errno> {
    let text = crate::task::read_proc(host_proc, "self/mountinfo")?;
    let mount = |line: &str| {
        let point = CString::new(unescape(line.split(' ').nth(4)?)).ok()?;
        let kind = line.split_once(" - ")?.1.split(' ').next()?.to_owned();
        Some(Mount { point, kind })
    };
    Ok(text.lines().filter_map(mount).collect())
}

/// `\040` and its like stand for blanks and backslashes.
pub(crate) fn unescape(field: &str) -> Vec<u8> {
    let bytes = field.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'\\')
            .then(|| {
                field
                    .get(at + 1..at + 4)
                    .and_then(|digits| u8::from_str_radix(digits, 8).ok())
            })
            .flatten();
        plain.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 4 } else { 1 };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn octal_escapes_are_undone_and_nothing_else() {
        assert_eq!(unescape(r"/a\040b\134c"), b"/a b\\c");
        assert_eq!(unescape(r"/tail\04"), br"/tail\04");
        assert_eq!(unescape(r"/\999"), br"/\999");
    }
}
