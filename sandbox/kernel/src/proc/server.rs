//! Answers the requests of one FUSE mount.
//!
//! Two threads read requests, one at a time works on them: whoever finds the other at work leaves the
//! request in the queue and goes back to reading. The second reader is there for one case. Making
//! /proc/PID/cmdline reads the guest's memory, and a guest can map a file of this very mount there; the
//! page fault then waits for us. Such reads (they come from the page cache) are refused at once by whichever thread
//! reads them, so the worker never waits for itself.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use nix::errno::Errno;

use super::tree::{Access, Caller, Opener, Tree};
use super::wire::{self, Item, Request, op};

/// Contents kept for open files together; beyond this they are made anew for every read.
const KEPT_BYTES: usize = 8 << 20;

/// One serving thread as seen from outside.
#[derive(Debug, Default)]
pub(super) struct Worker {
    /// Host thread id, 0 until it runs.
    tid: AtomicI32,
    settled: AtomicBool,
}

impl Worker {
    pub(super) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// Interrupts the thread where it waits for a request, upon which it settles.
    pub(super) fn wake(&self) {
        match self.tid.load(Ordering::Acquire) {
            0 => {}
            tid => caisson_sys::signal::wake_thread(tid),
        }
    }
}

pub(super) struct Server<T> {
    pub(super) device: OwnedFd,
    pub(super) tree: T,
    turn: Mutex<Turn>,
    pub(super) handles: Mutex<Handles>,
    pub(super) own: Weak<Server<T>>,
    /// A thread tells those who poll.
    pub(super) is_told: Mutex<bool>,
}

/// Who works, and what waits for it.
#[derive(Default)]
struct Turn {
    working: bool,
    waiting: VecDeque<Vec<u8>>,
}

#[derive(Default)]
pub(super) struct Handles {
    next: u64,
    kept: usize,
    pub(super) open: HashMap<u64, Handle>,
}

pub(super) enum Handle {
    File {
        node: u64,
        opener: Opener,
        content: Option<Vec<u8>>,
        /// The news of mounts that its readers know of.
        seen: u64,
        /// The host kernel's number for who polls it.
        waiter: Option<u64>,
    },
    Directory {
        node: u64,
        items: Vec<Item>,
    },
}

