//! The part of the FUSE protocol (include/uapi/linux/fuse.h, 7.31) that a read-mostly tree needs.
//!
//! Requests come from the host kernel, not from the guest, but names and data inside them are the guest's:
//! every field is read with bounds checks and a short message is an error, never a panic.

use std::io::IoSlice;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;

pub(crate) const ROOT_ID: u64 = 1;
/// The kernel reads at most this much into one write request; keeps the request buffer small.
pub(super) const MAX_WRITE: u32 = 4096;
/// FUSE_MIN_READ_BUFFER: the host kernel refuses a smaller one.
pub(super) const REQUEST_BUFFER: usize = 8192;

pub(super) mod op {
    pub(crate) const LOOKUP: u32 = 1;
    pub(crate) const FORGET: u32 = 2;
    pub(crate) const GETATTR: u32 = 3;
    pub(crate) const SETATTR: u32 = 4;
    pub(crate) const READLINK: u32 = 5;
    pub(crate) const OPEN: u32 = 14;
    pub(crate) const READ: u32 = 15;
    pub(crate) const WRITE: u32 = 16;
    pub(crate) const STATFS: u32 = 17;
    pub(crate) const RELEASE: u32 = 18;
    pub(crate) const LISTXATTR: u32 = 23;
    pub(crate) const INIT: u32 = 26;
    pub(crate) const OPENDIR: u32 = 27;
    pub(crate) const READDIR: u32 = 28;
    pub(crate) const RELEASEDIR: u32 = 29;
    pub(crate) const CREATE: u32 = 35;
    pub(crate) const INTERRUPT: u32 = 36;
    pub(crate) const DESTROY: u32 = 38;
    pub(crate) const POLL: u32 = 40;
    pub(crate) const BATCH_FORGET: u32 = 42;
    pub(crate) const MKNOD: u32 = 8;
    pub(crate) const MKDIR: u32 = 9;
    pub(crate) const SYMLINK: u32 = 6;
    pub(crate) const UNLINK: u32 = 10;
    pub(crate) const RMDIR: u32 = 11;
    pub(crate) const RENAME: u32 = 12;
    pub(crate) const LINK: u32 = 13;
    pub(crate) const RENAME2: u32 = 45;
}

const INIT_ATOMIC_O_TRUNC: u32 = 1 << 3;
const INIT_BIG_WRITES: u32 = 1 << 5;
const INIT_PARALLEL_DIROPS: u32 = 1 << 18;
pub(super) const FOPEN_DIRECT_IO: u32 = 1;
/// Set on every read(2) of a direct_io file, never on a read for the page cache, that is of a mapping.
const READ_LOCKOWNER: u32 = 1 << 1;
pub(super) const SETATTR_MODE_OWNER: u32 = 0b111;

/// Reads little pieces of a request in order.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Errno> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(Errno::EIO)?;
        self.0 = tail;
        Ok(head)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Errno> {
        let bytes = self.take(4)?;
        Ok(u32::from_ne_bytes(
            bytes.try_into().map_err(|_| Errno::EIO)?,
        ))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Errno> {
        let bytes = self.take(8)?;
        Ok(u64::from_ne_bytes(
            bytes.try_into().map_err(|_| Errno::EIO)?,
        ))
    }

    /// A name that ends with a zero byte.
    pub(super) fn name(&mut self) -> Result<&'a [u8], Errno> {
        let end = self
            .0
            .iter()
            .position(|&byte| byte == 0)
            .ok_or(Errno::EIO)?;
        let name = self.take(end)?;
        self.take(1)?;
        Ok(name)
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }
}

