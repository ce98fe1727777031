//! The container's mounts as /proc/PID/mountinfo lists them, proc_pid_mountinfo(5).

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::boot::unescape;

/// What a mount shows, which copies of it show as well: device and path on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Content {
    device: String,
    root: Vec<u8>,
}

/// A mount.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// The number that Linux gives to another mount once this one is gone, `STATX_MNT_ID`.
    pub id: u64,
    pub content: Content,
    /// As the reading thread's root has it.
    pub point: Vec<u8>,
    /// What is mounted below it, its peers get as well.
    pub shared: bool,
    pub is_fuse: bool,
}

impl Row {
    pub fn is_below(&self, directory: &[u8]) -> bool {
        let directory = if directory == b"/" { b"" } else { directory };
        let rest = self.point.strip_prefix(directory);
        rest.is_some_and(|rest| rest.starts_with(b"/") && rest.len() > 1)
    }
}

/// Of `process`, a directory of procfs.
pub fn rows(host_proc: BorrowedFd<'_>, process: &str) -> Result<Vec<Row>, Errno> {
    let text = crate::task::read_proc(host_proc, &format!("{process}/mountinfo"))?;
    Ok(text.lines().filter_map(row).collect())
}

fn row(line: &str) -> Option<Row> {
    let (fields, system) = line.split_once(" - ")?;
    let mut fields = fields.split(' ');
    Some(Row {
        id: fields.next()?.parse().ok()?,
        content: Content {
            device: fields.nth(1)?.to_owned(),
            root: unescape(fields.next()?),
        },
        point: unescape(fields.next()?),
        shared: fields.any(|field| field.starts_with("shared:")),
        is_fuse: system.starts_with("fuse"),
    })
}

#[cfg(test)]
mod tests {
    use super::row;

    #[test]
    fn rows_are_read() {
        let read = |tags: &str| {
            row(&format!(
                "30 1 0:40 / /a\\040b rw,relatime {tags}- overlay overlay rw"
            ))
            .unwrap()
        };
        let plain = read("");
        assert_eq!(plain.content.device, "0:40");
        assert_eq!((plain.id, plain.point.as_slice()), (30, &b"/a b"[..]));
        assert!(!plain.shared && !plain.is_fuse);
        assert!(read("shared:5 ").shared && read("shared:5 master:3 ").shared);
        assert!(!read("master:3 ").shared);
        assert!(
            row("31 30 0:41 / /proc rw - fuse.caisson proc rw")
                .unwrap()
                .is_fuse
        );
        assert_eq!(row("nonsense"), None);
    }

    #[test]
    fn below_is_not_beside() {
        let mount = row("31 30 0:41 / /proc/kcore rw - tmpfs tmpfs rw").unwrap();
        assert!(mount.is_below(b"/proc") && mount.is_below(b"/"));
        assert!(!mount.is_below(b"/proc/kcore") && !mount.is_below(b"/pro"));
    }
}
