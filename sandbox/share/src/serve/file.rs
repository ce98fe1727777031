//! Open files and their content.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use caisson_wire::share::Coherence;
use rustix::buffer::spare_capacity;
use rustix::fs::{FallocateFlags, Mode, OFlags, SeekFrom, openat};
use rustix::io::{Errno, ReadWriteFlags};

use crate::handle::Handle;
use crate::identity;
use crate::node::Node;
use crate::nodes::Place;
use crate::protocol::{Fields, ROOT, Reply, Request};
use crate::server::Server;

/// `FOPEN_KEEP_CACHE`: what the guest has read before it was opened is still true, unless its times have changed.
const KEEP_CACHE: u32 = 1 << 1;

/// `FUSE_OPEN_KILL_SUIDGID`, of `open_flags` in OPEN and CREATE.
const OPEN_KILL_SUIDGID: u32 = 1 << 0;
/// `FUSE_WRITE_CACHE`: pages of a mapping are written back.
const WRITE_CACHE: u32 = 1 << 0;
/// `FUSE_WRITE_KILL_SUIDGID`.
const WRITE_KILL_SUIDGID: u32 = 1 << 2;

/// What of open(2)'s flags means something to the server. Not `O_APPEND`, which each write says anew, nor `O_DIRECT`,
/// which is about the guest's memory.
fn flags_of(guest: u32) -> OFlags {
    let known = OFlags::RWMODE
        | OFlags::TRUNC
        | OFlags::SYNC
        | OFlags::DSYNC
        | OFlags::NOATIME
        | OFlags::NONBLOCK;
    OFlags::from_bits_retain(guest) & known
}

/// The fields that requests on a handle begin with.
fn handle_and_offset(fields: &mut Fields<'_>) -> Result<(u64, u64), Errno> {
    Ok((fields.u64()?, fields.u64()?))
}

impl Server {
    pub(crate) fn open(&self, request: &Request<'_>, reply: &mut Reply) -> Result<(), Errno> {
        let mut fields = request.fields();
        let (flags, open_flags) = (fields.u32()?, fields.u32()?);
        let node = self.file(request.node)?;
        if node.is_directory() {
            return Err(Errno::ISDIR);
        }
        self.open_node(node, flags_of(flags), open_flags, reply)
    }

    fn open_node(
        &self,
        node: Arc<Node>,
        flags: OFlags,
        open_flags: u32,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        let fd = if open_flags & OPEN_KILL_SUIDGID != 0 {
            identity::without_fsetid(|| node.open(flags))?
        } else {
            node.open(flags)?
        };
        let coherence = node.coherence;
        opened(self.handles.add(fd, node)?, coherence, reply);
        Ok(())
    }

    pub(crate) fn create(&self, request: &Request<'_>, reply: &mut Reply) -> Result<(), Errno> {
        let mut fields = request.fields();
        let (guest_flags, mode) = (fields.u32()?, fields.u32()?);
        let (_umask, open_flags) = (fields.u32()?, fields.u32()?);
        let name = fields.name()?;
        let parent = self.file(request.node)?;
        let flags = flags_of(guest_flags);
        // What is there already, which may be anything, is opened as OPEN does.
        let new = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(mode & 0o7777);
        match openat(parent.fd(), name, new, mode) {
            Ok(fd) => self.tell_open(fd, &parent, Some(Place::new(request.node, name)), reply),
            Err(Errno::EXIST) if !OFlags::from_bits_retain(guest_flags).contains(OFlags::EXCL) => {
                let (node, stat) = parent.child(name)?;
                if node.is_directory() {
                    return Err(Errno::ISDIR);
                }
                // Told first: a node that cannot be told must not be opened, which may truncate it.
                let attributes = self.told(&node, Some(&parent), stat);
                let number = self
                    .nodes
                    .tell(node, Some(Place::new(request.node, name)))?;
                let node = self.nodes.find(number)?;
                attributes.entry(number, reply);
                let outcome = self.open_node(node, flags, open_flags, reply);
                if outcome.is_err() {
                    self.nodes.forget(number, 1);
                }
                outcome
            }
            Err(errno) => Err(errno),
        }
    }

    /// A file without a name, `O_TMPFILE`; it may be given one by LINK.
    pub(crate) fn tmpfile(&self, request: &Request<'_>, reply: &mut Reply) -> Result<(), Errno> {
        let mut fields = request.fields();
        let (guest_flags, mode) = (fields.u32()?, fields.u32()?);
        let parent = self.file(request.node)?;
        let kept = OFlags::from_bits_retain(guest_flags) & OFlags::EXCL;
        let flags = flags_of(guest_flags) | kept | OFlags::TMPFILE | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(mode & 0o7777);
        let fd = openat(parent.fd(), c".", flags, mode)?;
        self.tell_open(fd, &parent, None, reply)
    }

    /// The answer that names a file which was made open.
    fn tell_open(
        &self,
        fd: OwnedFd,
        parent: &Node,
        place: Option<Place>,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        let (node, stat) = Node::of_open(&fd, parent.coherence)?;
        let attributes = self.told(&node, Some(parent), stat);
        let number = self.nodes.tell(node, place)?;
        attributes.entry(number, reply);
        let node = self.nodes.find(number);
        match node.and_then(|node| self.handles.add(fd, node)) {
            Ok(handle) => {
                opened(handle, parent.coherence, reply);
                Ok(())
            }
            Err(errno) => {
                self.nodes.forget(number, 1);
                Err(errno)
            }
        }
    }

