//! Names in directories: looked up, made, moved and removed.

use caisson_wire::share::Coherence;
use rustix::fs::{AtFlags, CWD, FileType, Mode, RenameFlags, makedev};
use rustix::io::Errno;

use crate::node::Node;
use crate::nodes::Place;
use crate::protocol::{ROOT, Reply, Request, decode_device};
use crate::server::Server;

impl Server {
    pub(crate) fn lookup(&self, request: &Request<'_>, reply: &mut Reply) -> Result<(), Errno> {
        let name = request.fields().name()?;
        if request.node == ROOT {
            return self.lookup_share(name, reply);
        }
        let parent = self.file(request.node)?;
        match self.tell_child((request.node, &parent), name, reply) {
            // For as long as a name that is there.
            Err(Errno::NOENT) if parent.coherence == Coherence::Own => {
                parent.valid().absence(reply);
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn lookup_share(&self, name: &[u8], reply: &mut Reply) -> Result<(), Errno> {
        let number = *self.lock_shares().get(name).ok_or(Errno::NOENT)?;
        let node = self.nodes.tell_again(number)?;
        let attributes = node.attributes()?;
        let attributes = self.told(&node, None, attributes.stat);
        attributes.entry(number, reply);
        Ok(())
    }

    /// The answer that names what `name` is in `parent`, which has that number.
    pub(crate) fn tell_child(
        &self,
        (number, parent): (u64, &Node),
        name: &[u8],
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        let (node, stat) = parent.child(name)?;
        let attributes = self.told(&node, Some(parent), stat);
        let number = self.nodes.tell(node, Some(Place::new(number, name)))?;
        attributes.entry(number, reply);
        Ok(())
    }

    pub(crate) fn forget(&self, request: &Request<'_>) -> Result<(), Errno> {
        self.nodes.forget(request.node, request.fields().u64()?);
        Ok(())
    }

    pub(crate) fn forget_many(&self, request: &Request<'_>) -> Result<(), Errno> {
        let mut fields = request.fields();
        let (count, _) = (fields.u32()?, fields.u32()?);
        // As many as there really are: the fields end before a count that lies does.
        for _ in 0..count {
            let (node, lookups) = (fields.u64()?, fields.u64()?);
            self.nodes.forget(node, lookups);
        }
        Ok(())
    }

    pub(crate) fn mknod(&self, request: &Request<'_>, reply: &mut Reply) -> Result<(), Errno> {
        let mut fields = request.fields();
        let (mode, device) = (fields.u32()?, fields.u32()?);
        let (_umask, _padding) = (fields.u32()?, fields.u32()?);
        let name = fields.name()?;
        let parent = self.file(request.node)?;
        let kind = FileType::from_raw_mode(mode);
        let (major, minor) = decode_device(device);
        let device = makedev(major, minor);
        rustix::fs::mknodat(parent.fd(), name, kind, Mode::from_raw_mode(mode), device)?;
        self.tell_child((request.node, &parent), name, reply)
    }

    pub(crate) fn mkdir(&self, request: &Request<'_>, reply: &mut Reply) -> Result<(), Errno> {
        let mut fields = request.fields();
        let (mode, _umask) = (fields.u32()?, fields.u32()?);
        let name = fields.name()?;
        let parent = self.file(request.node)?;
        rustix::fs::mkdirat(parent.fd(), name, Mode::from_raw_mode(mode))?;
        self.tell_child((request.node, &parent), name, reply)
    }

    pub(crate) fn symlink(&self, request: &Request<'_>, reply: &mut Reply) -> Result<(), Errno> {
        let mut fields = request.fields();
        let name = fields.name()?;
        let target = fields.string()?;
        let parent = self.file(request.node)?;
        rustix::fs::symlinkat(target, parent.fd(), name)?;
        self.tell_child((request.node, &parent), name, reply)
    }

    pub(crate) fn link(&self, request: &Request<'_>, reply: &mut Reply) -> Result<(), Errno> {
        let mut fields = request.fields();
        let old = self.file(fields.u64()?)?;
        let name = fields.name()?;
        let parent = self.file(request.node)?;
        let follow = AtFlags::SYMLINK_FOLLOW;
        rustix::fs::linkat(CWD, old.path(), parent.fd(), name, follow)?;
        self.tell_child((request.node, &parent), name, reply)
    }

    pub(crate) fn unlink(&self, request: &Request<'_>) -> Result<(), Errno> {
        self.remove(request, AtFlags::empty())
    }

    pub(crate) fn rmdir(&self, request: &Request<'_>) -> Result<(), Errno> {
        self.remove(request, AtFlags::REMOVEDIR)
    }

    fn remove(&self, request: &Request<'_>, flags: AtFlags) -> Result<(), Errno> {
        let name = request.fields().name()?;
        rustix::fs::unlinkat(self.file(request.node)?.fd(), name, flags)?;
        self.nodes.removed(&Place::new(request.node, name));
        Ok(())
    }

    pub(crate) fn rename(&self, request: &Request<'_>) -> Result<(), Errno> {
        let mut fields = request.fields();
        let to = fields.u64()?;
        let names = (fields.name()?, fields.name()?);
        self.move_name((request.node, to), names, RenameFlags::empty())
    }

    pub(crate) fn rename2(&self, request: &Request<'_>) -> Result<(), Errno> {
        let mut fields = request.fields();
        let to = fields.u64()?;
        let (flags, _padding) = (fields.u32()?, fields.u32()?);
        let names = (fields.name()?, fields.name()?);
        let flags = RenameFlags::from_bits(flags).ok_or(Errno::INVAL)?;
        self.move_name((request.node, to), names, flags)
    }

    fn move_name(
        &self,
        (from, to): (u64, u64),
        (old, new): (&[u8], &[u8]),
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let (source, target) = (self.file(from)?, self.file(to)?);
        if flags.is_empty() {
            rustix::fs::renameat(source.fd(), old, target.fd(), new)?;
        } else {
            rustix::fs::renameat_with(source.fd(), old, target.fd(), new, flags)?;
        }
        let exchanged = flags.contains(RenameFlags::EXCHANGE);
        let (old, new) = (Place::new(from, old), Place::new(to, new));
        self.nodes.moved(&old, &new, exchanged);
        Ok(())
    }

    pub(crate) fn readlink(&self, request: &Request<'_>, reply: &mut Reply) -> Result<(), Errno> {
        let node = self.file(request.node)?;
        if !node.is_symlink() {
            return Err(Errno::INVAL);
        }
        let target = rustix::fs::readlinkat(node.fd(), c"", Vec::new())?;
        reply.put(target.as_bytes());
        Ok(())
    }
}
