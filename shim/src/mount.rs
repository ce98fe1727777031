//! The container's root filesystem: mounted as containerd asks, unmounted whatever happened.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use caisson_sys::mount_attributes::Reach;
use containerd_shim_protos::types::mount::Mount;
use nix::sched::{CloneFlags, unshare};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount,
};

use crate::error::ShimError;
use crate::idmap;

/// mount(2) takes one page of options, with a zero byte at its end.
const MAX_DATA_BYTES: usize = 4096 - 1;

/// Mount options as mount(2) wants them.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    flags: MountFlags,
    propagation: Option<MountPropagationFlags>,
    bind: bool,
    data: String,
}

fn parse(options: &[String]) -> Result<Parsed, ShimError> {
    let mut parsed = Parsed {
        flags: MountFlags::empty(),
        propagation: None,
        bind: false,
        data: String::new(),
    };
    for option in options {
        match option.as_str() {
            "bind" => (parsed.bind, parsed.flags) = (true, parsed.flags | MountFlags::BIND),
            "rbind" => {
                (parsed.bind, parsed.flags) =
                    (true, parsed.flags | MountFlags::BIND | MountFlags::REC)
            }
            "ro" => parsed.flags |= MountFlags::RDONLY,
            "rw" => parsed.flags -= MountFlags::RDONLY,
            "nosuid" => parsed.flags |= MountFlags::NOSUID,
            "suid" => parsed.flags -= MountFlags::NOSUID,
            "nodev" => parsed.flags |= MountFlags::NODEV,
            "dev" => parsed.flags -= MountFlags::NODEV,
            "noexec" => parsed.flags |= MountFlags::NOEXEC,
            "exec" => parsed.flags -= MountFlags::NOEXEC,
            "noatime" => parsed.flags |= MountFlags::NOATIME,
            "nodiratime" => parsed.flags |= MountFlags::NODIRATIME,
            "relatime" => parsed.flags |= MountFlags::RELATIME,
            "strictatime" => parsed.flags |= MountFlags::STRICTATIME,
            "sync" => parsed.flags |= MountFlags::SYNCHRONOUS,
            "dirsync" => parsed.flags |= MountFlags::DIRSYNC,
            "defaults" | "async" | "atime" => {}
            "private" => parsed.propagation = Some(MountPropagationFlags::PRIVATE),
            "rprivate" => {
                parsed.propagation =
                    Some(MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            }
            "slave" => parsed.propagation = Some(MountPropagationFlags::DOWNSTREAM),
            "rslave" => {
                parsed.propagation =
                    Some(MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
            }
            "loop" => {
                return Err(ShimError::Unsupported {
                    field: "rootfs.options",
                    value: option.clone(),
                });
            }
            _ => {
                if !parsed.data.is_empty() {
                    parsed.data.push(',');
                }
                parsed.data.push_str(option);
            }
        }
    }
    Ok(parsed)
}

/// Mount `mounts` on `rootfs`, one over the other; nothing stays mounted when one fails.
pub(crate) fn mount_rootfs(mounts: &[Mount], rootfs: &Path) -> Result<(), ShimError> {
    if mounts.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(rootfs).map_err(ShimError::io("create", rootfs))?;
    for entry in mounts {
        let result = mount_one(entry, rootfs);
        if result.is_err() {
            unmount_rootfs(rootfs);
            return result;
        }
    }
    Ok(())
}

fn mount_one(entry: &Mount, rootfs: &Path) -> Result<(), ShimError> {
    let mut options = entry.options.clone();
    let mappings = idmap::take(&mut options)?;
    let mut parsed = parse(&options)?;
    let target = if entry.target.is_empty() {
        rootfs.to_owned()
    } else {
        inside(rootfs, &entry.target)?
    };
    let failed = ShimError::io("mount on", &target);
    // Lets go of the layers when all is mounted.
    let mut _layers = None;
    match &mappings {
        Some(mappings) if parsed.bind => {
            return mount_mapped(entry, &parsed, &target, mappings)
                .map_err(|error| failed(error.into()));
        }
        Some(mappings) => {
            let folder = rootfs.with_file_name("lower");
            let (layers, data) = idmap::Layers::map(&parsed.data, folder, mappings)
                .map_err(ShimError::io("map the layers of", &target))?;
            (_layers, parsed.data) = (Some(layers), data);
        }
        None => {}
    }
    if parsed.data.len() > MAX_DATA_BYTES {
        return mount_long(entry, &parsed, &target).map_err(failed);
    }
    mount_with(&entry.source, &target, &entry.type_, &parsed, &parsed.data)
        .map_err(|error| failed(error.into()))
}

/// A bind mount whose owners are mapped.
fn mount_mapped(
    entry: &Mount,
    parsed: &Parsed,
    target: &Path,
    mappings: &OwnedFd,
) -> Result<(), Errno> {
    let reach = if parsed.flags.contains(MountFlags::REC) {
        Reach::Tree
    } else {
        Reach::Mount
    };
    idmap::attach(Path::new(&entry.source), target, reach, mappings)?;
    settle(target, parsed)
}

/// `target` below `rootfs`, without a way out of it.
fn inside(rootfs: &Path, target: &str) -> Result<PathBuf, ShimError> {
    let relative = Path::new(target.trim_start_matches('/'));
    if relative
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)))
    {
        return Ok(rootfs.join(relative));
    }
    let reason = "must stay inside the rootfs".to_owned();
    Err(ShimError::InvalidField {
        field: "rootfs.target",
        value: target.to_owned(),
        reason,
    })
}

