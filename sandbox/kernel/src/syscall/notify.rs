//! inotify_add_watch(2): the object is found with the guest's rights, the watch is set on the guest's own
//! inotify descriptor.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use caisson_sys::path::set_cwd;
use rustix::fs::inotify::{WatchFlags, add_watch};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use crate::call::Call;
use crate::reply::Reply;

/// `ALL_INOTIFY_BITS`, linux/inotify.h in the kernel's sources.
const ALL_BITS: u32 = libc::IN_ALL_EVENTS
    | libc::IN_UNMOUNT
    | libc::IN_Q_OVERFLOW
    | libc::IN_IGNORED
    | libc::IN_ONLYDIR
    | libc::IN_DONT_FOLLOW
    | libc::IN_EXCL_UNLINK
    | libc::IN_MASK_CREATE
    | libc::IN_MASK_ADD
    | libc::IN_ISDIR
    | libc::IN_ONESHOT;

pub fn inotify_add_watch(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let mask = WatchFlags::from_bits_retain(call.uint(2));
    // In Linux's order: the mask, the descriptor, the path.
    if mask.bits() & ALL_BITS == 0 {
        return Err(Errno::INVAL);
    }
    let inotify = call.fd(call.int(0))?;
    if mask.contains(WatchFlags::MASK_ADD | WatchFlags::MASK_CREATE) {
        return Err(Errno::INVAL);
    }
    require_inotify(call, inotify.as_fd())?;
    let path = call.path(1)?;
    let mut how = OFlags::PATH | OFlags::CLOEXEC;
    how.set(OFlags::NOFOLLOW, mask.contains(WatchFlags::DONT_FOLLOW));
    how.set(OFlags::DIRECTORY, mask.contains(WatchFlags::ONLYDIR));
    let object: OwnedFd = call.on_path(libc::AT_FDCWD, &path, |at, path| {
        openat(at, path, how, Mode::empty())
    })?;
    // By the descriptor's own link, which leads to the very object; a final symlink was decided above.
    set_cwd(call.kernel.host_proc())?;
    let link = format!("thread-self/fd/{}", object.as_raw_fd());
    add_watch(
        &inotify,
        link,
        mask - WatchFlags::DONT_FOLLOW - WatchFlags::ONLYDIR,
    )
    .map(|watch| Reply::Value(watch.into()))
}

/// `EINVAL` for a descriptor of another kind, which Linux finds before it looks at the path.
fn require_inotify(call: &Call<'_>, fd: BorrowedFd<'_>) -> Result<(), Errno> {
    if call.kernel.path_of(fd)? == b"anon_inode:inotify" {
        Ok(())
    } else {
        Err(Errno::INVAL)
    }
}
