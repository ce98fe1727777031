//! The FUSE protocol, include/uapi/linux/fuse.h, version 7.39: requests as they come, answers as they go.
//!
//! Requests are a guest kernel's, which is hostile: every field is read with bounds checks, and what is too short is
//! an error. Numbers are in the machine's order, guest and host being the same.

use rustix::fs::{Statx, StatxTimestamp};
use rustix::io::Errno;

/// The root of the file system.
pub(crate) const ROOT: u64 = 1;
/// Bytes of `fuse_in_header`.
const IN_HEADER_BYTES: usize = 40;
/// Bytes of `fuse_out_header`.
pub(crate) const OUT_HEADER_BYTES: usize = 16;
/// The longest name in a directory; longer ones Linux does not know.
const MAX_NAME_BYTES: usize = 255;

/// `enum fuse_opcode`, what is served of it.
pub(crate) mod op {
    pub(crate) const LOOKUP: u32 = 1;
    pub(crate) const FORGET: u32 = 2;
    pub(crate) const GETATTR: u32 = 3;
    pub(crate) const SETATTR: u32 = 4;
    pub(crate) const READLINK: u32 = 5;
    pub(crate) const SYMLINK: u32 = 6;
    pub(crate) const MKNOD: u32 = 8;
    pub(crate) const MKDIR: u32 = 9;
    pub(crate) const UNLINK: u32 = 10;
    pub(crate) const RMDIR: u32 = 11;
    pub(crate) const RENAME: u32 = 12;
    pub(crate) const LINK: u32 = 13;
    pub(crate) const OPEN: u32 = 14;
    pub(crate) const READ: u32 = 15;
    pub(crate) const WRITE: u32 = 16;
    pub(crate) const STATFS: u32 = 17;
    pub(crate) const RELEASE: u32 = 18;
    pub(crate) const FSYNC: u32 = 20;
    pub(crate) const SETXATTR: u32 = 21;
    pub(crate) const GETXATTR: u32 = 22;
    pub(crate) const LISTXATTR: u32 = 23;
    pub(crate) const REMOVEXATTR: u32 = 24;
    pub(crate) const INIT: u32 = 26;
    pub(crate) const OPENDIR: u32 = 27;
    pub(crate) const READDIR: u32 = 28;
    pub(crate) const RELEASEDIR: u32 = 29;
    pub(crate) const FSYNCDIR: u32 = 30;
    pub(crate) const CREATE: u32 = 35;
    pub(crate) const INTERRUPT: u32 = 36;
    pub(crate) const DESTROY: u32 = 38;
    pub(crate) const BATCH_FORGET: u32 = 42;
    pub(crate) const FALLOCATE: u32 = 43;
    pub(crate) const READDIRPLUS: u32 = 44;
    pub(crate) const RENAME2: u32 = 45;
    pub(crate) const LSEEK: u32 = 46;
    pub(crate) const COPY_FILE_RANGE: u32 = 47;
    pub(crate) const TMPFILE: u32 = 51;
}

/// `FUSE_SUBMOUNTS`.
const SUBMOUNTS: u32 = 1 << 27;

/// `FUSE_*` flags of INIT that are asked for.
const FEATURES: u32 = {
    const ASYNC_READ: u32 = 1 << 0;
    const ATOMIC_O_TRUNC: u32 = 1 << 3;
    const BIG_WRITES: u32 = 1 << 5;
    const AUTO_INVAL_DATA: u32 = 1 << 12;
    const DO_READDIRPLUS: u32 = 1 << 13;
    const READDIRPLUS_AUTO: u32 = 1 << 14;
    const ASYNC_DIO: u32 = 1 << 15;
    const PARALLEL_DIROPS: u32 = 1 << 18;
    const CACHE_SYMLINKS: u32 = 1 << 23;
    const HANDLE_KILLPRIV_V2: u32 = 1 << 28;
    ASYNC_READ
        | ATOMIC_O_TRUNC
        | BIG_WRITES
        | AUTO_INVAL_DATA
        | DO_READDIRPLUS
        | READDIRPLUS_AUTO
        | ASYNC_DIO
        | PARALLEL_DIROPS
        | CACHE_SYMLINKS
        | SUBMOUNTS
        | HANDLE_KILLPRIV_V2
};

