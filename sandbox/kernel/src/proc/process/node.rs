//! Lookup, attributes, links and listings below /proc/PID.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::stat::FileStat;

use super::access;
use super::table::{ENTRIES, Entry, Source, children};
use crate::proc::context::Context;
use crate::proc::host;
use crate::proc::inode::{self, Node};
use crate::proc::tree::{Access, Opener};
use crate::proc::view::{ProcessFacts, Rights};
use crate::proc::wire::{Attributes, Item, Validity};

/// The process or thread whose file is made, and for whom.
pub(super) struct Subject<'a> {
    pub(super) context: &'a Context,
    pub(super) pid: u32,
    /// 0 below /proc/PID.
    pub(super) tid: u32,
    pub(super) opener: &'a Opener,
}

fn directory(pid: u32, tid: u32) -> String {
    if tid == 0 {
        pid.to_string()
    } else {
        format!("{pid}/task/{tid}")
    }
}

impl Subject<'_> {
    /// The file `name` of the same process in the guest's procfs.
    pub(super) fn guest(&self, name: &str) -> Result<Vec<u8>, Errno> {
        let proc = self.context.guest_proc()?;
        host::read(&*proc, &format!("{}/{name}", directory(self.pid, self.tid)))
    }

    pub(super) fn guest_text(&self, name: &str) -> Result<String, Errno> {
        let content = self.guest(name)?;
        Ok(String::from_utf8_lossy(&content).into_owned())
    }

    pub(super) fn facts(&self) -> Result<ProcessFacts, Errno> {
        access::facts(self.context, self.pid, self.thread())
    }

    /// Does a thread read about itself? While it waits for us the host kernel has it sleeping.
    pub(super) fn is_reader(&self) -> bool {
        self.opener.pid != 0 && self.opener.tid == self.thread()
    }

    /// The thread that the subject is: the leader for a process.
    pub(super) fn thread(&self) -> u32 {
        if self.tid == 0 { self.pid } else { self.tid }
    }
}

pub(super) fn entry(index: u8) -> Result<&'static Entry, Errno> {
    ENTRIES.get(usize::from(index)).ok_or(Errno::ESTALE)
}

pub(crate) fn is_network(index: u8) -> bool {
    entry(index).is_ok_and(|entry| matches!(entry.source, Source::Network))
}

/// The process whose mounts a file lists.
pub(crate) fn lister_of_mounts(node: Node) -> Option<u32> {
    match node {
        Node::Process {
            pid, entry: index, ..
        } => {
            let name = entry(index).ok()?.name;
            matches!(name, "mounts" | "mountinfo" | "mountstats").then_some(pid)
        }
        _ => None,
    }
}

/// Whether a node of this number lists threads.
pub(crate) fn lists_threads(number: u64) -> bool {
    match Node::from_number(number) {
        Some(Node::Process { entry: index, .. }) => {
            entry(index).is_ok_and(|entry| entry.name == "task")
        }
        _ => false,
    }
}

/// What a process' memory holds, or how it is mapped: see proc_pid_mem(5) and proc_pid_pagemap(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryFile {
    Mem,
    Pagemap,
}

/// Such a file in /proc/PID or /proc/PID/task/TID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemoryNode {
    pub(crate) pid: i32,
    /// 0 for that of the process.
    pub(crate) tid: i32,
    pub(crate) file: MemoryFile,
}

/// The one that has this node number.
pub(crate) fn memory_of_node(number: u64) -> Option<MemoryNode> {
    match Node::from_number(number)? {
        Node::Process {
            pid,
            tid,
            entry: index,
        } => Some(MemoryNode {
            pid: i32::try_from(pid).ok()?,
            tid: i32::try_from(tid).ok()?,
            file: match entry(index).ok()?.name {
                "mem" => MemoryFile::Mem,
                "pagemap" => MemoryFile::Pagemap,
                _ => return None,
            },
        }),
        _ => None,
    }
}

/// Is this one of the directories of descriptors?
fn descriptors(index: u8) -> Option<bool> {
    match entry(index).ok()?.name {
        "fd" => Some(false),
        "fdinfo" => Some(true),
        _ => None,
    }
}