    pub(crate) fn release(&self, request: &Request<'_>) -> Result<(), Errno> {
        self.handles.close(request.fields().u64()?);
        Ok(())
    }

    pub(crate) fn read(&self, request: &Request<'_>, reply: &mut Reply) -> Result<(), Errno> {
        let mut fields = request.fields();
        let (handle, offset) = handle_and_offset(&mut fields)?;
        let size = fields.u32()? as usize;
        let handle = self.handles.find(handle)?;
        let size = size.min(reply.room_left());
        let buffer = reply.buffer();
        buffer.reserve_exact(size);
        let before = buffer.len();
        rustix::io::pread(&handle.fd, spare_capacity(buffer), offset)?;
        // The allocator may have reserved more.
        buffer.truncate(before + size);
        Ok(())
    }

    pub(crate) fn write(&self, request: &Request<'_>, reply: &mut Reply) -> Result<(), Errno> {
        let mut fields = request.fields();
        let (handle, offset) = handle_and_offset(&mut fields)?;
        let (size, write_flags) = (fields.u32()?, fields.u32()?);
        let (_lock_owner, flags, _padding) = (fields.u64()?, fields.u32()?, fields.u32()?);
        let data = fields.take(size as usize)?;
        let handle = self.handles.find(handle)?;
        let append = OFlags::from_bits_retain(flags).contains(OFlags::APPEND)
            && write_flags & WRITE_CACHE == 0;
        let act = || write_at(&handle, data, offset, append);
        let written = if write_flags & WRITE_KILL_SUIDGID != 0 {
            identity::without_fsetid(act)?
        } else {
            act()?
        };
        reply.u32(written as u32).u32(0);
        Ok(())
    }

    pub(crate) fn fsync(&self, request: &Request<'_>) -> Result<(), Errno> {
        /// `FUSE_FSYNC_FDATASYNC`.
        const DATA_ONLY: u32 = 1 << 0;
        let mut fields = request.fields();
        let (handle, flags) = (fields.u64()?, fields.u32()?);
        let handle = self.handles.find(handle)?;
        if flags & DATA_ONLY != 0 {
            rustix::fs::fdatasync(&handle.fd)
        } else {
            rustix::fs::fsync(&handle.fd)
        }
    }

    pub(crate) fn fallocate(&self, request: &Request<'_>) -> Result<(), Errno> {
        let mut fields = request.fields();
        let (handle, offset) = handle_and_offset(&mut fields)?;
        let (length, mode) = (fields.u64()?, fields.u32()?);
        let mode = FallocateFlags::from_bits(mode).ok_or(Errno::OPNOTSUPP)?;
        let handle = self.handles.find(handle)?;
        rustix::fs::fallocate(&handle.fd, mode, offset, length)
    }

    /// SEEK_DATA and SEEK_HOLE; the guest's kernel does the others by itself.
    pub(crate) fn lseek(&self, request: &Request<'_>, reply: &mut Reply) -> Result<(), Errno> {
        const DATA: u32 = 3;
        const HOLE: u32 = 4;
        let mut fields = request.fields();
        let (handle, offset) = handle_and_offset(&mut fields)?;
        let to = match fields.u32()? {
            DATA => SeekFrom::Data(offset),
            HOLE => SeekFrom::Hole(offset),
            _ => return Err(Errno::INVAL),
        };
        let handle = self.handles.find(handle)?;
        reply.u64(rustix::fs::seek(&handle.fd, to)?);
        Ok(())
    }

    pub(crate) fn copy_file_range(
        &self,
        request: &Request<'_>,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        /// Not so much that a request takes seconds.
        const MOST: u64 = 64 << 20;
        let mut fields = request.fields();
        let (from, mut from_offset) = handle_and_offset(&mut fields)?;
        let (_node, to, mut to_offset) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let (length, _flags) = (fields.u64()?, fields.u64()?);
        let (from, to) = (self.handles.find(from)?, self.handles.find(to)?);
        let length = usize::try_from(length.min(MOST)).map_err(|_| Errno::INVAL)?;
        let copied = rustix::fs::copy_file_range(
            &from.fd,
            Some(&mut from_offset),
            &to.fd,
            Some(&mut to_offset),
            length,
        )?;
        reply.u32(copied as u32).u32(0);
        Ok(())
    }

    pub(crate) fn opendir(&self, request: &Request<'_>, reply: &mut Reply) -> Result<(), Errno> {
        if request.node == ROOT {
            // Its listing has no state.
            opened(0, Coherence::Live, reply);
            return Ok(());
        }
        let node = self.file(request.node)?;
        let fd = node.open(OFlags::RDONLY | OFlags::DIRECTORY)?;
        // Names come and go without the guest's doing.
        opened(self.handles.add(fd, node)?, Coherence::Live, reply);
        Ok(())
    }
}

/// `struct fuse_open_out`.
fn opened(handle: u64, coherence: Coherence, reply: &mut Reply) {
    let flags = match coherence {
        Coherence::Live => 0,
        Coherence::Own => KEEP_CACHE,
    };
    reply.u64(handle).u32(flags).u32(0);
}

fn write_at(handle: &Arc<Handle>, data: &[u8], offset: u64, append: bool) -> Result<usize, Errno> {
    if append {
        let piece = [std::io::IoSlice::new(data)];
        return rustix::io::pwritev2(&handle.fd, &piece, offset, ReadWriteFlags::APPEND);
    }
    rustix::io::pwrite(&handle.fd, data, offset)
}
