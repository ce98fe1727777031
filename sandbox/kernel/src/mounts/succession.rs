//! What becomes of the container's own mount namespace when a guest pivots its root, pivot_root(2).
//!
//! The application kernel stands in that namespace itself, with all that it has of the container's tree. So it stays as it
//! is, and those who were in it are moved into a copy, which is the container's own from then on: new processes of
//! `caisson exec` begin there, and /proc/PID/ns shows the number that it had before.
//!
//! What guests have open stays in the old one, but for a directory that somebody goes to by fchdir(2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

use super::namespace::successor;
use super::{Mounts, Namespace, of, row_id, table};
use crate::call::Call;
use crate::kernel::Kernel;
use crate::task::{Directory, Fs, lock};

/// Where directories of the namespace before are in the copy.
#[derive(Debug)]
pub struct Succession {
    /// The root that it began with, until that is unmounted.
    first: Mutex<Option<Arc<Directory>>>,
    pivoted: OnceLock<Pivoted>,
}

/// The first pivot of the root.
#[derive(Debug)]
struct Pivoted {
    /// What became the root, as it was called before.
    path: Vec<u8>,
    root: Weak<Directory>,
    /// Whose root and working directory this was has `root` instead.
    from: Place,
}

/// Mount, device and inode.
pub type Place = (u64, u64, u64);

pub fn place(directory: BorrowedFd<'_>) -> Result<Place, Errno> {
    let stat = fstat(directory)?;
    Ok((of(directory)?.id, stat.st_dev, stat.st_ino))
}

impl Succession {
    pub(super) fn of(root: &Arc<Directory>) -> Succession {
        Succession {
            first: Mutex::new(Some(root.clone())),
            pivoted: OnceLock::new(),
        }
    }

    /// The same directory in the copy; `None` where it cannot be found there. `call` is of a thread that walks as itself.
    fn directory(&self, kernel: &Kernel, directory: BorrowedFd<'_>) -> Option<OwnedFd> {
        let path = kernel.path_of(directory).ok()?;
        let pivoted = self.pivoted.get();
        let from_root =
            pivoted.and_then(|one| Some((one.root.upgrade()?, below(&path, &one.path)?)));
        let (start, rest) = match from_root {
            Some(found) => found,
            None => (lock(&self.first).clone()?, below(&path, b"/")?),
        };
        let rest = if rest.is_empty() { b"." } else { rest };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let how = ResolveFlags::NO_SYMLINKS;
        let found = openat2(start.as_fd(), rest, flags, Mode::empty(), how).ok()?;
        let (was, is) = (fstat(directory).ok()?, fstat(&found).ok()?);
        ((was.st_dev, was.st_ino) == (is.st_dev, is.st_ino)).then_some(found)
    }

    /// As [`Self::directory`], for a root or a working directory.
    fn stand(&self, kernel: &Kernel, directory: &Arc<Directory>) -> Option<Arc<Directory>> {
        let found = self.directory(kernel, directory.as_fd())?;
        let root = self.pivoted.get().and_then(|pivoted| {
            let was_root = place(found.as_fd()) == Ok(pivoted.from);
            was_root.then(|| pivoted.root.upgrade()).flatten()
        });
        Some(root.unwrap_or_else(|| Directory::new(found)))
    }

    /// Let a mount go that is about to be unmounted.
    pub fn release(&self, mount: u64) {
        let mut first = lock(&self.first);
        let is_it = |root: &Arc<Directory>| of(root.as_fd()).is_ok_and(|own| own.id == mount);
        if first.as_ref().is_some_and(is_it) {
            *first = None;
        }
    }
}

/// What follows `directory` in a path.
fn below<'a>(path: &'a [u8], directory: &[u8]) -> Option<&'a [u8]> {
    if directory == b"/" {
        return path.strip_prefix(b"/");
    }
    let rest = path.strip_prefix(directory)?;
    if rest.is_empty() {
        return Some(rest);
    }
    rest.strip_prefix(b"/")
}

/// A copy of the container's own namespace in which a root is to be pivoted. Dropped before that, it has been nothing.
pub struct Successor<'a> {
    mounts: &'a Mounts,
    namespace: Arc<Namespace>,
    _turn: MutexGuard<'a, ()>,
}

/// Directories of the caller's in the copy: its root, and those that it named.
pub struct Moved {
    pub root: Arc<Directory>,
    pub new: OwnedFd,
    pub put_old: OwnedFd,
}