/// `FUSE_ATTR_SUBMOUNT`: another file system begins here.
const ATTR_SUBMOUNT: u32 = 1;

/// Reads the pieces of a request in order.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Errno> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(Errno::INVAL)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Errno> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(Errno::INVAL)?;
        self.0 = tail;
        Ok(*head)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Errno> {
        Ok(u32::from_ne_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Errno> {
        Ok(u64::from_ne_bytes(self.array()?))
    }

    /// A string that ends with a zero byte, without it.
    pub(crate) fn string(&mut self) -> Result<&'a [u8], Errno> {
        let end = self.0.iter().position(|byte| *byte == 0);
        let string = self.take(end.ok_or(Errno::INVAL)?)?;
        self.take(1)?;
        Ok(string)
    }

    /// One name within a directory, whatever the guest would like it to be: nothing that leads anywhere else.
    pub(crate) fn name(&mut self) -> Result<&'a [u8], Errno> {
        let name = self.string()?;
        if name.len() > MAX_NAME_BYTES {
            return Err(Errno::NAMETOOLONG);
        }
        if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') {
            return Err(Errno::INVAL);
        }
        Ok(name)
    }
}

/// A request with its header read.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) opcode: u32,
    pub(crate) unique: u64,
    pub(crate) node: u64,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    /// `None` for what is not even a header; it cannot be answered.
    pub(crate) fn parse(message: &'a [u8]) -> Option<Request<'a>> {
        let mut fields = Fields(message);
        let length = fields.u32().ok()? as usize;
        let opcode = fields.u32().ok()?;
        let (unique, node) = (fields.u64().ok()?, fields.u64().ok()?);
        let (uid, gid) = (fields.u32().ok()?, fields.u32().ok()?);
        if length < IN_HEADER_BYTES {
            return None;
        }
        // Buffers may be longer than what is in them. Extensions at the end are not negotiated.
        let body = message.get(IN_HEADER_BYTES..length)?;
        Some(Request {
            opcode,
            unique,
            node,
            uid,
            gid,
            body,
        })
    }

    pub(crate) fn fields(&self) -> Fields<'a> {
        Fields(self.body)
    }

    pub(crate) fn wants_answer(&self) -> bool {
        !matches!(
            self.opcode,
            op::FORGET | op::BATCH_FORGET | op::INTERRUPT | op::DESTROY
        )
    }
}

/// An answer under construction: what has been put into it so far is its length.
pub(crate) struct Reply {
    bytes: Vec<u8>,
    /// Where the FUSE answer begins: before it is what the channel needs.
    start: usize,
    /// How long the FUSE answer may be.
    room: usize,
}

impl Reply {
    /// An answer behind `prefix` of which the guest takes `room` bytes.
    pub(crate) fn new(mut bytes: Vec<u8>, prefix: &[u8], room: usize) -> Reply {
        bytes.clear();
        bytes.extend_from_slice(prefix);
        let start = bytes.len();
        Reply { bytes, start, room }
    }

    /// Begins with an empty header, filled in by [`Reply::finish`].
    pub(crate) fn open(&mut self) {
        self.bytes.truncate(self.start);
        self.zeros(OUT_HEADER_BYTES);
    }

    /// The header: of what was put in after it, or of an error alone. False if it is more than the guest takes.
    pub(crate) fn finish(&mut self, unique: u64, outcome: Result<(), Errno>) -> bool {
        if outcome.is_err() {
            self.open();
        }
        let length = self.bytes.len() - self.start;
        let error = outcome.map_or_else(|errno| -errno.raw_os_error(), |()| 0);
        let header = &mut self.bytes[self.start..];
        header[..4].copy_from_slice(&(length as u32).to_ne_bytes());
        header[4..8].copy_from_slice(&error.to_ne_bytes());
        header[8..16].copy_from_slice(&unique.to_ne_bytes());
        length <= self.room
    }

    /// Nothing but the prefix.
    pub(crate) fn abandon(&mut self) {
        self.bytes.truncate(self.start);
    }