/// One request, header decoded.
pub(super) struct Request<'a> {
    pub(super) opcode: u32,
    pub(super) unique: u64,
    pub(super) node: u64,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Thread id of the caller in the pid namespace of the mount.
    pub(super) tid: u32,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Request<'a>, Errno> {
        let mut fields = Fields(message);
        let length = fields.u32()? as usize;
        let opcode = fields.u32()?;
        let (unique, node) = (fields.u64()?, fields.u64()?);
        let (uid, gid, tid) = (fields.u32()?, fields.u32()?, fields.u32()?);
        fields.u32()?;
        if length != message.len() {
            return Err(Errno::EIO);
        }
        Ok(Request {
            opcode,
            unique,
            node,
            uid,
            gid,
            tid,
            body: fields.rest(),
        })
    }

    pub(super) fn fields(&self) -> Fields<'a> {
        Fields(self.body)
    }

    pub(super) fn has_no_reply(&self) -> bool {
        matches!(
            self.opcode,
            op::FORGET | op::BATCH_FORGET | op::INTERRUPT | op::DESTROY
        )
    }

    pub(super) fn read_arguments(&self) -> Result<ReadArguments, Errno> {
        let mut fields = self.fields();
        let (handle, offset) = (fields.u64()?, fields.u64()?);
        let (size, flags) = (fields.u32()?, fields.u32()?);
        Ok(ReadArguments {
            handle,
            offset,
            size: size as usize,
            mapped: flags & READ_LOCKOWNER == 0,
        })
    }
}

pub(super) struct ReadArguments {
    pub(super) handle: u64,
    pub(super) offset: u64,
    pub(super) size: usize,
    /// The page cache asks, on behalf of a mapping of the file (only meaningful for READ).
    pub(super) mapped: bool,
}

/// Builds the body of a reply.
#[derive(Default)]
pub(super) struct Body(Vec<u8>);

impl Body {
    pub(super) fn u16(mut self, value: u16) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub(super) fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub(super) fn zeros(mut self, count: usize) -> Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }

    pub(super) fn done(self) -> Vec<u8> {
        self.0
    }
}

/// For how many nanoseconds the host kernel may remember a name and the attributes behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) name_ns: u64,
    pub(super) attributes_ns: u64,
}

const SECOND_NS: u64 = 1_000_000_000;

impl Validity {
    /// Names that stay as they are while the mount lives.
    pub(super) const FIXED: Validity = Validity {
        name_ns: 3600 * SECOND_NS,
        attributes_ns: 3600 * SECOND_NS,
    };
    /// Nothing is remembered from one walk to the next. Within one walk the attributes are, so that they are not
    /// asked for again right after the name: an instant that the host kernel rounds up to a tick of its clock.
    pub(super) const WALK: Validity = Validity {
        name_ns: 0,
        attributes_ns: 1,
    };
    /// What everybody may read, below a name that is looked up in each walk.
    pub(super) const PUBLIC: Validity = Validity {
        name_ns: 3600 * SECOND_NS,
        attributes_ns: SECOND_NS,
    };
    /// What only the owner may read, likewise.
    pub(super) const OWNED: Validity = Validity {
        name_ns: 3600 * SECOND_NS,
        attributes_ns: 1,
    };
    pub(super) const SECOND: Validity = Validity {
        name_ns: SECOND_NS,
        attributes_ns: SECOND_NS,
    };
}

/// What stat(2) shows of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes {
    pub(super) node: u64,
    /// File type and permission bits.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) links: u32,
    pub(super) size: u64,
    pub(super) block_size: u32,
    pub(super) valid: Validity,
    /// Seconds since 1970.
    pub(super) time_s: u64,
}

impl Attributes {
    fn put(&self, body: Body) -> Body {
        body.u64(self.node)
            .u64(self.size)
            .u64(0)
            .u64(self.time_s)
            .u64(self.time_s)
            .u64(self.time_s)
            .zeros(12)
            .u32(self.mode)
            .u32(self.links)
            .u32(self.uid)
            .u32(self.gid)
            .u32(0)
            .u32(self.block_size)
            .u32(0)
    }

    pub(super) fn entry(&self) -> Vec<u8> {
        let Validity {
            name_ns,
            attributes_ns,
        } = self.valid;
        let head = Body::default()
            .u64(self.node)
            .u64(0)
            .u64(name_ns / SECOND_NS)
            .u64(attributes_ns / SECOND_NS);
        self.put(
            head.u32((name_ns % SECOND_NS) as u32)
                .u32((attributes_ns % SECOND_NS) as u32),
        )
        .done()
    }

