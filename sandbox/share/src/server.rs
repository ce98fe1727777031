//! One guest's view of the shares: which request is served by what.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use caisson_wire::share::{AnswerHeader, Coherence, Order, RequestHeader};
use rustix::io::Errno;

use crate::handle::Handles;
use crate::identity;
use crate::node::Node;
use crate::nodes::Nodes;
use crate::protocol::{self, Attributes, Reply, Request, Stat, op};

/// The state that all threads of the server work on.
pub struct Server {
    pub(crate) nodes: Nodes,
    pub(crate) handles: Handles,
    /// Names in the root, and the nodes behind them.
    pub(crate) shares: Mutex<BTreeMap<Vec<u8>, u64>>,
    /// Whether the guest has asked to be told where other file systems begin. One that has not takes a directory that is
    /// marked so for another than the one that it knows.
    submounts: AtomicBool,
}

/// Why a share was not made.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    #[error("share \"{0}\": its name cannot be one")]
    Name(String),
    #[error("share \"{0}\" is there already")]
    Exists(String),
    #[error("share \"{0}\" does not exist")]
    Missing(String),
    #[error("share \"{name}\": {source}")]
    Node { name: String, source: Errno },
}

impl Server {
    /// A server that keeps at most `descriptors` descriptors open.
    #[must_use]
    pub fn new(descriptors: usize) -> Server {
        // Sockets, standard error, the working directory and what a request opens for its own time.
        const SPARE: usize = 64;
        let descriptors = descriptors.saturating_sub(SPARE);
        // What is open needs one of each.
        Server {
            nodes: Nodes::new(descriptors / 2),
            handles: Handles::new(descriptors / 2),
            shares: Mutex::default(),
            submounts: AtomicBool::new(false),
        }
    }

    pub(crate) fn lock_shares(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, u64>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out an order; `root` came with it.
    ///
    /// # Errors
    /// When the name is wrong or what came with it cannot be shared.
    pub fn obey(&self, order: Order, root: Option<OwnedFd>) -> Result<(), ShareError> {
        match order {
            Order::Add { name, coherence } => self.add(name, coherence, root),
            Order::Remove { name } => {
                let number = self.lock_shares().remove(name.as_bytes());
                self.nodes.unpin(number.ok_or(ShareError::Missing(name))?);
                Ok(())
            }
        }
    }

    fn add(
        &self,
        name: String,
        coherence: Coherence,
        root: Option<OwnedFd>,
    ) -> Result<(), ShareError> {
        let wrong = name.is_empty() || name.len() > 255 || name.contains(['/', '\0']);
        if wrong || name == "." || name == ".." {
            return Err(ShareError::Name(name));
        }
        let mut shares = self.lock_shares();
        if shares.contains_key(name.as_bytes()) {
            return Err(ShareError::Exists(name));
        }
        let pinned = root.ok_or(Errno::BADF).and_then(|root| {
            let (node, _) = Node::new(root, coherence)?;
            self.nodes.pin(node)
        });
        match pinned {
            Ok(number) => {
                shares.insert(name.into_bytes(), number);
                Ok(())
            }
            Err(source) => Err(ShareError::Node { name, source }),
        }
    }

    /// Serves one packet of the monitor's and returns the answer to be sent, made in `buffer`. `None` for a packet that
    /// does not even have a header, which the monitor never sends.
    #[must_use]
    pub fn serve(&self, packet: &[u8], buffer: Vec<u8>) -> Option<Vec<u8>> {
        let (header, message) = RequestHeader::split(packet)?;
        let answer = AnswerHeader { tag: header.tag };
        let mut reply = Reply::new(buffer, &answer.to_bytes(), header.room as usize);
        if let Some(request) = Request::parse(message) {
            reply.open();
            let outcome = self.dispatch(&request, &mut reply);
            let fits = reply.finish(request.unique, outcome);
            // What the guest has no room for it does not wait for.
            if !fits || !request.wants_answer() {
                reply.abandon();
            }
        }
        Some(reply.into_buffer())
    }

    fn dispatch(&self, request: &Request<'_>, reply: &mut Reply) -> Result<(), Errno> {
        match request.opcode {
            // No names and no new files: whose request it is does not matter.
            op::INIT => {
                self.nodes.clear();
                self.handles.clear();
                let agreed = protocol::init(request, reply)?;
                self.submounts.store(agreed.submounts, Ordering::Relaxed);
                return Ok(());
            }
            op::DESTROY => {
                self.nodes.clear();
                self.handles.clear();
                return Ok(());
            }
            op::INTERRUPT => return Ok(()),
            op::FORGET => return self.forget(request),
            op::BATCH_FORGET => return self.forget_many(request),
            op::READ => return self.read(request, reply),
            op::WRITE => return self.write(request, reply),
            op::RELEASE | op::RELEASEDIR => return self.release(request),
            op::GETATTR => return self.getattr(request, reply),
            _ => {}
        }
        identity::assume(request.uid, request.gid);
        match request.opcode {
            op::LOOKUP => self.lookup(request, reply),
            op::SETATTR => self.setattr(request, reply),
            op::READLINK => self.readlink(request, reply),
            op::SYMLINK => self.symlink(request, reply),
            op::MKNOD => self.mknod(request, reply),
            op::MKDIR => self.mkdir(request, reply),
            op::UNLINK => self.unlink(request),
            op::RMDIR => self.rmdir(request),
            op::RENAME => self.rename(request),
            op::RENAME2 => self.rename2(request),
            op::LINK => self.link(request, reply),
            op::OPEN => self.open(request, reply),
            op::CREATE => self.create(request, reply),
            op::TMPFILE => self.tmpfile(request, reply),
            op::STATFS => self.statfs(request, reply),
            op::FSYNC | op::FSYNCDIR => self.fsync(request),
            op::SETXATTR => self.setxattr(request),
            op::GETXATTR => self.getxattr(request, reply),
            op::LISTXATTR => self.listxattr(request, reply),
            op::REMOVEXATTR => self.removexattr(request),
            op::OPENDIR => self.opendir(request, reply),
            op::READDIR => self.readdir(request, reply),
            op::READDIRPLUS => self.readdirplus(request, reply),
            op::FALLOCATE => self.fallocate(request),
            op::LSEEK => self.lseek(request, reply),
            op::COPY_FILE_RANGE => self.copy_file_range(request, reply),
            // FLUSH, ACCESS, IOCTL, POLL, locks and others: the guest's kernel does without, or by itself.
            _ => Err(Errno::NOSYS),
        }
    }

    /// What the guest is told of a node as a child of `parent`, or of the root.
    pub(crate) fn told(&self, node: &Node, parent: Option<&Node>, stat: Stat) -> Attributes {
        let mut attributes = node.attributes_below(parent, stat);
        attributes.submount &= self.submounts.load(Ordering::Relaxed);
        attributes
    }

    /// A node that is a file of the host, which the root is not.
    pub(crate) fn file(&self, number: u64) -> Result<Arc<Node>, Errno> {
        if number == protocol::ROOT {
            // Nothing is made, changed or removed there by the guest.
            return Err(Errno::ROFS);
        }
        self.nodes.find(number)
    }
}
