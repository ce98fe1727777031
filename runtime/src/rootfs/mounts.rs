//! `mounts` of config.json, one after the other.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::mount::{MountFlags, mount, mount_bind, mount_bind_recursive, mount_change};

use super::attributes::{self, Extent};
use super::options::{self, Idmap, Kind, Options};
use super::target::{self, Missing};
use super::tree::KernelMounts;
use super::{Lent, RootfsError, at, by_descriptor, cgroups, copy_up, detached, idmap};
use crate::cgroup::Cgroup;
use crate::spec::types::Mount;

/// What mounts need besides their own description.
pub struct Context<'a> {
    /// The root file system.
    pub root: BorrowedFd<'a>,
    /// Relative sources of bind mounts are below it.
    pub bundle: &'a Path,
    pub kernel: &'a dyn KernelMounts,
    pub cgroup: &'a Cgroup,
    pub lent: &'a Lent,
}

/// Where the source of a bind mount comes from.
enum Source<'a> {
    /// Prepared by someone else, and still to be attached.
    Lent(&'a OwnedFd),
    Opened(OwnedFd),
}

impl Source<'_> {
    fn fd(&self) -> &OwnedFd {
        match self {
            Source::Lent(fd) => fd,
            Source::Opened(fd) => fd,
        }
    }
}

/// Mount `mounts[index]`.
pub fn attach(context: &Context<'_>, index: usize, entry: &Mount) -> Result<(), RootfsError> {
    let options = options::parse(entry, index)?;
    let source = match options.kind {
        Kind::Bind { .. } => Some(bind_source(context, index, entry)?),
        _ => None,
    };
    let missing = match &source {
        Some(source) if !is_directory(source.fd()) => Missing::File,
        _ => Missing::Directory,
    };
    let field = format!("mounts[{index}].destination");
    let fail = |step| at(&field, &entry.destination, step);
    refuse_link(context.root, &field, entry, &options)?;
    let covered = target::open(context.root, &entry.destination)
        .and_then(rustix::fs::fstat)
        .ok();
    let covered_mode = covered.map(|stat| stat.st_mode & 0o7777);
    let target =
        target::open_or_make(context.root, &entry.destination, missing).map_err(fail("resolve"))?;
    let place = Place {
        target: &target,
        covered_mode,
    };
    mount_one(context, index, entry, &options, &place, source.as_ref())?;
    // Once more, to see what is mounted there now.
    let top = target::open(context.root, &entry.destination).map_err(fail("resolve"))?;
    if !matches!(options.kind, Kind::Cgroup) {
        attributes::change(&top, options.flags, Extent::One)
            .map_err(fail("change mount options"))?;
        attributes::change(&top, options.recursive, Extent::Tree)
            .map_err(fail("change mount options"))?;
    }
    for kind in &options.propagation {
        mount_change(by_descriptor(&top), *kind).map_err(fail("change propagation"))?;
    }
    Ok(())
}

/// Where a mount goes.
struct Place<'a> {
    target: &'a OwnedFd,
    /// Permissions of what was there before.
    covered_mode: Option<u32>,
}

/// An image that makes /proc or /sys a link decides where what runtimes mask there ends up. Refused in runc's words.
fn refuse_link(
    root: BorrowedFd<'_>,
    field: &str,
    entry: &Mount,
    options: &Options,
) -> Result<(), RootfsError> {
    let guarded = matches!(options.kind, Kind::Proc | Kind::Sysfs);
    if !guarded || !target::is_link(root, &entry.destination) {
        return Ok(());
    }
    Err(RootfsError::Served {
        field: field.to_owned(),
        value: entry.destination.clone(),
        message: format!(
            "filesystem \"{}\" must be mounted on ordinary directory",
            entry.kind
        ),
    })
}

/// The same of all mounts at once, for a root in which somebody else is to mount them.
pub fn refuse_links(root: &Path, mounts: &[Mount]) -> Result<(), RootfsError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, flags, Mode::empty()).map_err(|errno| RootfsError::Root {
        path: root.display().to_string(),
        source: errno.into(),
    })?;
    for (index, entry) in mounts.iter().enumerate() {
        let options = options::parse(entry, index)?;
        let field = format!("mounts[{index}].destination");
        refuse_link(root.as_fd(), &field, entry, &options)?;
    }
    Ok(())
}

fn bind_source<'a>(
    context: &Context<'a>,
    index: usize,
    entry: &Mount,
) -> Result<Source<'a>, RootfsError> {
    if let Some(lent) = context.lent.sources.get(&index) {
        return Ok(Source::Lent(lent));
    }
    let path = context.bundle.join(&entry.source);
    let fail = at(&format!("mounts[{index}].source"), &entry.source, "open");
    open_source(&path).map(Source::Opened).map_err(fail)
}

pub(super) fn open_source(path: &Path) -> Result<OwnedFd, rustix::io::Errno> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