pub(crate) fn lookup(context: &Context, parent: Node, name: &str) -> Result<Attributes, Errno> {
    let Node::Process {
        pid,
        tid,
        entry: index,
    } = parent
    else {
        return Err(Errno::ENOTDIR);
    };
    if let Some(info) = descriptors(index) {
        let fd = inode::fd(name).ok_or(Errno::ENOENT)?;
        let pid = if tid == 0 { pid } else { tid };
        return attributes(context, Node::Descriptor { pid, fd, info });
    }
    if entry(index)?.name == "task" {
        let tid = inode::pid(name).ok_or(Errno::ENOENT)?;
        return attributes(context, Node::Process { pid, tid, entry: 0 });
    }
    let child = children(index, tid != 0).find(|(_, _, child)| *child == name);
    let (index, ..) = child.ok_or(Errno::ENOENT)?;
    attributes(
        context,
        Node::Process {
            pid,
            tid,
            entry: index,
        },
    )
}

fn gone(errno: Errno) -> Errno {
    if errno == Errno::ESRCH {
        Errno::ENOENT
    } else {
        errno
    }
}

/// What a look at something in the directory of a process ends with that is no more: `ESRCH`, as proc_pid_permission() of
/// fs/proc/base.c has it of who holds the directory.
pub(crate) fn or_gone(context: &Context, node: Node, errno: Errno) -> Errno {
    let Node::Process { pid, .. } = node else {
        return errno;
    };
    let is_gone = || match context.guest_proc() {
        Ok(proc) => host::status(&*proc, &pid.to_string()).is_err(),
        Err(_) => true,
    };
    if matches!(errno, Errno::ENOENT | Errno::EACCES) && is_gone() {
        Errno::ESRCH
    } else {
        errno
    }
}

/// As many as Linux has, which counts threads in the directory of tasks and a fixed number of directories in others.
fn links(proc: impl AsFd, node: (u32, u32), entry: &Entry, itself: &FileStat) -> u32 {
    let count = |status: &FileStat| u32::try_from(status.st_nlink).unwrap_or(2);
    match entry.source {
        Source::Directory if entry.name == "task" => {
            let path = format!("{}/task", directory(node.0, node.1));
            host::status(proc, &path).map_or(2, |status| count(&status))
        }
        Source::Directory if entry.name.is_empty() => count(itself),
        Source::Directory | Source::Network => 2,
        _ => 1,
    }
}

pub(crate) fn attributes(context: &Context, node: Node) -> Result<Attributes, Errno> {
    let proc = context.guest_proc().map_err(gone)?;
    match node {
        Node::Process {
            pid,
            tid,
            entry: index,
        } => {
            let status = host::status(&*proc, &directory(pid, tid)).map_err(gone)?;
            let entry = entry(index)?;
            let owner = access::rights(context, pid)?;
            let kind = match entry.source {
                Source::Directory | Source::Network => libc::S_IFDIR,
                Source::Exe | Source::Cwd | Source::Root | Source::Namespace(_) => libc::S_IFLNK,
                _ => libc::S_IFREG,
            };
            // The directory always belongs to the process, its content only while it is dumpable.
            let mut attributes = owned_by(&owner, index == 0, node, kind | entry.mode, context);
            attributes.links = links(&*proc, (pid, tid), entry, &status);
            attributes.valid = match entry.mode & 0o4 {
                _ if index == 0 => Validity::WALK,
                _ if entry.name == "task" => Validity::OWNED,
                0 => Validity::OWNED,
                _ => Validity::PUBLIC,
            };
            Ok(attributes)
        }
        Node::Descriptor { pid, fd, info } => {
            let below = if info { "fdinfo" } else { "fd" };
            let status = host::status(&*proc, &format!("{pid}/{below}/{fd}")).map_err(gone)?;
            let owner = access::rights(context, pid)?;
            let mode = if info {
                libc::S_IFREG | 0o444
            } else {
                status.st_mode
            };
            let mut attributes = owned_by(&owner, false, node, mode, context);
            attributes.size = if info { 0 } else { 64 };
            Ok(attributes)
        }
        Node::Static(_) | Node::Host(_) => Err(Errno::ESTALE),
    }
}

fn owned_by(owner: &Rights, always: bool, node: Node, mode: u32, context: &Context) -> Attributes {
    let (uid, gid) = if always || owner.dumpable {
        (owner.uid.effective, owner.gid.effective)
    } else {
        (0, 0)
    };
    let links = if mode & libc::S_IFMT == libc::S_IFDIR {
        2
    } else {
        1
    };
    let time_s = context.system().boot_epoch_s;
    let node = node.number();
    Attributes {
        node,
        mode,
        uid,
        gid,
        links,
        size: 0,
        block_size: 1024,
        valid: Validity::WALK,
        time_s,
    }
}