fn mount_with(
    source: &str,
    target: &Path,
    kind: &str,
    parsed: &Parsed,
    data: &str,
) -> Result<(), Errno> {
    let data = std::ffi::CString::new(data).map_err(|_| Errno::INVAL)?;
    mount(source, target, kind, parsed.flags, Some(data.as_c_str()))?;
    settle(target, parsed)
}

fn settle(target: &Path, parsed: &Parsed) -> Result<(), Errno> {
    // A bind mount takes its flags only when it is remounted.
    let restricting = parsed.flags - MountFlags::BIND - MountFlags::REC;
    if parsed.bind && !restricting.is_empty() {
        mount_remount(target, parsed.flags, "")?;
    }
    match parsed.propagation {
        Some(propagation) => mount_change(target, propagation),
        None => Ok(()),
    }
}

/// Many layers need more than a page of options: name them relative to their common folder, in a
/// thread that has a working directory of its own.
fn mount_long(entry: &Mount, parsed: &Parsed, target: &Path) -> io::Result<()> {
    let (folder, data) = shorten(&parsed.data).ok_or(io::ErrorKind::ArgumentListTooLong)?;
    std::thread::scope(|scope| {
        let mounting = scope.spawn(|| -> io::Result<()> {
            unshare(CloneFlags::CLONE_FS)?;
            rustix::process::chdir(&folder)?;
            Ok(mount_with(
                &entry.source,
                target,
                &entry.type_,
                parsed,
                &data,
            )?)
        });
        mounting
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the mounting thread failed")))
    })
}

/// The common folder of all `lowerdir` layers, and the options with the layers relative to it.
fn shorten(data: &str) -> Option<(PathBuf, String)> {
    let layers: Vec<&str> = data
        .split(',')
        .find_map(|option| option.strip_prefix("lowerdir="))?
        .split(':')
        .collect();
    let mut folder = Path::new(*layers.first()?).parent()?;
    while !layers
        .iter()
        .all(|layer| Path::new(layer).starts_with(folder))
    {
        folder = folder.parent()?;
    }
    let relative: Option<Vec<&str>> = layers
        .iter()
        .map(|layer| Path::new(layer).strip_prefix(folder).ok()?.to_str())
        .collect();
    let lower = format!("lowerdir={}", relative?.join(":"));
    let options: Vec<&str> = data
        .split(',')
        .map(|option| {
            if option.starts_with("lowerdir=") {
                lower.as_str()
            } else {
                option
            }
        })
        .collect();
    let data = options.join(",");
    (data.len() <= MAX_DATA_BYTES).then(|| (folder.to_owned(), data))
}

/// Unmount everything that is mounted on `rootfs`. A busy mount is detached.
pub(crate) fn unmount_rootfs(rootfs: &Path) {
    while unmount(rootfs, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).is_ok() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_flags_and_data() {
        let options = ["rbind", "ro", "lowerdir=/a:/b", "index=off"].map(String::from);
        let parsed = parse(&options).unwrap();
        assert!(parsed.bind);
        assert_eq!(
            parsed.flags,
            MountFlags::BIND | MountFlags::REC | MountFlags::RDONLY
        );
        assert_eq!(parsed.data, "lowerdir=/a:/b,index=off");
    }

    #[test]
    fn many_layers_are_named_from_their_common_folder() {
        let layers: Vec<String> = (0..120)
            .map(|n| format!("/var/lib/containerd/snapshots/{n}/fs"))
            .collect();
        let data = format!("index=off,upperdir=/u,lowerdir={}", layers.join(":"));
        let (folder, short) = shorten(&data).unwrap();
        assert_eq!(folder, Path::new("/var/lib/containerd/snapshots"));
        assert!(
            short.starts_with("index=off,upperdir=/u,lowerdir=0/fs:1/fs:"),
            "{short}"
        );
    }

    #[test]
    fn a_target_cannot_leave_the_rootfs() {
        assert!(inside(Path::new("/r"), "/a/../../etc").is_err());
        assert_eq!(
            inside(Path::new("/r"), "/a/b").unwrap(),
            Path::new("/r/a/b")
        );
    }
}