    /// All of it, the prefix included.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }

    /// How many bytes may still be put in.
    pub(crate) fn room_left(&self) -> usize {
        self.room
            .saturating_sub(self.bytes.len() - self.start)
            .min(caisson_wire::share::MAX_DATA_BYTES)
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Back to what it was when it had this length.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// Where data can be read into, behind what is there.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> &mut Reply {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Reply {
        self.put(&value.to_ne_bytes())
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Reply {
        self.put(&value.to_ne_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Reply {
        self.put(&value.to_ne_bytes())
    }

    pub(crate) fn zeros(&mut self, count: usize) -> &mut Reply {
        self.bytes.resize(self.bytes.len() + count, 0);
        self
    }
}

/// For how many nanoseconds the guest may believe a name and the attributes behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validity {
    pub(crate) name_ns: u64,
    pub(crate) attributes_ns: u64,
}

/// What stat(2) shows; times are seconds since 1970 and nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stat {
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) blocks: u64,
    pub(crate) atime: (i64, u32),
    pub(crate) mtime: (i64, u32),
    pub(crate) ctime: (i64, u32),
    /// File type and permission bits.
    pub(crate) mode: u32,
    pub(crate) links: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Major and minor number of a device.
    pub(crate) device: (u32, u32),
    pub(crate) block_size: u32,
}

impl From<&Statx> for Stat {
    fn from(stat: &Statx) -> Stat {
        let time = |time: &StatxTimestamp| (time.tv_sec, time.tv_nsec);
        Stat {
            inode: stat.stx_ino,
            size: stat.stx_size,
            blocks: stat.stx_blocks,
            atime: time(&stat.stx_atime),
            mtime: time(&stat.stx_mtime),
            ctime: time(&stat.stx_ctime),
            mode: stat.stx_mode.into(),
            links: stat.stx_nlink,
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            device: (stat.stx_rdev_major, stat.stx_rdev_minor),
            block_size: stat.stx_blksize,
        }
    }
}

/// What the guest is told of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes {
    pub(crate) stat: Stat,
    pub(crate) valid: Validity,
    pub(crate) submount: bool,
}

const SECOND_NS: u64 = 1_000_000_000;

impl Validity {
    /// `struct fuse_entry_out` of a name that is not there: it has node 0.
    pub(crate) fn absence(self, reply: &mut Reply) {
        let nothing = Attributes {
            stat: Stat::default(),
            valid: self,
            submount: false,
        };
        nothing.entry(0, reply);
    }
}

impl Attributes {
    /// `struct fuse_entry_out`; bytes of it are [`ENTRY_BYTES`].
    pub(crate) fn entry(&self, node: u64, reply: &mut Reply) {
        let times = [self.valid.name_ns, self.valid.attributes_ns];
        reply.u64(node).u64(0);
        for time_ns in times {
            reply.u64(time_ns / SECOND_NS);
        }
        for time_ns in times {
            reply.u32((time_ns % SECOND_NS) as u32);
        }
        self.put(reply);
    }

    /// `struct fuse_attr_out`.
    pub(crate) fn reply(&self, reply: &mut Reply) {
        let time_ns = self.valid.attributes_ns;
        reply.u64(time_ns / SECOND_NS);
        reply.u32((time_ns % SECOND_NS) as u32).u32(0);
        self.put(reply);
    }

    /// `struct fuse_attr`.
    fn put(&self, reply: &mut Reply) {
        let stat = &self.stat;
        reply.u64(stat.inode).u64(stat.size).u64(stat.blocks);
        let times = [stat.atime, stat.mtime, stat.ctime];
        for (seconds, _) in times {
            reply.u64(seconds.cast_unsigned());
        }
        for (_, nanoseconds) in times {
            reply.u32(nanoseconds);
        }
        reply.u32(stat.mode).u32(stat.links);
        reply.u32(stat.uid).u32(stat.gid);
        let (major, minor) = stat.device;
        reply.u32(encode_device(major, minor)).u32(stat.block_size);
        reply.u32(if self.submount { ATTR_SUBMOUNT } else { 0 });
    }
}

