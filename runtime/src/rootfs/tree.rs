//! Assembling the tree, and entering it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount_bind_recursive, mount_change, unmount,
};

use super::attributes::{self, Extent};
use super::devices::Nodes;
use super::mounts::{self, Context};
use super::options::{self, Flags};
use super::{Lent, RootfsError, by_descriptor, detached, devices, masks, step};
use crate::cgroup::Cgroup;
use crate::spec::types::Spec;

/// The file systems that the sandbox's kernel serves itself. Errors are messages for the user.
pub trait KernelMounts {
    fn mount_proc(&self, target: &Path) -> Result<(), String>;
    fn mount_sys(&self, target: &Path, read_only: bool) -> Result<(), String>;
}

/// An assembled mount tree in this process' mount namespace.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    propagation: Option<MountPropagationFlags>,
    read_only: bool,
}

/// What a tree is assembled from.
pub struct Plan<'a> {
    pub spec: &'a Spec,
    pub bundle: &'a Path,
    pub kernel: &'a dyn KernelMounts,
    pub cgroup: &'a Cgroup,
    pub lent: &'a Lent,
    pub nodes: Nodes,
}

impl Tree {
    /// Assemble the tree of `spec`. The calling thread must be in a mount namespace of its own.
    pub fn assemble(plan: &Plan<'_>) -> Result<Tree, RootfsError> {
        let Plan { spec, bundle, .. } = *plan;
        let propagation = options::propagation(&spec.linux.rootfs_propagation);
        let (path, read_only) = spec
            .root
            .as_ref()
            .map(|root| (bundle.join(&root.path), root.readonly))
            .unwrap_or_default();
        // Shared only where the bundle asks for mounts that travel back to the host.
        if !propagation.is_some_and(|kind| kind.contains(MountPropagationFlags::SHARED)) {
            let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
            mount_change("/", slave).map_err(step("make the inherited mounts slaves"))?;
        }
        let root = match &plan.lent.root {
            Some(copy) => attach_root(copy)?,
            None => bind_root(&path)?,
        };
        let context = Context {
            root: root.as_fd(),
            bundle,
            kernel: plan.kernel,
            cgroup: plan.cgroup,
            lent: plan.lent,
        };
        for (index, entry) in spec.mounts.iter().enumerate() {
            mounts::attach(&context, index, entry)?;
        }
        devices::populate(root.as_fd(), spec, plan.nodes)?;
        masks::apply(root.as_fd(), &spec.linux)?;
        Ok(Tree {
            root,
            propagation,
            read_only,
        })
    }

    /// The root directory.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Make the tree this process' `/` and detach the host's. There is no way back.
    pub fn enter(self) -> Result<(), RootfsError> {
        if self.read_only {
            let flags = Flags {
                set: MountFlags::RDONLY,
                clear: MountFlags::empty(),
            };
            attributes::change(&self.root, flags, Extent::One)
                .map_err(step("remount the root read-only"))?;
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let host =
            rustix::fs::open(c"/", flags, Mode::empty()).map_err(step("open the host's root"))?;
        rustix::process::fchdir(&self.root).map_err(step("fchdir to the root"))?;
        rustix::process::pivot_root(".", ".").map_err(step("pivot_root"))?;
        // The host's root now lies over ours; as slaves its mounts vanish here only. It is entered because "." is
        // otherwise our own root to mount(2), whose shared mounts would become slaves.
        rustix::process::fchdir(&host).map_err(step("fchdir to the host's root"))?;
        drop(host);
        let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        mount_change(".", slave).map_err(step("make the host's mounts slaves"))?;
        unmount(".", UnmountFlags::DETACH).map_err(step("detach the host's mounts"))?;
        rustix::process::chdir("/").map_err(step("chdir to /"))?;
        if let Some(kind) = self.propagation {
            mount_change("/", kind).map_err(step("change propagation of the root"))?;
        }
        Ok(())
    }
}

/// Attach a copy of the root file system over the host's `/`, which hides nothing from those whose root directory that
/// is already.
fn attach_root(copy: &OwnedFd) -> Result<OwnedFd, RootfsError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place = rustix::fs::open(c"/", flags, Mode::empty()).map_err(step("open /"))?;
    detached::attach(copy, place.as_fd()).map_err(step("attach the root file system"))?;
    copy.try_clone().map_err(|source| RootfsError::Step {
        step: "dup",
        source,
    })
}

/// Make the root directory a mount of its own, as pivot_root demands.
fn bind_root(path: &Path) -> Result<OwnedFd, RootfsError> {
    let fail = |source: rustix::io::Errno| RootfsError::Root {
        path: path.display().to_string(),
        source: source.into(),
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, Mode::empty()).map_err(fail)?;
    // pivot_root refuses a root whose parent mount is shared.
    make_parent_private(&directory).map_err(fail)?;
    mount_bind_recursive(by_descriptor(&directory), by_descriptor(&directory)).map_err(fail)?;
    let real =
        std::fs::read_link(by_descriptor(&directory)).map_err(|source| RootfsError::Root {
            path: path.display().to_string(),
            source,
        })?;
    rustix::fs::open(&real, flags, Mode::empty()).map_err(fail)
}

/// The mount that holds `directory`: the longest mount point that is a prefix of its path.
fn make_parent_private(directory: &OwnedFd) -> Result<(), rustix::io::Errno> {
    let real =
        std::fs::read_link(by_descriptor(directory)).map_err(|_| rustix::io::Errno::NOENT)?;
    let text =
        std::fs::read_to_string("/proc/self/mountinfo").map_err(|_| rustix::io::Errno::NOENT)?;
    let fields = text
        .lines()
        .map(|line| line.split(' ').skip(4).collect::<Vec<_>>());
    let holders = fields.filter_map(|fields| {
        let point = attributes::unescape(fields.first()?);
        let shared = fields
            .iter()
            .take_while(|field| **field != "-")
            .any(|field| field.starts_with("shared:"));
        real.starts_with(&point).then_some((point, shared))
    });
    match holders.max_by_key(|(point, _)| point.len()) {
        Some((point, true)) => mount_change(point, MountPropagationFlags::PRIVATE),
        _ => Ok(()),
    }
}
