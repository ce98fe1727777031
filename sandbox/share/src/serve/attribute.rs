//! What stat(2) shows, and changing it.

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, chmodat,
    chownat, fstatvfs, ftruncate, utimensat,
};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use crate::identity;
use crate::node::Node;
use crate::protocol::{Attributes, Fields, ROOT, Reply, Request, Stat, Validity};
use crate::server::Server;

/// `FATTR_*` of linux/fuse.h.
mod valid {
    pub(super) const MODE: u32 = 1 << 0;
    pub(super) const UID: u32 = 1 << 1;
    pub(super) const GID: u32 = 1 << 2;
    pub(super) const SIZE: u32 = 1 << 3;
    pub(super) const ATIME: u32 = 1 << 4;
    pub(super) const MTIME: u32 = 1 << 5;
    pub(super) const HANDLE: u32 = 1 << 6;
    pub(super) const ATIME_NOW: u32 = 1 << 7;
    pub(super) const MTIME_NOW: u32 = 1 << 8;
    pub(super) const KILL_SUIDGID: u32 = 1 << 11;
}

/// `struct fuse_setattr_in`.
struct Changes {
    valid: u32,
    handle: u64,
    size: u64,
    atime: Timespec,
    mtime: Timespec,
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Changes {
    fn parse(mut fields: Fields<'_>) -> Result<Changes, Errno> {
        let (valid, _padding) = (fields.u32()?, fields.u32()?);
        let (handle, size, _lock_owner) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let seconds = (fields.u64()?, fields.u64()?, fields.u64()?);
        let rests = (fields.u32()?, fields.u32()?, fields.u32()?);
        let (mode, _unused) = (fields.u32()?, fields.u32()?);
        let (uid, gid) = (fields.u32()?, fields.u32()?);
        let time = |seconds: u64, rest: u32| Timespec {
            tv_sec: seconds.cast_signed(),
            tv_nsec: rest.into(),
        };
        Ok(Changes {
            valid,
            handle,
            size,
            atime: time(seconds.0, rests.0),
            mtime: time(seconds.1, rests.1),
            mode,
            uid,
            gid,
        })
    }

    fn has(&self, bit: u32) -> bool {
        self.valid & bit != 0
    }

    /// Who is to own it. The highest number is nobody's: chown(2) takes it for "as it is".
    fn owner(&self) -> Result<(Option<Uid>, Option<Gid>), Errno> {
        let given = |bit: u32, id: u32| match (self.has(bit), id) {
            (false, _) => Ok(None),
            (true, u32::MAX) => Err(Errno::INVAL),
            (true, id) => Ok(Some(id)),
        };
        let (uid, gid) = (given(valid::UID, self.uid)?, given(valid::GID, self.gid)?);
        Ok((uid.map(Uid::from_raw), gid.map(Gid::from_raw)))
    }

    /// The time to be set, utimensat(2).
    fn time(&self, given: u32, now: u32, time: Timespec) -> Timespec {
        let special = |tv_nsec: i64| Timespec { tv_sec: 0, tv_nsec };
        if self.has(now) {
            special(UTIME_NOW)
        } else if self.has(given) {
            time
        } else {
            special(UTIME_OMIT)
        }
    }
}

impl Server {
    pub(crate) fn getattr(&self, request: &Request<'_>, reply: &mut Reply) -> Result<(), Errno> {
        if request.node == ROOT {
            root().reply(reply);
            return Ok(());
        }
        self.file(request.node)?.attributes()?.reply(reply);
        Ok(())
    }

    pub(crate) fn setattr(&self, request: &Request<'_>, reply: &mut Reply) -> Result<(), Errno> {
        let changes = Changes::parse(request.fields())?;
        let (uid, gid) = changes.owner()?;
        let node = self.file(request.node)?;
        if changes.has(valid::MODE) {
            if node.is_symlink() {
                return Err(Errno::OPNOTSUPP);
            }
            let mode = Mode::from_raw_mode(changes.mode & 0o7777);
            chmodat(CWD, node.path(), mode, AtFlags::empty())?;
        }
        if changes.has(valid::UID | valid::GID) {
            let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
            chownat(node.fd(), c"", uid, gid, flags)?;
        }
        if changes.has(valid::SIZE) {
            if changes.has(valid::KILL_SUIDGID) {
                identity::without_fsetid(|| self.resize(&node, &changes))?;
            } else {
                self.resize(&node, &changes)?;
            }
        }
        if changes.has(valid::ATIME | valid::MTIME | valid::ATIME_NOW | valid::MTIME_NOW) {
            let times = Timestamps {
                last_access: changes.time(valid::ATIME, valid::ATIME_NOW, changes.atime),
                last_modification: changes.time(valid::MTIME, valid::MTIME_NOW, changes.mtime),
            };
            utimensat(CWD, node.path(), &times, AtFlags::empty())?;
        }
        node.attributes()?.reply(reply);
        Ok(())
    }

    fn resize(&self, node: &Node, changes: &Changes) -> Result<(), Errno> {
        if changes.has(valid::HANDLE) {
            let handle = self.handles.find(changes.handle)?;
            return ftruncate(&handle.fd, changes.size);
        }
        let file = node.open(OFlags::WRONLY | OFlags::NONBLOCK)?;
        ftruncate(file, changes.size)
    }

    /// `struct fuse_statfs_out`.
    pub(crate) fn statfs(&self, request: &Request<'_>, reply: &mut Reply) -> Result<(), Errno> {
        if request.node == ROOT {
            reply.zeros(40).u32(4096).u32(255).u32(4096).zeros(28);
            return Ok(());
        }
        let node = self.file(request.node)?;
        let stat = fstatvfs(node.fd())?;
        reply
            .u64(stat.f_blocks)
            .u64(stat.f_bfree)
            .u64(stat.f_bavail);
        reply.u64(stat.f_files).u64(stat.f_ffree);
        for number in [stat.f_bsize, stat.f_namemax, stat.f_frsize] {
            reply.u32(u32::try_from(number).unwrap_or(u32::MAX));
        }
        reply.zeros(28);
        Ok(())
    }
}

/// The directory of the shares, which is no file of the host.
fn root() -> Attributes {
    Attributes {
        stat: Stat {
            inode: ROOT,
            mode: FileType::Directory.as_raw_mode() | 0o755,
            links: 2,
            block_size: 4096,
            ..Stat::default()
        },
        valid: Validity {
            name_ns: 0,
            attributes_ns: 1,
        },
        submount: false,
    }
}