pub(super) fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Tree> Server<T> {
    pub(super) fn new(device: OwnedFd, tree: T) -> Arc<Server<T>> {
        Arc::new_cyclic(|own| Server {
            device,
            tree,
            turn: Mutex::default(),
            handles: Mutex::default(),
            own: own.clone(),
            is_told: Mutex::default(),
        })
    }

    /// Serves until the mount is gone.
    pub(super) fn run(&self, worker: &Worker) {
        worker
            .tid
            .store(nix::unistd::gettid().as_raw(), Ordering::Release);
        let mut buffer = vec![0; wire::REQUEST_BUFFER];
        loop {
            let length = match nix::unistd::read(&self.device, &mut buffer) {
                Ok(length) => length,
                Err(Errno::EINTR | Errno::EAGAIN | Errno::ENOENT) => {
                    self.settle(worker);
                    continue;
                }
                // ENODEV: unmounted.
                Err(_) => return,
            };
            let message = &buffer[..length];
            if self.refuse_mapped_read(message) {
                continue;
            }
            {
                let mut turn = lock(&self.turn);
                if turn.working {
                    turn.waiting.push_back(message.to_vec());
                    continue;
                }
                turn.working = true;
            }
            self.settle(worker);
            self.answer(message);
            while let Some(message) = self.next_waiting() {
                self.settle(worker);
                self.answer(&message);
            }
        }
    }

    fn settle(&self, worker: &Worker) {
        if !worker.is_settled() && self.tree.settle() {
            worker.settled.store(true, Ordering::Release);
        }
    }

    fn next_waiting(&self) -> Option<Vec<u8>> {
        let mut turn = lock(&self.turn);
        let next = turn.waiting.pop_front();
        turn.working = next.is_some();
        next
    }

    fn refuse_mapped_read(&self, message: &[u8]) -> bool {
        let Ok(request) = Request::parse(message) else {
            return false;
        };
        let mapped =
            request.opcode == op::READ && request.read_arguments().is_ok_and(|read| read.mapped);
        if mapped {
            let _ = wire::send(self.device.as_fd(), request.unique, Err(Errno::EIO));
        }
        mapped
    }

    fn answer(&self, message: &[u8]) {
        let Ok(request) = Request::parse(message) else {
            return;
        };
        if request.has_no_reply() {
            return;
        }
        let reply = self.serve(&request);
        let sent = wire::send(
            self.device.as_fd(),
            request.unique,
            reply.as_deref().map_err(|errno| *errno),
        );
        if let Err(errno) = sent {
            // A reply of a wrong form leaves the caller waiting: give it an error instead.
            tracing::warn!(opcode = request.opcode, %errno, "reply refused by the host kernel");
            let _ = wire::send(self.device.as_fd(), request.unique, Err(Errno::EIO));
        }
    }

    fn serve(&self, request: &Request<'_>) -> Result<Vec<u8>, Errno> {
        match request.opcode {
            op::INIT => wire::init(request),
            op::LOOKUP => {
                let name =
                    std::str::from_utf8(request.fields().name()?).map_err(|_| Errno::ENOENT)?;
                Ok(self.tree.lookup(request.node, name)?.entry())
            }
            op::GETATTR => Ok(self.tree.attributes(request.node)?.reply()),
            op::SETATTR => self.set_attributes(request),
            op::READLINK => self.tree.link(request.node, &self.caller(request)),
            op::OPEN => self.open(request),
            op::READ => self.read(request),
            op::WRITE => self.write(request),
            op::RELEASE | op::RELEASEDIR => self.release(request),
            op::OPENDIR => self.open_directory(request),
            op::READDIR => self.read_directory(request),
            op::LISTXATTR => wire::no_attribute_names(request),
            op::POLL => self.poll(request),
            op::STATFS => Ok(wire::statfs()),
            op::CREATE | op::MKNOD | op::MKDIR | op::SYMLINK => Err(self.tree.creation_error()),
            op::UNLINK | op::RMDIR | op::RENAME | op::RENAME2 | op::LINK => Err(Errno::EPERM),
            // The host kernel then falls back to what it does for files without such an operation.
            _ => Err(Errno::ENOSYS),
        }
    }

    fn caller(&self, request: &Request<'_>) -> Caller {
        let walker = self.tree.walker(request.tid);
        Caller {
            uid: request.uid,
            gid: request.gid,
            walker,
        }
    }

    fn set_attributes(&self, request: &Request<'_>) -> Result<Vec<u8>, Errno> {
        let valid = request.fields().u32()?;
        // Truncation and times mean nothing to these files; mode and owner are not for the guest to set.
        if valid & wire::SETATTR_MODE_OWNER != 0 {
            return Err(Errno::EPERM);
        }
        Ok(self.tree.attributes(request.node)?.reply())
    }

    fn open(&self, request: &Request<'_>) -> Result<Vec<u8>, Errno> {
        let flags = request.fields().u32()? as i32;
        let access = match flags & libc::O_ACCMODE {
            libc::O_RDONLY => Access::Read,
            _ => Access::Write,
        };
        let opener = self
            .tree
            .open(request.node, &self.caller(request), access)?;
        let handle = self.remember(Handle::File {
            node: request.node,
            opener,
            content: None,
            seen: self.tree.mount_events(request.node).unwrap_or(0),
            waiter: None,
        });
        Ok(wire::opened(handle, wire::FOPEN_DIRECT_IO))
    }

    fn open_directory(&self, request: &Request<'_>) -> Result<Vec<u8>, Errno> {
        let handle = self.remember(Handle::Directory {
            node: request.node,
            items: Vec::new(),
        });
        Ok(wire::opened(handle, 0))
    }

    fn remember(&self, handle: Handle) -> u64 {
        let mut handles = lock(&self.handles);
        handles.next += 1;
        let number = handles.next;
        handles.open.insert(number, handle);
        number
    }

    fn release(&self, request: &Request<'_>) -> Result<Vec<u8>, Errno> {
        let number = request.fields().u64()?;
        let mut handles = lock(&self.handles);
        if let Some(Handle::File {
            content: Some(content),
            ..
        }) = handles.open.remove(&number)
        {
            handles.kept -= content.len();
        }
        Ok(Vec::new())
    }

    /// Content is made at offset 0, so that a seek back gives fresh text, and kept only while a reader is in
    /// the middle of it.
    fn read(&self, request: &Request<'_>) -> Result<Vec<u8>, Errno> {
        let read = request.read_arguments()?;
        let start = usize::try_from(read.offset).map_err(|_| Errno::EINVAL)?;
        let (node, opener, kept) = {
            let mut handles = lock(&self.handles);
            let Handles { kept, open, .. } = &mut *handles;
            let Some(Handle::File {
                node,
                opener,
                content,
                ..
            }) = open.get_mut(&read.handle)
            else {
                return Err(Errno::EBADF);
            };
            let content = content.take();
            *kept -= content.as_ref().map_or(0, Vec::len);
            (*node, *opener, content)
        };
        let content = match kept {
            Some(content) if start > 0 => content,
            _ => self.tree.content(node, &opener)?,
        };
        let end = content.len().min(start.saturating_add(read.size));
        let part = content.get(start..end).unwrap_or_default().to_vec();
        // A reader that has seen all asks once more for the end of file: keep it until then.
        if !part.is_empty() {
            self.keep(read.handle, content);
        }
        Ok(part)
    }

    fn keep(&self, number: u64, text: Vec<u8>) {
        let mut handles = lock(&self.handles);
        if handles.kept + text.len() > KEPT_BYTES {
            return;
        }
        let Handles { kept, open, .. } = &mut *handles;
        if let Some(Handle::File { content, .. }) = open.get_mut(&number) {
            *kept += text.len();
            *content = Some(text);
        }
    }

    fn write(&self, request: &Request<'_>) -> Result<Vec<u8>, Errno> {
        let mut fields = request.fields();
        let (number, _offset, size) = (fields.u64()?, fields.u64()?, fields.u32()?);
        let data = request.fields().rest().get(40..).ok_or(Errno::EIO)?;
        let data = data.get(..size as usize).ok_or(Errno::EIO)?;
        let (node, opener) = match lock(&self.handles).open.get(&number) {
            Some(Handle::File { node, opener, .. }) => (*node, *opener),
            _ => return Err(Errno::EBADF),
        };
        self.tree
            .write(node, &opener, &self.caller(request), data)?;
        Ok(wire::Body::default().u32(size).u32(0).done())
    }

    fn read_directory(&self, request: &Request<'_>) -> Result<Vec<u8>, Errno> {
        let read = request.read_arguments()?;
        let node = match lock(&self.handles).open.get(&read.handle) {
            Some(Handle::Directory { node, .. }) => *node,
            _ => return Err(Errno::EBADF),
        };
        let fresh = if read.offset == 0 {
            Some(self.tree.list(node)?)
        } else {
            None
        };
        let mut handles = lock(&self.handles);
        let Some(Handle::Directory { items, .. }) = handles.open.get_mut(&read.handle) else {
            return Err(Errno::EBADF);
        };
        if let Some(fresh) = fresh {
            *items = fresh;
        }
        Ok(wire::directory(items, read.offset, read.size))
    }
}
