//! What the guest has names for: nodes, each held by a descriptor that can do nothing but name it (`O_PATH`).

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use caisson_wire::share::Coherence;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Statx, StatxFlags, openat, statx};
use rustix::io::Errno;

use crate::protocol::{Attributes, ROOT, Stat, Validity};

/// How long the guest believes what it knows of files that are its own.
const OWN_VALID: Validity = Validity {
    name_ns: 1_000_000_000,
    attributes_ns: 1_000_000_000,
};
/// Names are looked up by each walk. Attributes are believed for what is left of the guest's clock tick, or they would
/// be asked for twice at the end of each walk.
const LIVE_VALID: Validity = Validity {
    name_ns: 0,
    attributes_ns: 1,
};

/// Which file it is, and by which mount it is reached: the same file may be read-only by one and not by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    mount: u64,
    device: (u32, u32),
    inode: u64,
}

/// A file of the host, whatever its type.
#[derive(Debug)]
pub(crate) struct Node {
    fd: OwnedFd,
    key: Key,
    kind: FileType,
    pub(crate) coherence: Coherence,
}

impl Node {
    /// Takes what `fd`, an `O_PATH` descriptor, names.
    pub(crate) fn new(fd: OwnedFd, coherence: Coherence) -> Result<(Node, Stat), Errno> {
        let stat = stat(fd.as_fd())?;
        let key = Key {
            mount: stat.stx_mnt_id,
            device: (stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
        };
        let kind = FileType::from_raw_mode(stat.stx_mode.into());
        let node = Node {
            fd,
            key,
            kind,
            coherence,
        };
        Ok((node, Stat::from(&stat)))
    }

    /// What `name` is in this directory. A symbolic link is itself.
    pub(crate) fn child(&self, name: &[u8]) -> Result<(Node, Stat), Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::empty())?;
        Node::new(fd, self.coherence)
    }

    /// The node of a file that is open.
    pub(crate) fn of_open(fd: &OwnedFd, coherence: Coherence) -> Result<(Node, Stat), Errno> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let fd = openat(CWD, own_path(fd.as_fd()), flags, Mode::empty())?;
        Node::new(fd, coherence)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind == FileType::Directory
    }

    pub(crate) fn is_symlink(&self) -> bool {
        self.kind == FileType::Symlink
    }

    /// A path that leads to this very file, for calls that take no descriptor or none of `O_PATH`.
    pub(crate) fn path(&self) -> CString {
        own_path(self.fd())
    }

    /// Opens it for reading or writing. Only regular files and directories: what else there is belongs to the guest's
    /// own kernel, and may wait for ever when opened or be a device of the host.
    pub(crate) fn open(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        match self.kind {
            FileType::RegularFile | FileType::Directory => {
                let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
                openat(CWD, self.path(), flags, Mode::empty())
            }
            FileType::Symlink => Err(Errno::LOOP),
            _ => Err(Errno::NXIO),
        }
    }

    fn valid(&self) -> Validity {
        match self.coherence {
            Coherence::Live => LIVE_VALID,
            Coherence::Own => OWN_VALID,
        }
    }

    pub(crate) fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.with(Stat::from(&stat(self.fd())?)))
    }

    /// What the guest is told of it as a child of `parent`.
    pub(crate) fn attributes_below(&self, parent: Option<&Node>, stat: Stat) -> Attributes {
        let mut attributes = self.with(stat);
        attributes.submount =
            self.is_directory() && parent.is_none_or(|parent| parent.key.mount != self.key.mount);
        attributes
    }

    fn with(&self, stat: Stat) -> Attributes {
        Attributes {
            stat,
            valid: self.valid(),
            submount: false,
        }
    }
}

/// Where a descriptor of ours has a name: our working directory is /proc/self/fd, see `jail`.
fn own_path(fd: BorrowedFd<'_>) -> CString {
    // A number has no zero byte.
    CString::new(fd.as_raw_fd().to_string()).unwrap_or_default()
}

