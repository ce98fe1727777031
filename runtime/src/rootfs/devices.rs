//! `/dev`: the devices every container has, those of `linux.devices`, and the customary links.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, Uid, makedev, mknodat};
use rustix::io::Errno;

use super::target::{self, Missing};
use super::{RootfsError, at, by_descriptor, mounts};
use crate::spec::types::{Device, Spec};

/// Name and number of the devices every container has, OCI runtime specification, "Default Devices".
pub const DEFAULT: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// How devices get into the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nodes {
    Made,
    /// Outside the initial user namespace nobody makes device nodes: those of the host are bound.
    Bound,
}

/// Fill `/dev`, unless the bundle brings a whole `/dev` by bind mount.
pub fn populate(root: BorrowedFd<'_>, spec: &Spec, nodes: Nodes) -> Result<(), RootfsError> {
    let brought = spec.mounts.iter().any(|mount| {
        let bind = mount.kind == "bind"
            || mount
                .options
                .iter()
                .any(|option| option == "bind" || option == "rbind");
        bind && mount.destination.trim_end_matches('/') == "/dev"
    });
    if !brought {
        let dev = target::open_or_make(root, "/dev", Missing::Directory)
            .map_err(at("/dev", "/dev", "resolve"))?;
        for (name, major, minor) in DEFAULT {
            if nodes == Nodes::Bound {
                bind(dev.as_fd(), name, &format!("/dev/{name}")).map_err(at(
                    "/dev",
                    name,
                    "bind mount",
                ))?;
                continue;
            }
            let mode = Mode::from_raw_mode(0o666);
            node(&dev, name, FileType::CharacterDevice, mode, (major, minor))
                .map_err(at("/dev", name, "mknod"))?;
        }
        for (name, to) in LINKS {
            exists_is_fine(rustix::fs::symlinkat(to, &dev, name))
                .map_err(at("/dev", name, "symlink"))?;
        }
        if spec
            .process
            .as_ref()
            .is_some_and(|process| process.terminal)
        {
            // The app kernel binds the terminal over it once it has one.
            target::open_or_make(dev.as_fd(), "console", Missing::File)
                .map_err(at("/dev", "console", "create"))?;
        }
    }
    spec.linux
        .devices
        .iter()
        .enumerate()
        .try_for_each(|(index, device)| own(root, index, device, nodes))
}

fn exists_is_fine(result: Result<(), Errno>) -> Result<(), Errno> {
    result.or_else(|errno| {
        if errno == Errno::EXIST {
            Ok(())
        } else {
            Err(errno)
        }
    })
}

/// mknod regardless of the umask; what exists already stays.
fn node(
    directory: &OwnedFd,
    name: &str,
    kind: FileType,
    mode: Mode,
    number: (u32, u32),
) -> Result<(), Errno> {
    match mknodat(directory, name, kind, mode, makedev(number.0, number.1)) {
        Ok(()) => rustix::fs::chmodat(directory, name, mode, AtFlags::empty()),
        Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Bind the host's device over `name`, made if it is missing.
fn bind(directory: BorrowedFd<'_>, name: &str, device: &str) -> Result<(), Errno> {
    let source = mounts::open_source(device.as_ref())?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&source)?.st_mode);
    if !matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
        return Err(Errno::NXIO);
    }
    let place = target::open_or_make(directory, name, Missing::File)?;
    rustix::mount::mount_bind(by_descriptor(&source), by_descriptor(&place))
}

fn own(
    root: BorrowedFd<'_>,
    index: usize,
    device: &Device,
    nodes: Nodes,
) -> Result<(), RootfsError> {
    let field = format!("linux.devices[{index}].path");
    let fail = |step| at(&field, &device.path, step);
    let (parent, name) = target::parent_of(root, &device.path).map_err(fail("resolve"))?;
    let kind = match device.kind.as_str() {
        "b" => FileType::BlockDevice,
        "p" => FileType::Fifo,
        _ => FileType::CharacterDevice,
    };
    if nodes == Nodes::Bound && kind != FileType::Fifo {
        return bind(parent.as_fd(), &name, &device.path)
            .map_err(fail("bind mount the host's device of the same path"));
    }
    let number = (device.major as u32, device.minor as u32);
    // The type bits some engines leave in fileMode are not mknod's business here.
    let mode = Mode::from_raw_mode(device.file_mode.unwrap_or(0o666) & 0o7777);
    node(&parent, &name, kind, mode, number).map_err(fail("mknod"))?;
    let owner = (device.uid.map(Uid::from_raw), device.gid.map(Gid::from_raw));
    if owner != (None, None) {
        rustix::fs::chownat(&parent, &name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(fail("chown"))?;
    }
    Ok(())
}
