//! pivot_root(2).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use caisson_sys::path::set_cwd;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::open_path;
use crate::call::Call;
use crate::mounts::{self, Made, Moved, Namespace, Successor, place, table};
use crate::reply::Reply;
use crate::task::{Directory, lock};

pub(super) fn pivot(call: &mut Call<'_>) -> Result<Reply, Errno> {
    if call.thread.with_fs(|fs| fs.mounts.is_none()) {
        let (new, put_old) = arguments(call)?;
        let root = call.thread.root();
        check(call, &root, new.as_fd(), put_old.as_fd())?;
        let kernel = call.kernel.clone();
        if let Some(successor) = Successor::of(call, kernel.mounts())? {
            successor.settle(call, (new, put_old), turn)?;
            return Ok(Reply::ZERO);
        }
    }
    mounts::within(call, in_a_guests)
}

fn arguments(call: &mut Call<'_>) -> Result<(OwnedFd, OwnedFd), Errno> {
    let [new, put_old] = [call.path(0)?, call.path(1)?];
    let new = open_path(call, &new, OFlags::DIRECTORY)?;
    let put_old = open_path(call, &put_old, OFlags::DIRECTORY)?;
    Ok((new, put_old))
}

/// In a namespace that a guest made, or that stands for the container's own.
fn in_a_guests(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let (new, put_old) = arguments(call)?;
    let namespace = call.thread.with_fs(|fs| fs.mounts.clone());
    let namespace = namespace.ok_or(Errno::PERM)?;
    let root = call.thread.root();
    check(call, &root, new.as_fd(), put_old.as_fd())?;
    let moved = Moved { root, new, put_old };
    turn(call, &moved, namespace.number)?;
    let was_whole = place(namespace.root().as_fd()) == place(moved.root.as_fd());
    let new = Directory::new(moved.new);
    move_processes(call, &namespace, &moved.root, &new)?;
    if was_whole {
        namespace.set_root(new.clone());
    }
    call.servant.stand_in(&new)?;
    Ok(Reply::ZERO)
}

/// The host kernel judges how the directories lie to each other. What is refused before it is asked is to make a mount of the
/// container's the root, which would move it, and to take one from its place by a root that is not the container's:
/// it may cover what is masked.
fn check(
    call: &mut Call<'_>,
    root: &Arc<Directory>,
    new: BorrowedFd<'_>,
    put_old: BorrowedFd<'_>,
) -> Result<(), Errno> {
    let (own, new) = (mounts::of(root.as_fd())?, mounts::of(new)?);
    if new.id == own.id || mounts::of(put_old)?.id == own.id {
        return Err(Errno::BUSY);
    }
    let mounts = call.kernel.mounts();
    if !own.is_root || !new.is_root || mounts.made(new.id).is_none() {
        return Err(Errno::INVAL);
    }
    if mounts.made(own.id).is_some() {
        return Ok(());
    }
    call.servant.assume_self()?;
    call.servant.stand_in(root)?;
    let number = mounts::row_id(root.as_fd())?;
    let rows = table::rows(call.kernel.host_proc(), "thread-self")?;
    let is_base = |row: &table::Row| row.id == number && call.kernel.mounts().is_base(row);
    if rows.iter().any(is_base) {
        Ok(())
    } else {
        Err(Errno::INVAL)
    }
}

/// In the namespace that this thread is in, of the number `namespace`.
fn turn(call: &mut Call<'_>, moved: &Moved, namespace: u64) -> Result<(), Errno> {
    let locked = call.kernel.mounts().locked(moved.root.as_fd())?;
    call.servant.assume_self()?;
    call.servant.stand_in(&moved.root)?;
    set_cwd(call.kernel.host_proc())?;
    let link = |fd: BorrowedFd<'_>| format!("thread-self/fd/{}", fd.as_raw_fd());
    let (new, put_old) = (link(moved.new.as_fd()), link(moved.put_old.as_fd()));
    rustix::process::pivot_root(new, put_old)?;
    // It is no longer what the container stands on, and goes as a whole.
    let made = Made {
        locked,
        own: false,
        covered: false,
    };
    let root = moved.root.as_fd();
    call.kernel.mounts().remember(root, made, namespace)
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
    for fs in call.kernel.table.stands() {
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
