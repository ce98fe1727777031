//! Extended attributes. The host's kernel decides which there are; the server may set no `trusted` ones.

use rustix::fs::{
    XattrFlags, getxattr, getxattr_query, listxattr, listxattr_query, removexattr, setxattr,
};
use rustix::io::Errno;

use crate::protocol::{Reply, Request};
use crate::server::Server;

/// Linux's XATTR_SIZE_MAX and XATTR_LIST_MAX.
const MAX_BYTES: usize = 64 << 10;

impl Server {
    pub(crate) fn setxattr(&self, request: &Request<'_>) -> Result<(), Errno> {
        let mut fields = request.fields();
        let (size, flags) = (fields.u32()?, fields.u32()?);
        let name = fields.string()?;
        let value = fields.take(size as usize)?;
        let flags = XattrFlags::from_bits(flags).ok_or(Errno::INVAL)?;
        setxattr(self.file(request.node)?.path(), name, value, flags)
    }

    pub(crate) fn getxattr(&self, request: &Request<'_>, reply: &mut Reply) -> Result<(), Errno> {
        let mut fields = request.fields();
        let (size, _padding) = (fields.u32()?, fields.u32()?);
        let name = fields.string()?;
        let path = self.file(request.node)?.path();
        if size == 0 {
            return answer_size(getxattr_query(&path, name)?, reply);
        }
        answer(size, reply, |buffer| getxattr(&path, name, buffer))
    }

    pub(crate) fn listxattr(&self, request: &Request<'_>, reply: &mut Reply) -> Result<(), Errno> {
        let size = request.fields().u32()?;
        let path = self.file(request.node)?.path();
        if size == 0 {
            return answer_size(listxattr_query(&path)?, reply);
        }
        answer(size, reply, |buffer| listxattr(&path, buffer))
    }

    pub(crate) fn removexattr(&self, request: &Request<'_>) -> Result<(), Errno> {
        let name = request.fields().string()?;
        removexattr(self.file(request.node)?.path(), name)
    }
}

/// For a guest that has no room: `struct fuse_getxattr_out`.
fn answer_size(size: usize, reply: &mut Reply) -> Result<(), Errno> {
    reply.u32(size as u32).u32(0);
    Ok(())
}

/// What was read, of at most `size` bytes and not none.
fn answer(
    size: u32,
    reply: &mut Reply,
    read: impl FnOnce(&mut [u8]) -> Result<usize, Errno>,
) -> Result<(), Errno> {
    let room = (size as usize).min(MAX_BYTES).min(reply.room_left());
    let before = reply.len();
    reply.zeros(room);
    let length = read(&mut reply.buffer()[before..])?;
    reply.truncate(before + length);
    Ok(())
}
