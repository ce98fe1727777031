//! pivot_root(2), in a mount namespace that a guest made.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;

use caisson_sys::path::set_cwd;
use rustix::fs::{OFlags, fstat};
use rustix::io::Errno;

use super::open_path;
use crate::call::Call;
use crate::mounts::{self, Made, Namespace};
use crate::reply::Reply;
use crate::task::{Directory, lock};

/// The host kernel judges how the two directories lie to each other. What is refused before it is asked is to make a mount
/// of the container's the root, which would move it.
pub(super) fn here(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let [new, put_old] = [call.path(0)?, call.path(1)?];
    let new = open_path(call, &new, OFlags::DIRECTORY)?;
    let put_old = open_path(call, &put_old, OFlags::DIRECTORY)?;
    let namespace = call.process().with_fs(|fs| fs.mounts.clone());
    let namespace = namespace.ok_or(Errno::PERM)?;
    let mounted = mounts::of(new.as_fd())?;
    if !mounted.is_root || call.kernel.mounts().made(mounted.id).is_none() {
        return Err(Errno::INVAL);
    }
    let old = call.process().root();
    let locked = call.kernel.mounts().locked(old.as_fd())?;
    call.servant.assume_self()?;
    call.servant.stand_in(&old)?;
    set_cwd(call.kernel.host_proc())?;
    let link = |fd: BorrowedFd<'_>| format!("thread-self/fd/{}", fd.as_raw_fd());
    rustix::process::pivot_root(link(new.as_fd()), link(put_old.as_fd()))?;
    // It is no longer what the container stands on, and goes as a whole.
    let made = Made { locked, own: false };
    call.kernel
        .mounts()
        .remember(old.as_fd(), made, namespace.number)?;
    let new = Directory::new(new);
    move_processes(call, &namespace, &old, &new)?;
    namespace.set_root(new.clone());
    call.servant.stand_in(&new)?;
    Ok(Reply::ZERO)
}

/// Whoever in the namespace has the old root as its root or working directory has the new one instead.
fn move_processes(
    call: &Call<'_>,
    namespace: &Arc<Namespace>,
    old: &Arc<Directory>,
    new: &Arc<Directory>,
) -> Result<(), Errno> {
    call.kernel.discover_everyone();
    let old_place = place(old.as_fd())?;
    let is_old = |directory: &Arc<Directory>| {
        Arc::ptr_eq(directory, old)
            || place(directory.as_fd()).is_ok_and(|place| place == old_place)
    };
    for process in call.kernel.table.processes() {
        let fs = process.fs();
        let mut fs = lock(&fs);
        let inside = fs
            .mounts
            .as_ref()
            .is_some_and(|other| Arc::ptr_eq(other, namespace));
        if inside && is_old(&fs.root) {
            fs.root = new.clone();
        }
        if inside && is_old(&fs.cwd) {
            fs.cwd = new.clone();
        }
    }
    Ok(())
}

/// Mount, device and inode.
fn place(directory: BorrowedFd<'_>) -> Result<(u64, u64, u64), Errno> {
    let stat = fstat(directory)?;
    Ok((mounts::of(directory)?.id, stat.st_dev, stat.st_ino))
}
