//! Listings of directories.

use std::mem::MaybeUninit;
use std::sync::PoisonError;

use rustix::fs::{FileType, RawDir, SeekFrom, seek};
use rustix::io::Errno;

use crate::node::Node;
use crate::protocol::{ENTRY_BYTES, ROOT, Reply, Request, dirent, dirent_bytes};
use crate::server::Server;

/// What the host is asked for at a time, at the most.
const CHUNK_BYTES: usize = 16 << 10;

/// The least that it can be asked for: a record of getdents64(2) with a name of NAME_MAX bytes, and its alignment.
const RECORD_BYTES: usize = 288;

/// The shortest record of getdents64(2).
const SHORTEST_BYTES: usize = 24;

/// One name of a listing.
struct Item<'a> {
    inode: u64,
    /// The offset of what follows.
    next: u64,
    kind: FileType,
    name: &'a [u8],
}

impl Server {
    pub(crate) fn readdir(&self, request: &Request<'_>, reply: &mut Reply) -> Result<(), Errno> {
        let growth = dirent_bytes(b".").div_ceil(SHORTEST_BYTES);
        self.list(request, reply, growth, |_, item, reply, end| {
            if reply.len() + dirent_bytes(item.name) > end {
                return Ok(false);
            }
            dirent(item.inode, item.next, kind(item.kind), item.name, reply);
            Ok(true)
        })
    }

    /// With what a lookup of each name would answer, and counted as one.
    pub(crate) fn readdirplus(
        &self,
        request: &Request<'_>,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        let growth = (ENTRY_BYTES + dirent_bytes(b".")).div_ceil(SHORTEST_BYTES);
        self.list(request, reply, growth, |parent, item, reply, end| {
            let before = reply.len();
            if before + ENTRY_BYTES + dirent_bytes(item.name) > end {
                return Ok(false);
            }
            let dots = item.name == b"." || item.name == b"..";
            let told = match parent {
                Some(parent) if !dots => self.tell_child((request.node, parent), item.name, reply),
                _ => Err(Errno::NOENT),
            };
            if told.is_err() {
                // Number 0: the guest is to look it up when it needs to.
                reply.truncate(before);
                reply.zeros(ENTRY_BYTES);
            }
            dirent(item.inode, item.next, kind(item.kind), item.name, reply);
            Ok(true)
        })
    }

    /// Puts names into the answer until `put` has no room for one. `growth` is how many times longer than the host's a
    /// record of the answer can be: the host is asked for no more than fits, because what it told and the guest was
    /// not told would have to be sought again, and offsets of some file systems (tmpfs before Linux 6.6) are those
    /// of another name once a name before it is removed.
    fn list(
        &self,
        request: &Request<'_>,
        reply: &mut Reply,
        growth: usize,
        mut put: impl FnMut(Option<&Node>, &Item<'_>, &mut Reply, usize) -> Result<bool, Errno>,
    ) -> Result<(), Errno> {
        let mut fields = request.fields();
        let (handle, offset) = (fields.u64()?, fields.u64()?);
        let size = fields.u32()? as usize;
        let start = reply.len();
        let end = start + size.min(reply.room_left());
        if request.node == ROOT {
            return self.list_shares(offset, reply, end, &mut put);
        }
        let node = self.file(request.node)?;
        let handle = self.handles.find(handle)?;
        // One reader at a time: the descriptor has one position.
        let mut position = handle
            .position
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *position != Some(offset) {
            seek(&handle.fd, SeekFrom::Start(offset))?;
        }
        *position = None;
        let mut space = vec![MaybeUninit::uninit(); CHUNK_BYTES];
        let mut reached = offset;
        loop {
            let fits = (end - reply.len()) / growth;
            if fits < RECORD_BYTES && reply.len() > start {
                break;
            }
            let chunk = &mut space[..fits.clamp(RECORD_BYTES, CHUNK_BYTES)];
            let mut names = RawDir::new(&handle.fd, chunk);
            let mut told = false;
            while let Some(name) = names.next() {
                let name = name?;
                let item = Item {
                    inode: name.ino(),
                    next: name.next_entry_cookie(),
                    kind: name.file_type(),
                    name: name.file_name().to_bytes(),
                };
                if !put(Some(&node), &item, reply, end)? {
                    if reply.len() == start {
                        // Not even one: the guest must not take it for the end.
                        return Err(Errno::INVAL);
                    }
                    // The descriptor is ahead of what was told.
                    return Ok(());
                }
                told = true;
                reached = item.next;
                if names.is_buffer_empty() {
                    break;
                }
            }
            if !told {
                break;
            }
        }
        *position = Some(reached);
        Ok(())
    }

    fn list_shares(
        &self,
        offset: u64,
        reply: &mut Reply,
        end: usize,
        put: &mut impl FnMut(Option<&Node>, &Item<'_>, &mut Reply, usize) -> Result<bool, Errno>,
    ) -> Result<(), Errno> {
        let shares = self.lock_shares();
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        for (index, (name, number)) in (1..).zip(shares.iter()).skip(skipped) {
            let item = Item {
                inode: *number,
                next: index,
                kind: FileType::Unknown,
                name,
            };
            if !put(None, &item, reply, end)? {
                break;
            }
        }
        Ok(())
    }
}

/// `DT_*` of linux/fs_types.h.
fn kind(kind: FileType) -> u32 {
    match kind {
        FileType::Unknown => 0,
        known => known.as_raw_mode() >> 12,
    }
}