impl<'a> Successor<'a> {
    /// `None` if there is one already: the caller is in that by now.
    pub fn of(call: &mut Call<'_>, mounts: &'a Mounts) -> Result<Option<Successor<'a>>, Errno> {
        let turn = lock(&mounts.succeeding);
        if let Some(successor) = mounts.successor() {
            follow(call, &successor);
            return Ok(None);
        }
        Ok(Some(Successor {
            mounts,
            namespace: successor(call)?,
            _turn: turn,
        }))
    }

    /// Have `pivot` make `moved.new` the root, and move everybody there.
    pub fn settle(
        self,
        call: &mut Call<'_>,
        (new, put_old): (OwnedFd, OwnedFd),
        pivot: fn(&mut Call<'_>, &Moved, u64) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let namespace = self.namespace.clone();
        let root = call.thread.root();
        self.namespace.run(call, move |call| {
            let succession = namespace.succession.as_ref().ok_or(Errno::INVAL)?;
            stand_outside(call)?;
            let kernel = call.kernel.clone();
            let moved = |fd: BorrowedFd<'_>| succession.directory(&kernel, fd).ok_or(Errno::INVAL);
            let moved = Moved {
                root: Directory::new(moved(root.as_fd())?),
                new: moved(new.as_fd())?,
                put_old: moved(put_old.as_fd())?,
            };
            let path = kernel.path_of(new.as_fd())?;
            let from = place(moved.root.as_fd())?;
            pivot(call, &moved, namespace.number)?;
            let root = Directory::new(moved.new);
            // A chroot has a root of its own.
            if place(namespace.root().as_fd()) == Ok(from) {
                namespace.set_root(root.clone());
            }
            let _ = succession.pivoted.set(Pivoted {
                path,
                root: Arc::downgrade(&root),
                from,
            });
            everybody_follows(call, &namespace);
            drop(root);
            Ok(())
        })?;
        let _ = self.mounts.successor.set(self.namespace.clone());
        // Whose maker was not moved yet when it was made.
        self.namespace.clone().run(call, {
            let namespace = self.namespace.clone();
            move |call| {
                std::thread::sleep(Duration::from_millis(1));
                everybody_follows(call, &namespace);
                Ok(())
            }
        })
    }
}

/// Walk as the application kernel, from its own root.
fn stand_outside(call: &mut Call<'_>) -> Result<(), Errno> {
    call.servant.assume_self()?;
    let root = call.kernel.root.clone();
    call.servant.stand_in(&root)
}

fn everybody_follows(call: &mut Call<'_>, successor: &Arc<Namespace>) {
    call.kernel.discover_everyone();
    for fs in call.kernel.table.stands() {
        move_to(call, &fs, successor);
    }
}

/// Move the caller if it was made while the others were.
pub(super) fn follow(call: &mut Call<'_>, successor: &Arc<Namespace>) {
    let fs = call.thread.fs();
    move_to(call, &fs, successor);
}

/// Who stands on a directory that is not in the copy, as one that was removed, stays there.
fn move_to(call: &mut Call<'_>, shared: &Mutex<Fs>, successor: &Arc<Namespace>) {
    let before = lock(shared).clone();
    let Some(succession) = &successor.succession else {
        return;
    };
    if before.mounts.is_some() || stand_outside(call).is_err() {
        return;
    }
    // Not under the lock, which a walk through /proc may need.
    let Some(root) = succession.stand(call.kernel, &before.root) else {
        return;
    };
    let cwd = succession.stand(call.kernel, &before.cwd);
    let mut fs = lock(shared);
    if !Arc::ptr_eq(&fs.root, &before.root) {
        return;
    }
    let stayed = Arc::ptr_eq(&fs.cwd, &before.cwd);
    let cwd = cwd.filter(|_| stayed).unwrap_or_else(|| fs.cwd.clone());
    *fs = Fs {
        root,
        cwd,
        umask: fs.umask,
        mounts: Some(successor.clone()),
    };
}

/// The directory that a descriptor from before means now, which is none of the namespace that the caller is in; `None` for
/// others.
pub fn descriptor_of(call: &mut Call<'_>, fd: BorrowedFd<'_>) -> Option<OwnedFd> {
    let namespace = call.thread.with_fs(|fs| fs.mounts.clone())?;
    let succession = namespace.succession.as_ref()?;
    let mount = row_id(fd).ok()?;
    // The main thread is in the old namespace.
    let rows = table::rows(call.kernel.host_proc(), "self").ok()?;
    if !rows.iter().any(|row| row.id == mount) {
        return None;
    }
    stand_outside(call).ok()?;
    succession.directory(call.kernel, fd)
}

#[cfg(test)]
mod tests {
    use super::below;

    #[test]
    fn paths_are_split_at_names() {
        assert_eq!(below(b"/a/b", b"/"), Some(&b"a/b"[..]));
        assert_eq!(below(b"/", b"/"), Some(&b""[..]));
        assert_eq!(below(b"/a/b", b"/a"), Some(&b"b"[..]));
        assert_eq!(below(b"/a", b"/a"), Some(&b""[..]));
        assert_eq!(below(b"/ab", b"/a"), None);
        assert_eq!(below(b"pipe:[1]", b"/"), None);
    }
}