/// Bytes of `struct fuse_entry_out`.
pub(crate) const ENTRY_BYTES: usize = 128;
/// Bytes of `struct fuse_dirent` without the name.
const DIRENT_BYTES: usize = 24;

/// How long the record of a name is in a listing.
pub(crate) fn dirent_bytes(name: &[u8]) -> usize {
    (DIRENT_BYTES + name.len()).next_multiple_of(8)
}

/// `struct fuse_dirent`; `kind` is `DT_*`, `next` the offset of what follows.
pub(crate) fn dirent(inode: u64, next: u64, kind: u32, name: &[u8], reply: &mut Reply) {
    reply.u64(inode).u64(next);
    reply.u32(name.len() as u32).u32(kind).put(name);
    reply.zeros(dirent_bytes(name) - DIRENT_BYTES - name.len());
}

/// new_encode_dev of linux/kdev_t.h.
fn encode_device(major: u32, minor: u32) -> u32 {
    minor & 0xff | (major & 0xfff) << 8 | (minor & !0xff) << 12
}

/// new_decode_dev of linux/kdev_t.h: major and minor.
pub(crate) fn decode_device(device: u32) -> (u32, u32) {
    (
        (device & 0xf_ff00) >> 8,
        device & 0xff | (device >> 12) & 0xf_ff00,
    )
}

/// What a guest and the server have agreed on, as far as it changes answers.
pub(crate) struct Agreed {
    pub(crate) submounts: bool,
}

/// The answer to INIT, `struct fuse_init_out`.
pub(crate) fn init(request: &Request<'_>, reply: &mut Reply) -> Result<Agreed, Errno> {
    /// So many requests the guest has under way for its own page cache.
    const BACKGROUND: u16 = 64;
    let mut fields = request.fields();
    let (major, minor) = (fields.u32()?, fields.u32()?);
    let (readahead, offered) = (fields.u32()?, fields.u32()?);
    // 7.36 is Linux 5.17; all kernels that we are asked by are newer.
    if major != 7 || minor < 36 {
        return Err(Errno::PROTO);
    }
    let data = caisson_wire::share::MAX_DATA_BYTES as u32;
    reply.u32(7).u32(39);
    reply.u32(readahead.min(data)).u32(offered & FEATURES);
    reply.u16(BACKGROUND).u16(BACKGROUND * 3 / 4);
    // Times in nanoseconds, one by one.
    reply.u32(data).u32(1);
    reply.u16(0).u16(0).zeros(32);
    Ok(Agreed {
        submounts: offered & SUBMOUNTS != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere() {
        for (bytes, errno) in [
            (b"\0".as_slice(), Errno::INVAL),
            (b".\0", Errno::INVAL),
            (b"..\0", Errno::INVAL),
            (b"a/b\0", Errno::INVAL),
            (b"/\0", Errno::INVAL),
            (b"no end", Errno::INVAL),
            (&[b'x'; 300], Errno::INVAL),
        ] {
            assert_eq!(Fields(bytes).name(), Err(errno), "{bytes:?}");
        }
        let long = [[b'x'; 256].as_slice(), b"\0"].concat();
        assert_eq!(Fields(&long).name(), Err(Errno::NAMETOOLONG));
        assert_eq!(Fields(b"...\0").name(), Ok(b"...".as_slice()));
    }

    #[test]
    fn devices_survive_the_way() {
        for (major, minor) in [(1, 3), (10, 229), (0xfff, 0xf_ffff), (8, 256)] {
            assert_eq!(decode_device(encode_device(major, minor)), (major, minor));
        }
    }

    #[test]
    fn a_header_that_lies_is_refused() {
        let mut message = [0u8; 48];
        for length in [0u32, 39, 49, u32::MAX] {
            message[..4].copy_from_slice(&length.to_ne_bytes());
            assert!(Request::parse(&message).is_none(), "{length}");
        }
        message[..4].copy_from_slice(&44u32.to_ne_bytes());
        let request = Request::parse(&message).expect("a request");
        assert_eq!(request.body.len(), 4);
    }
}
