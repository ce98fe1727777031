//! The tree of /proc: fixed names, processes, and the network files shown as the host has them.

use std::sync::Arc;

use nix::errno::Errno;

use super::context::Context;
use super::host;
use super::inode::{self, Node};
use super::names::Names;
use super::poll::Changes;
use super::process;
use super::sys_tree::SYSCTLS;
use super::system;
use super::tree::{self, Access, Caller, Opener, Tree};
use super::view::{Guests, Walker};
use super::wire::{Attributes, Item, Validity};

const BLOCK_SIZE: u32 = 1024;
/// Below /proc/net: control files of the host's NFS, some of which wait for an answer.
const UNSHOWN: &str = "rpc";

/// Where a fixed name's content comes from.
#[derive(Clone, Copy)]
pub(super) enum Fixed {
    Directory,
    Text(fn(&Context) -> Vec<u8>),
    Constant(&'static str),
    /// The file of the same path in the host's procfs, of the container's network and IPC namespaces.
    HostValue,
    /// A whole directory of the host's procfs, seen from the pod's network namespace.
    HostDirectory(&'static str),
    Link(&'static str),
    SelfLink,
    ThreadSelfLink,
    Hostname,
    Domainname,
}

use Fixed::{Constant, Link, Text};

const FILES: &[(&str, Fixed)] = &[
    ("cgroups", Text(system::cgroups)),
    ("cmdline", Constant("\n")),
    ("consoles", Constant("")),
    ("cpuinfo", Text(system::cpuinfo)),
    ("devices", Text(system::devices)),
    ("diskstats", Constant("")),
    ("driver", Fixed::Directory),
    ("execdomains", Constant("0-0\tLinux           \t[kernel]\n")),
    ("filesystems", Text(system::filesystems)),
    ("fs", Fixed::Directory),
    ("interrupts", Constant("")),
    ("iomem", Constant("")),
    ("ioports", Constant("")),
    ("irq", Fixed::Directory),
    ("loadavg", Text(system::loadavg)),
    ("locks", Constant("")),
    ("meminfo", Text(system::meminfo)),
    ("misc", Constant("")),
    ("modules", Constant("")),
    ("mounts", Link("self/mounts")),
    ("net", Link("self/net")),
    ("partitions", Constant("")),
    ("self", Fixed::SelfLink),
    ("softirqs", Constant("")),
    ("stat", Text(system::stat)),
    (
        "swaps",
        Constant("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
    ),
    ("sysrq-trigger", Constant("")),
    ("sysvipc/msg", Text(system::msg)),
    ("sysvipc/sem", Text(system::sem)),
    ("sysvipc/shm", Text(system::shm)),
    ("thread-self", Fixed::ThreadSelfLink),
    (
        "tty/drivers",
        Constant(
            "/dev/tty             /dev/tty        5       0 system:/dev/tty\npty_slave            /dev/pts      136 0-1048575 pty:slave\n",
        ),
    ),
    ("uptime", Text(system::uptime)),
    ("version", Text(system::version)),
    ("vmstat", Text(system::vmstat)),
    ("zoneinfo", Text(system::zoneinfo)),
];

struct FixedNode {
    name: &'static str,
    path: &'static str,
    parent: u32,
    what: Fixed,
}

pub(super) struct ProcTree {
    context: Context,
    fixed: Vec<FixedNode>,
    /// Paths of the host's procfs that have been looked up.
    names: Names,
}

impl ProcTree {
    pub(super) fn new(guests: Arc<dyn Guests>) -> ProcTree {
        let root = FixedNode {
            name: "",
            path: "",
            parent: 0,
            what: Fixed::Directory,
        };
        let mut fixed = vec![root];
        for &(path, what) in FILES.iter().chain(SYSCTLS) {
            add(&mut fixed, path, what);
        }
        ProcTree {
            context: Context::new(guests),
            fixed,
            names: Names::default(),
        }
    }

    fn fixed(&self, index: u32) -> Result<&FixedNode, Errno> {
        self.fixed.get(index as usize).ok_or(Errno::ESTALE)
    }

    fn is_sysctl(&self, index: u32) -> bool {
        self.fixed(index)
            .is_ok_and(|node| node.path.starts_with("sys/"))
    }

    fn children(&self, parent: u32) -> impl Iterator<Item = (u32, &FixedNode)> {
        (0..)
            .zip(&self.fixed)
            .skip(1)
            .filter(move |(_, node)| node.parent == parent)
    }

    fn host_path(&self, number: u32) -> Result<Arc<str>, Errno> {
        self.names.path(number).ok_or(Errno::ESTALE)
    }

    fn number(&self, path: &str) -> u32 {
        let host = self.context.host_proc();
        self.names
            .number(path, |path| host::status(host, path).is_ok())
    }

    fn host_node(&self, path: &str) -> Node {
        Node::Host(self.number(path))
    }

    /// The node itself, except for directories that stand for one of the host's.
    fn resolve(&self, number: u64) -> Result<Node, Errno> {
        match Node::from_number(number).ok_or(Errno::ESTALE)? {
            Node::Static(index) => match self.fixed(index)?.what {
                Fixed::HostDirectory(path) => Ok(self.host_node(path)),
                _ => Ok(Node::Static(index)),
            },
            Node::Process { entry, .. } if process::is_network(entry) => {
                Ok(self.host_node("self/net"))
            }
            node => Ok(node),
        }
    }

    fn fixed_attributes(&self, index: u32) -> Result<Attributes, Errno> {
        let node = self.fixed(index)?;
        let sysctl = self.is_sysctl(index);
        let (mode, links) = match node.what {
            Fixed::Directory | Fixed::HostDirectory(_) => (libc::S_IFDIR | 0o555, 2),
            Fixed::Link(_) | Fixed::SelfLink | Fixed::ThreadSelfLink => (libc::S_IFLNK | 0o777, 1),
            Fixed::Text(_)
            | Fixed::Constant(_)
            | Fixed::HostValue
            | Fixed::Hostname
            | Fixed::Domainname => {
                let mode = if sysctl { 0o644 } else { 0o444 };
                (libc::S_IFREG | mode, 1)
            }
        };
        let number = Node::Static(index).number();
        Ok(self.attributes_of(number, mode, links, Validity::FIXED))
    }

    fn attributes_of(&self, node: u64, mode: u32, links: u32, valid: Validity) -> Attributes {
        let time_s = self.context.system().boot_epoch_s;
        Attributes {
            node,
            mode,
            uid: 0,
            gid: 0,
            links,
            size: 0,
            block_size: BLOCK_SIZE,
            valid,
            time_s,
        }
    }

    fn host_attributes(&self, number: u32, path: &str) -> Result<Attributes, Errno> {
        let status = host::status(self.context.host_proc(), path)?;
        let kind = status.st_mode & libc::S_IFMT;
        if kind != libc::S_IFDIR && kind != libc::S_IFREG {
            return Err(Errno::ENOENT);
        }
        let links = if kind == libc::S_IFDIR { 2 } else { 1 };
        let mode = kind | status.st_mode & 0o555;
        Ok(self.attributes_of(Node::Host(number).number(), mode, links, Validity::WALK))
    }

    fn lookup_host(&self, parent: u32, name: &str) -> Result<Attributes, Errno> {
        let path = format!("{}/{name}", self.host_path(parent)?);
        if name.is_empty() || name.contains('/') || matches!(name, "." | ".." | UNSHOWN) {
            return Err(Errno::ENOENT);
        }
        // Only names that exist get a number, so that a guest cannot fill the table.
        host::status(self.context.host_proc(), &path)?;
        self.host_attributes(self.number(&path), &path)
    }

    fn fixed_content(&self, index: u32, opener: &Opener) -> Result<Vec<u8>, Errno> {
        let node = self.fixed(index)?;
        let configured = node
            .path
            .strip_prefix("sys/")
            .and_then(|path| self.context.configured(path));
        if let Some(value) = configured {
            return Ok(format!("{value}\n").into_bytes());
        }
        match node.what {
            Fixed::Text(make) => Ok(make(&self.context)),
            Fixed::Constant(text) => Ok(text.as_bytes().to_vec()),
            Fixed::HostValue => host::read(self.context.host_proc(), node.path),
            Fixed::Hostname => {
                Ok(format!("{}\n", self.context.guests.names(opener.pid).host).into_bytes())
            }
            Fixed::Domainname => {
                let name = self.context.guests.names(opener.pid).domain;
                let shown = if name.is_empty() { "(none)" } else { &name };
                Ok(format!("{shown}\n").into_bytes())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn fixed_link(&self, index: u32, caller: &Caller) -> Result<Vec<u8>, Errno> {
        let walker = || {
            caller
                .walker
                .as_ref()
                .filter(|walker| walker.pid() != 0)
                .ok_or(Errno::ENOENT)
        };
        match self.fixed(index)?.what {
            Fixed::Link(target) => Ok(target.as_bytes().to_vec()),
            Fixed::SelfLink => Ok(walker()?.pid().to_string().into_bytes()),
            Fixed::ThreadSelfLink => {
                let walker = walker()?;
                Ok(format!("{}/task/{}", walker.pid(), walker.tid()).into_bytes())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn list_fixed(&self, index: u32) -> Result<Vec<Item>, Errno> {
        let mut items = Vec::new();
        for (index, node) in self.children(index) {
            let number = Node::Static(index).number();
            let kind = match node.what {
                Fixed::Directory | Fixed::HostDirectory(_) => libc::DT_DIR,
                Fixed::Link(_) | Fixed::SelfLink | Fixed::ThreadSelfLink => libc::DT_LNK,
                _ => libc::DT_REG,
            };
            items.push(Item {
                name: node.name.to_owned(),
                node: number,
                kind,
            });
        }
        if index == 0 {
            items.extend(process::list_all(&self.context));
        }
        Ok(items)
    }

    fn list_host(&self, number: u32) -> Result<Vec<Item>, Errno> {
        let path = self.host_path(number)?;
        let mut items = Vec::new();
        for (name, kind) in host::names(self.context.host_proc(), &path)? {
            if (kind == libc::DT_DIR || kind == libc::DT_REG) && name != UNSHOWN {
                let node = self.host_node(&format!("{path}/{name}")).number();
                items.push(Item { name, node, kind });
            }
        }
        Ok(items)
    }
}

/// Adds `path` and the directories it needs.
fn add(fixed: &mut Vec<FixedNode>, path: &'static str, what: Fixed) {
    let mut parent = 0;
    let mut start = 0;
    loop {
        let end = path[start..]
            .find('/')
            .map_or(path.len(), |length| start + length);
        let (name, so_far) = (&path[start..end], &path[..end]);
        let known = fixed
            .iter()
            .skip(1)
            .position(|node| node.path == so_far)
            .map(|index| index as u32 + 1);
        let this = if end == path.len() {
            what
        } else {
            Fixed::Directory
        };
        parent = known.unwrap_or_else(|| {
            fixed.push(FixedNode {
                name,
                path: so_far,
                parent,
                what: this,
            });
            fixed.len() as u32 - 1
        });
        if end == path.len() {
            return;
        }
        start = end + 1;
    }
}

impl Tree for ProcTree {
    fn lookup(&self, parent: u64, name: &str) -> Result<Attributes, Errno> {
        match self.resolve(parent)? {
            Node::Static(index) => {
                if let Some(pid) = inode::pid(name).filter(|_| index == 0) {
                    return process::attributes(
                        &self.context,
                        Node::Process {
                            pid,
                            tid: 0,
                            entry: 0,
                        },
                    );
                }
                let child = self.children(index).find(|(_, node)| node.name == name);
                self.fixed_attributes(child.ok_or(Errno::ENOENT)?.0)
            }
            Node::Host(number) => self.lookup_host(number, name),
            parent => process::lookup(&self.context, parent, name)
                .map_err(|errno| process::or_gone(&self.context, parent, errno)),
        }
    }

    fn attributes(&self, number: u64) -> Result<Attributes, Errno> {
        match Node::from_number(number).ok_or(Errno::ESTALE)? {
            Node::Static(index) => self.fixed_attributes(index),
            Node::Host(index) => self.host_attributes(index, &self.host_path(index)?),
            // Asked for where a walk goes on from a held directory: proc_pid_permission() of fs/proc/base.c.
            node => process::attributes(&self.context, node).map_err(|errno| match errno {
                Errno::ENOENT => Errno::ESRCH,
                other => other,
            }),
        }
    }

    fn link(&self, number: u64, caller: &Caller) -> Result<Vec<u8>, Errno> {
        match self.resolve(number)? {
            Node::Static(index) => self.fixed_link(index, caller),
            Node::Host(_) => Err(Errno::EINVAL),
            node => process::link(&self.context, node, caller)
                .map_err(|errno| process::or_gone(&self.context, node, errno)),
        }
    }

    fn open(&self, number: u64, caller: &Caller, access: Access) -> Result<Opener, Errno> {
        let opener = process::opener(&self.context, caller);
        match self.resolve(number)? {
            Node::Static(index) if access == Access::Write => match self.fixed(index)?.what {
                Fixed::Hostname if process::may_administrate(&opener) => Ok(opener),
                Fixed::Hostname => Err(Errno::EPERM),
                _ if self.is_sysctl(index) => Err(Errno::EROFS),
                // As in Linux root can open them; writing fails.
                _ => Ok(opener),
            },
            Node::Host(_) if access == Access::Write => Err(Errno::EROFS),
            Node::Static(_) | Node::Host(_) => Ok(opener),
            node => process::open(&self.context, node, opener, access),
        }
    }

    fn content(&self, number: u64, opener: &Opener) -> Result<Vec<u8>, Errno> {
        match self.resolve(number)? {
            Node::Static(index) => self.fixed_content(index, opener),
            Node::Host(index) => {
                let path = self.host_path(index)?;
                self.context.read_of_network(opener.pid, &path)
            }
            node => process::content(&self.context, node, opener)
                .map_err(|errno| process::or_gone(&self.context, node, errno)),
        }
    }

    fn write(
        &self,
        number: u64,
        opener: &Opener,
        caller: &Caller,
        data: &[u8],
    ) -> Result<(), Errno> {
        match self.resolve(number)? {
            Node::Static(index) => match self.fixed(index)?.what {
                Fixed::Hostname => {
                    let name = std::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
                    self.context
                        .guests
                        .set_hostname(opener.pid, name.trim_end_matches('\n'))
                }
                _ => Err(Errno::EIO),
            },
            Node::Host(_) => Err(Errno::EROFS),
            node => process::write(&self.context, node, opener, caller, data),
        }
    }

    fn list(&self, number: u64) -> Result<Vec<Item>, Errno> {
        let items = match self.resolve(number)? {
            Node::Static(index) => self.list_fixed(index)?,
            Node::Host(index) => self.list_host(index)?,
            node => process::list(&self.context, node)?,
        };
        Ok(tree::with_dots(number, items))
    }

    fn mount_events(&self, number: u64) -> Option<u64> {
        let pid = process::lister_of_mounts(Node::from_number(number)?)?;
        Some(self.context.guests.mount_events(pid))
    }

    fn mount_changes(&self) -> Option<Arc<Changes>> {
        self.context.guests.mount_changes()
    }

    fn creation_error(&self) -> Errno {
        Errno::ENOENT
    }

    fn walker(&self, tid: u32) -> Option<Arc<Walker>> {
        self.context.guests.walker(tid)
    }

    fn settle(&self) -> bool {
        self.context.settle()
    }
}