    pub(super) fn reply(&self) -> Vec<u8> {
        let ns = self.valid.attributes_ns;
        self.put(
            Body::default()
                .u64(ns / SECOND_NS)
                .u32((ns % SECOND_NS) as u32)
                .zeros(4),
        )
        .done()
    }
}

/// One name of a directory listing.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) node: u64,
    /// DT_* of the node.
    pub(super) kind: u8,
}

/// Appends the items from `offset` on, as many as fit into `size` bytes.
pub(super) fn directory(items: &[Item], offset: u64, size: usize) -> Vec<u8> {
    let mut body = Body::default();
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    for (index, item) in items.iter().enumerate().skip(start) {
        let padded = item.name.len().next_multiple_of(8);
        if body.0.len() + 24 + padded > size {
            break;
        }
        body = body
            .u64(item.node)
            .u64(index as u64 + 1)
            .u32(item.name.len() as u32)
            .u32(u32::from(item.kind));
        body.0.extend_from_slice(item.name.as_bytes());
        body = body.zeros(padded - item.name.len());
    }
    body.done()
}

/// The answer to INIT.
pub(super) fn init(request: &Request<'_>) -> Result<Vec<u8>, Errno> {
    let mut fields = request.fields();
    let (major, _minor) = (fields.u32()?, fields.u32()?);
    let (readahead, offered) = (fields.u32()?, fields.u32()?);
    if major != 7 {
        return Err(Errno::EPROTO);
    }
    let wanted = INIT_ATOMIC_O_TRUNC | INIT_BIG_WRITES | INIT_PARALLEL_DIROPS;
    let body = Body::default()
        .u32(7)
        .u32(31)
        .u32(readahead)
        .u32(offered & wanted);
    Ok(body
        .u16(12)
        .u16(9)
        .u32(MAX_WRITE)
        .u32(1)
        .u16(0)
        .u16(0)
        .zeros(32)
        .done())
}

pub(super) fn opened(handle: u64, flags: u32) -> Vec<u8> {
    Body::default().u64(handle).u32(flags).u32(0).done()
}

/// The answer to LISTXATTR: the size of the list if that is asked, the empty list otherwise.
pub(super) fn no_attribute_names(request: &Request<'_>) -> Result<Vec<u8>, Errno> {
    match request.fields().u32()? {
        0 => Ok(Body::default().zeros(8).done()),
        _ => Ok(Vec::new()),
    }
}

pub(super) fn statfs() -> Vec<u8> {
    Body::default()
        .zeros(40)
        .u32(4096)
        .u32(255)
        .u32(4096)
        .zeros(28)
        .done()
}

/// Wakes who polls a file: `FUSE_NOTIFY_POLL`, with the host kernel's number for it. ENOENT: it is closed.
pub(super) fn wake_poll(device: &OwnedFd, waiter: u64) -> Result<(), Errno> {
    const NOTIFY_POLL: u32 = 1;
    let message = Body::default()
        .u32(24)
        .u32(NOTIFY_POLL)
        .u64(0)
        .u64(waiter)
        .done();
    match nix::unistd::write(device, &message) {
        Ok(_) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Sends one reply. ENOENT means that the caller was killed meanwhile and is no error.
pub(super) fn send(
    device: BorrowedFd<'_>,
    unique: u64,
    reply: Result<&[u8], Errno>,
) -> Result<(), Errno> {
    let (error, body) = match reply {
        Ok(body) => (0, body),
        Err(errno) => (-(errno as i32), &[][..]),
    };
    let head = Body::default()
        .u32(16 + body.len() as u32)
        .u32(error as u32)
        .u64(unique)
        .done();
    match nix::sys::uio::writev(device, &[IoSlice::new(&head), IoSlice::new(body)]) {
        Ok(_) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}