fn stat(fd: BorrowedFd<'_>) -> Result<Statx, Errno> {
    let what = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
    statx(fd, c"", AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT, what)
}

/// The nodes by the numbers that the guest knows them by.
pub(crate) struct Nodes {
    inner: Mutex<Inner>,
    limit: usize,
}

#[derive(Default)]
struct Inner {
    by_number: HashMap<u64, Known>,
    by_key: HashMap<Key, u64>,
    last: u64,
}

struct Known {
    node: Arc<Node>,
    /// How often the guest was told of it, less how often it has forgotten it.
    lookups: u64,
    /// The root of a share, which stays.
    pinned: bool,
}

impl Nodes {
    /// At most `limit` nodes, each of which takes a descriptor.
    pub(crate) fn new(limit: usize) -> Nodes {
        Nodes {
            inner: Mutex::new(Inner {
                last: ROOT,
                ..Inner::default()
            }),
            limit,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, number: u64) -> Result<Arc<Node>, Errno> {
        let inner = self.lock();
        let known = inner.by_number.get(&number).ok_or(Errno::STALE)?;
        Ok(Arc::clone(&known.node))
    }

    /// Counts that the guest is told of `node`, and returns its number.
    pub(crate) fn tell(&self, node: Node) -> Result<u64, Errno> {
        self.lock().add(node, self.limit, false)
    }

    /// Keeps the root of a share until [`Nodes::unpin`].
    pub(crate) fn pin(&self, node: Node) -> Result<u64, Errno> {
        self.lock().add(node, self.limit, true)
    }

    pub(crate) fn unpin(&self, number: u64) {
        let mut inner = self.lock();
        if let Some(known) = inner.by_number.get_mut(&number) {
            known.pinned = false;
            inner.drop_unknown(number);
        }
    }

    /// Counts one more lookup of a node that is there.
    pub(crate) fn tell_again(&self, number: u64) -> Result<Arc<Node>, Errno> {
        let mut inner = self.lock();
        let known = inner.by_number.get_mut(&number).ok_or(Errno::STALE)?;
        known.lookups = known.lookups.saturating_add(1);
        Ok(Arc::clone(&known.node))
    }

    /// The guest has forgotten a node `count` times; it may say so more often than is true.
    pub(crate) fn forget(&self, number: u64, count: u64) {
        let mut inner = self.lock();
        if let Some(known) = inner.by_number.get_mut(&number) {
            known.lookups = known.lookups.saturating_sub(count);
            inner.drop_unknown(number);
        }
    }

    /// The guest begins anew: nothing but the shares is left.
    pub(crate) fn clear(&self) {
        let mut inner = self.lock();
        inner.by_number.retain(|_, known| {
            known.lookups = 0;
            known.pinned
        });
        let Inner {
            by_number, by_key, ..
        } = &mut *inner;
        by_key.retain(|_, number| by_number.contains_key(number));
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.lock().by_number.len()
    }
}

impl Inner {
    fn add(&mut self, node: Node, limit: usize, pinned: bool) -> Result<u64, Errno> {
        if let Some(number) = self.by_key.get(&node.key).copied()
            && let Some(known) = self.by_number.get_mut(&number)
        {
            if pinned {
                known.pinned = true;
            } else {
                known.lookups = known.lookups.saturating_add(1);
            }
            return Ok(number);
        }
        if self.by_number.len() >= limit {
            return Err(Errno::NFILE);
        }
        self.last += 1;
        self.by_key.insert(node.key, self.last);
        let known = Known {
            node: Arc::new(node),
            lookups: u64::from(!pinned),
            pinned,
        };
        self.by_number.insert(self.last, known);
        Ok(self.last)
    }

    fn drop_unknown(&mut self, number: u64) {
        let unknown = |known: &Known| known.lookups == 0 && !known.pinned;
        if self.by_number.get(&number).is_some_and(unknown)
            && let Some(known) = self.by_number.remove(&number)
        {
            self.by_key.remove(&known.node.key);
        }
    }
}
