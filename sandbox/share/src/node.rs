//! What the guest has names for: a node, held by a descriptor that can do nothing but name it (`O_PATH`).

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use caisson_wire::share::Coherence;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Statx, StatxFlags, openat, statx};
use rustix::io::Errno;

use crate::protocol::{Attributes, Stat, Validity};

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
pub(crate) struct Key {
    mount: u64,
    device: (u32, u32),
    inode: u64,
    /// When a symbolic link was made, as far as its file system knows: guests keep what is in it, and a number of an inode is
    /// given out again. What other files are made of may change, when they are written to on an overlay.
    made: Option<(i64, u32)>,
}

/// A file of the host, whatever its type.
#[derive(Debug)]
pub(crate) struct Node {
    fd: OwnedFd,
    pub(crate) key: Key,
    pub(crate) kind: FileType,
    pub(crate) coherence: Coherence,
}

impl Node {
    /// Takes what `fd`, an `O_PATH` descriptor, names.
    pub(crate) fn new(fd: OwnedFd, coherence: Coherence) -> Result<(Node, Stat), Errno> {
        let stat = stat(fd.as_fd())?;
        let kind = FileType::from_raw_mode(stat.stx_mode.into());
        let made = (stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec);
        let key = Key {
            mount: stat.stx_mnt_id,
            device: (stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            made: (kind == FileType::Symlink).then_some(made),
        };
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

    pub(crate) fn valid(&self) -> Validity {
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
    let what = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID | StatxFlags::BTIME;
    statx(fd, c"", AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT, what)
}