pub(crate) fn open(
    context: &Context,
    node: Node,
    opener: Opener,
    access: Access,
) -> Result<Opener, Errno> {
    match node {
        Node::Process {
            pid, entry: index, ..
        } => {
            let entry = entry(index)?;
            // As in Linux root can open the others, too; writing fails.
            if access == Access::Write && !super::write::is_writable(entry.name) {
                return Ok(opener);
            }
            // stat shows addresses only to who may inspect.
            if !entry.guarded && entry.name != "stat" {
                return Ok(opener);
            }
            let opener = access::about(context, opener, pid);
            if entry.guarded {
                access::inspect(context, &opener, pid)?;
            }
            Ok(opener)
        }
        Node::Descriptor { pid, .. } => {
            let opener = access::about(context, opener, pid);
            access::inspect(context, &opener, pid)?;
            Ok(opener)
        }
        _ => Ok(opener),
    }
}

pub(crate) fn content(context: &Context, node: Node, opener: &Opener) -> Result<Vec<u8>, Errno> {
    match node {
        Node::Process {
            pid,
            tid,
            entry: index,
        } => {
            let entry = entry(index)?;
            // Again, because the process may have gained rights since the file was opened.
            if entry.guarded {
                access::inspect(context, opener, pid)?;
            }
            let subject = Subject {
                context,
                pid,
                tid,
                opener,
            };
            match entry.source {
                Source::Guest => subject.guest(entry.name),
                Source::Made(make) => make(&subject),
                Source::Constant(text) => Ok(text.as_bytes().to_vec()),
                Source::Fails(errno) => Err(errno),
                _ => Err(Errno::EINVAL),
            }
        }
        Node::Descriptor {
            pid,
            fd,
            info: true,
        } => {
            access::inspect(context, opener, pid)?;
            host::read(&*context.guest_proc()?, &format!("{pid}/fdinfo/{fd}"))
        }
        _ => Err(Errno::EINVAL),
    }
}

fn numbers(context: &Context, path: &str) -> Result<impl Iterator<Item = u32>, Errno> {
    let names = host::names(&*context.guest_proc()?, path)?;
    Ok(names.into_iter().filter_map(|(name, _)| name.parse().ok()))
}

/// The processes in /proc.
pub(crate) fn list_all(context: &Context) -> Vec<Item> {
    let item = |pid: u32| Item {
        name: pid.to_string(),
        node: Node::Process {
            pid,
            tid: 0,
            entry: 0,
        }
        .number(),
        kind: libc::DT_DIR,
    };
    numbers(context, ".").map_or_else(|_| Vec::new(), |pids| pids.map(item).collect())
}

/// Whether a descriptor is none of the guest's own. The guest may have put another under its number.
fn is_kept(context: &Context, pid: u32, fd: u32, kept: &[(u32, u64)]) -> bool {
    kept.iter()
        .filter(|(number, _)| *number == fd)
        .any(|(_, inode)| {
            let link = context
                .guest_proc()
                .and_then(|proc| host::link(&*proc, &format!("{pid}/fd/{fd}")));
            link.is_ok_and(|link| *link == *format!("socket:[{inode}]").as_bytes())
        })
}

pub(crate) fn list(context: &Context, node: Node) -> Result<Vec<Item>, Errno> {
    let Node::Process {
        pid,
        tid,
        entry: index,
    } = node
    else {
        return Err(Errno::ENOTDIR);
    };
    let subject = if tid == 0 { pid } else { tid };
    if let Some(info) = descriptors(index) {
        let path = format!("{}/{}", directory(pid, tid), entry(index)?.name);
        let item = |fd: u32| Item {
            name: fd.to_string(),
            node: Node::Descriptor {
                pid: subject,
                fd,
                info,
            }
            .number(),
            kind: if info { libc::DT_REG } else { libc::DT_LNK },
        };
        let kept = context.guests.kept_sockets(pid);
        return Ok(numbers(context, &path)?
            .filter(|fd| !is_kept(context, pid, *fd, &kept))
            .map(item)
            .collect());
    }
    if entry(index)?.name == "task" {
        let item = |tid: u32| Item {
            name: tid.to_string(),
            node: Node::Process { pid, tid, entry: 0 }.number(),
            kind: libc::DT_DIR,
        };
        return Ok(numbers(context, &format!("{pid}/task"))?
            .map(item)
            .collect());
    }
    let item = |(index, entry, name): (u8, &Entry, &str)| Item {
        name: name.to_owned(),
        node: Node::Process {
            pid,
            tid,
            entry: index,
        }
        .number(),
        kind: match entry.source {
            Source::Directory | Source::Network => libc::DT_DIR,
            Source::Exe | Source::Cwd | Source::Root | Source::Namespace(_) => libc::DT_LNK,
            _ => libc::DT_REG,
        },
    };
    Ok(children(index, tid != 0).map(item).collect())
}
