//! `/proc/self/…` with the caller's number in place of the link: to ask the server of /proc for the link costs as much as a
//! file of another file system that is opened, and most of what programs open in /proc is named so.

use std::ffi::{CStr, CString};

use rustix::fs::stat;

use super::Call;
use crate::call::PATH_MAX;
use crate::servant::Identity;

const OWN: &[u8] = b"/proc/self/";

impl Call<'_> {
    /// `None` where the path has to stay as it is.
    pub(super) fn by_number(&mut self, identity: Identity, path: &CStr) -> Option<CString> {
        let path = numbered(path.to_bytes(), self.process().guest_pid)?;
        self.assume_as(identity).ok()?;
        // A guest may have something else there.
        let proc = stat(c"/proc").ok()?;
        let magic = self.kernel.synthetic_magic(proc.st_dev);
        (magic == Some(libc::PROC_SUPER_MAGIC) && proc.st_ino == crate::proc::ROOT_ID)
            .then_some(path)
    }
}

fn numbered(path: &[u8], pid: i32) -> Option<CString> {
    let rest = path.strip_prefix(OWN)?;
    let mut made = format!("/proc/{pid}/").into_bytes();
    made.extend_from_slice(rest);
    // One that is too long only now would fail.
    (made.len() < PATH_MAX)
        .then(|| CString::new(made).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_directory_is_named_by_number() {
        assert_eq!(
            numbered(b"/proc/self/fd/3", 17).as_deref(),
            Some(c"/proc/17/fd/3")
        );
        assert_eq!(numbered(b"/proc/self/", 17).as_deref(), Some(c"/proc/17/"));
        for other in ["/proc/self", "/proc/selfish/x", "/proc/1/fd", "proc/self/x"] {
            assert_eq!(numbered(other.as_bytes(), 17), None, "{other}");
        }
    }

    #[test]
    fn a_path_is_not_made_too_long() {
        let long = |length: usize| [OWN, &vec![b'x'; length - OWN.len()]].concat();
        let limit = PATH_MAX - 1;
        assert!(numbered(&long(limit), 17).is_some());
        assert!(numbered(&long(limit), 1_000_000).is_none());
    }
}
