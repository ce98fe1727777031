//! Flags of mounts that exist: what is not named stays as it is, so that a bind mount never has more
//! rights than its source.

use std::os::fd::AsFd;

use rustix::fs::StatVfsMountFlags;
use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::options::Flags;

/// Which mounts to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Only the mount itself.
    One,
    /// It and every mount below.
    Tree,
}

/// Change the flags of the mount whose root directory (or file) is `fd`.
pub fn change(
    fd: &(impl AsFd + std::os::fd::AsRawFd),
    flags: Flags,
    extent: Extent,
) -> Result<(), Errno> {
    if flags.is_empty() {
        return Ok(());
    }
    let path = super::by_descriptor(fd);
    remount(&path, flags)?;
    if extent == Extent::Tree {
        let top = std::fs::read_link(&path).map_err(|_| Errno::NOENT)?;
        for below in mounts_below(&top)? {
            remount(&below, flags)?;
        }
    }
    Ok(())
}

fn remount(path: &str, flags: Flags) -> Result<(), Errno> {
    let now = current(path)?;
    let atime = MountFlags::NOATIME | MountFlags::RELATIME | MountFlags::STRICTATIME;
    let mut wanted = (now - flags.clear) | flags.set;
    if flags.set.intersects(atime) {
        wanted = (wanted - atime) | (flags.set & atime);
    }
    if wanted == now {
        return Ok(());
    }
    rustix::mount::mount_remount(path, MountFlags::BIND | wanted, c"")
}

/// linux/statfs.h and linux/mount.h.
const ST_NOSYMFOLLOW: u64 = 0x2000;
const MS_NOSYMFOLLOW: u32 = 1 << 8;

fn current(path: &str) -> Result<MountFlags, Errno> {
    let vfs = rustix::fs::statvfs(path)?.f_flag;
    let pairs = [
        (StatVfsMountFlags::RDONLY, MountFlags::RDONLY),
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
        (
            StatVfsMountFlags::from_bits_retain(ST_NOSYMFOLLOW),
            MountFlags::from_bits_retain(MS_NOSYMFOLLOW),
        ),
    ];
    Ok(pairs
        .iter()
        .filter(|(have, _)| vfs.contains(*have))
        .fold(MountFlags::empty(), |set, (_, flag)| set | *flag))
}

/// Mount points strictly below `top`, from /proc/self/mountinfo.
fn mounts_below(top: &std::path::Path) -> Result<Vec<String>, Errno> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").map_err(|_| Errno::NOENT)?;
    let points = text
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescape);
    Ok(points
        .filter(|point| {
            std::path::Path::new(point) != top && std::path::Path::new(point).starts_with(top)
        })
        .collect())
}

/// Spaces, tabs, newlines and backslashes are octal in mountinfo, proc(5).
pub fn unescape(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = tail
            .get(..3)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|d| u8::from_str_radix(d, 8).ok());
        match (first, octal) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn octal_escapes_are_undone() {
        assert_eq!(unescape(r"/a\040b\134c"), "/a b\\c");
        assert_eq!(unescape(r"/a\04"), r"/a\04");
    }
}