fn is_directory(fd: &OwnedFd) -> bool {
    rustix::fs::fstat(fd)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

fn mount_one(
    context: &Context<'_>,
    index: usize,
    entry: &Mount,
    options: &Options,
    at_place: &Place<'_>,
    source: Option<&Source<'_>>,
) -> Result<(), RootfsError> {
    let target = at_place.target;
    let place = by_descriptor(target);
    let field = format!("mounts[{index}]");
    let fail = |step| at(&field, &entry.destination, step);
    let served = |message| RootfsError::Served {
        field: field.clone(),
        value: entry.destination.clone(),
        message,
    };
    let flags = options.flags.set;
    match (options.kind, source) {
        (Kind::Bind { .. }, Some(Source::Lent(copy))) => {
            detached::attach(copy, target.as_fd()).map_err(fail("move_mount"))
        }
        (Kind::Bind { recursive }, Some(Source::Opened(source))) if options.idmap.is_some() => {
            let reach = options.idmap.unwrap_or(Idmap::Mount);
            let copy = detached::copy_of(source, recursive).map_err(fail("open_tree"))?;
            idmap::map(index, entry, reach, None, &copy)?;
            detached::attach(&copy, target.as_fd()).map_err(fail("move_mount"))
        }
        (Kind::Bind { recursive: true }, Some(Source::Opened(source))) => {
            mount_bind_recursive(by_descriptor(source), place).map_err(fail("bind mount"))
        }
        (Kind::Bind { .. }, Some(Source::Opened(source))) => {
            mount_bind(by_descriptor(source), place).map_err(fail("bind mount"))
        }
        (Kind::Bind { .. }, None) => Err(fail("bind mount")(rustix::io::Errno::INVAL)),
        (Kind::Tmpfs, _) => tmpfs(context, index, entry, options, at_place),
        (Kind::Devpts, _) => {
            filesystem(entry, &place, flags, &devpts_data(options)).map_err(fail("mount devpts"))
        }
        (Kind::Mqueue | Kind::Host, _) => {
            filesystem(entry, &place, flags, &options.data).map_err(fail("mount"))
        }
        (Kind::Proc, _) => context.kernel.mount_proc(Path::new(&place)).map_err(served),
        (Kind::Sysfs, _) => {
            let read_only = flags.contains(MountFlags::RDONLY);
            context
                .kernel
                .mount_sys(Path::new(&place), read_only)
                .map_err(served)
        }
        (Kind::Cgroup, _) => cgroups::attach(context, &entry.destination, target.as_fd()),
    }
}

/// Mount a file system of the entry's type; its source is what mountinfo shows.
fn filesystem(
    entry: &Mount,
    place: &str,
    flags: MountFlags,
    data: &str,
) -> Result<(), rustix::io::Errno> {
    let data = std::ffi::CString::new(data).map_err(|_| rustix::io::Errno::INVAL)?;
    let source = if entry.source.is_empty() {
        &entry.kind
    } else {
        &entry.source
    };
    mount(
        source.as_str(),
        place,
        entry.kind.as_str(),
        flags,
        Some(data.as_c_str()),
    )
}

fn tmpfs(
    context: &Context<'_>,
    index: usize,
    entry: &Mount,
    options: &Options,
    place: &Place<'_>,
) -> Result<(), RootfsError> {
    let target = place.target;
    let field = format!("mounts[{index}]");
    let fail = |step| at(&field, &entry.destination, step);
    let covered = options
        .copy_up
        .then(|| copy_up::directory(target))
        .transpose()
        .map_err(fail("open for tmpcopyup"))?;
    // Sealed by `attach` once it is filled.
    let flags = options.flags.set - MountFlags::RDONLY;
    filesystem(
        entry,
        &by_descriptor(target),
        flags,
        &tmpfs_data(options, place.covered_mode),
    )
    .map_err(fail("mount tmpfs"))?;
    if let Some(from) = covered {
        let place = target::open(context.root, &entry.destination).map_err(fail("resolve"))?;
        copy_up::directory(&place)
            .and_then(|to| copy_up::copy(from.as_fd(), to.as_fd()))
            .map_err(fail("tmpcopyup"))?;
    }
    Ok(())
}

/// Without a mode of its own a tmpfs takes that of the directory it covers, and where there was none Linux's own (1777),
/// as runc has it.
fn tmpfs_data(options: &Options, covered_mode: Option<u32>) -> String {
    let mut words = options.data.split(',');
    let (Some(mode), false) = (covered_mode, words.any(|word| word.starts_with("mode="))) else {
        return options.data.clone();
    };
    let separator = if options.data.is_empty() { "" } else { "," };
    format!("{}{separator}mode={mode:o}", options.data)
}

/// devpts is always a new instance; the word itself is history, mount(8).
fn devpts_data(options: &Options) -> String {
    let keep: Vec<&str> = options
        .data
        .split(',')
        .filter(|option| *option != "newinstance")
        .collect();
    keep.join(",")
}
