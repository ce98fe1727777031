//! The namespaces of the sandbox process: those that it makes and joins, and what lives in them.

use std::os::fd::{AsFd, OwnedFd};

use caisson_kernel::NamespaceKind;
use caisson_sys::namespace::{self, Namespaces as Kinds};

use super::message::Description;
use crate::RuntimeError;
use crate::namespace::Origin;
use crate::spec::SpecError;

/// Whether namespaces given by path have been joined.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Joined {
    Not,
    Already,
}

/// A mount namespace with the tree that we have now.
pub(super) fn keep_host_mounts() -> Result<OwnedFd, RuntimeError> {
    namespace::unshare(Kinds::MOUNT).map_err(RuntimeError::step("unshare"))?;
    open("/proc/self/ns/mnt".as_ref())
}

/// Make or join what the app kernel shares with its guest. Returns what the guest has to join.
pub(super) fn enter(
    description: &Description,
    joined: Joined,
    pid: Option<OwnedFd>,
) -> Result<Vec<(NamespaceKind, OwnedFd)>, RuntimeError> {
    let namespaces = &description.namespaces;
    let mut new = Kinds::MOUNT;
    let shared = [
        (&namespaces.network, Kinds::NET),
        (&namespaces.ipc, Kinds::IPC),
        (&namespaces.uts, Kinds::UTS),
    ];
    for (origin, kind) in shared {
        match origin {
            Origin::Join(_) if joined == Joined::Already => {}
            Origin::Join(path) => {
                namespace::enter(open(path)?.as_fd(), kind)
                    .map_err(RuntimeError::file(path, "setns"))?;
            }
            // The host's network is shared; a copy of its name is as good as the name itself.
            Origin::Host if kind == Kinds::NET => {}
            Origin::Host | Origin::New => new |= kind,
        }
    }
    namespace::unshare(new).map_err(RuntimeError::step("unshare"))?;
    if !description.spec.hostname.is_empty() {
        rustix::system::sethostname(description.spec.hostname.as_bytes())
            .map_err(RuntimeError::step("sethostname"))?;
    }
    if !description.spec.domainname.is_empty() {
        rustix::system::setdomainname(description.spec.domainname.as_bytes())
            .map_err(RuntimeError::step("setdomainname"))?;
    }
    clocks(description, joined)?;
    sysctls(description)?;
    let mut join = vec![
        (NamespaceKind::Ipc, open("/proc/self/ns/ipc".as_ref())?),
        (NamespaceKind::Uts, open("/proc/self/ns/uts".as_ref())?),
    ];
    match (pid, &namespaces.pid) {
        (Some(pid), _) => join.push((NamespaceKind::Pid, pid)),
        (None, Origin::Join(path)) => join.push((NamespaceKind::Pid, open(path)?)),
        _ => {}
    }
    Ok(join)
}

/// The guest is born into the time namespace; the app kernel keeps the host's clocks.
fn clocks(description: &Description, joined: Joined) -> Result<(), RuntimeError> {
    let linux = &description.spec.linux;
    let namespaces = linux.namespaces.iter();
    let Some(wanted) = namespaces.clone().find(|wanted| wanted.kind == "time") else {
        return Ok(());
    };
    if !wanted.path.is_empty() && joined == Joined::Already {
        return Ok(());
    }
    if !wanted.path.is_empty() {
        let path = std::path::Path::new(&wanted.path);
        return namespace::enter_time(open(path)?.as_fd())
            .map_err(RuntimeError::file(path, "setns"));
    }
    namespace::unshare_time().map_err(RuntimeError::step("unshare the time namespace"))?;
    let offsets = &linux.time_offsets;
    for (clock, offset) in [
        ("monotonic", &offsets.monotonic),
        ("boottime", &offsets.boottime),
    ] {
        if let Some(offset) = offset {
            let line = format!("{clock} {} {}\n", offset.secs, offset.nanosecs);
            std::fs::write("/proc/self/timens_offsets", &line).map_err(|error| {
                let reason = error.to_string();
                SpecError::invalid(format!("linux.timeOffsets.{clock}"), line.trim(), reason)
            })?;
        }
    }
    Ok(())
}

/// Set what lives in the network and IPC namespace; this thread is in both, and the host's procfs shows the reader's.
fn sysctls(description: &Description) -> Result<(), RuntimeError> {
    for (name, value) in &description.spec.linux.sysctl {
        let field = format!("linux.sysctl.{name}");
        let path = sysctl_path(name);
        if path.starts_with("net/") && description.namespaces.network == Origin::Host {
            let reason = "the container has the host's network namespace";
            return Err(SpecError::invalid(field, value, reason).into());
        }
        let written = match path.as_str() {
            // The file is the host's root's, the name that of the namespace's.
            "kernel/domainname" => {
                rustix::system::setdomainname(value.as_bytes()).map_err(std::io::Error::from)
            }
            _ => std::fs::write(format!("/proc/sys/{path}"), value),
        };
        written.map_err(|error| SpecError::invalid(field, value, error.to_string()))?;
    }
    Ok(())
}

/// Below /proc/sys. As in sysctl(8), dots separate unless a slash comes first, and then belong to the names.
fn sysctl_path(name: &str) -> String {
    let swap = |letter| match letter {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    match name.find(['.', '/']) {
        Some(at) if name[at..].starts_with('.') => name.chars().map(swap).collect(),
        _ => name.to_owned(),
    }
}

/// Bring `lo` up beside the assembly of the mounts: it waits for other users of the network's global lock.
pub(super) fn start_loopback()
-> Result<std::thread::JoinHandle<Result<(), rustix::io::Errno>>, RuntimeError> {
    let builder = std::thread::Builder::new()
        .name("loopback".into())
        .stack_size(64 << 10);
    builder
        .spawn(caisson_sys::loopback::up)
        .map_err(RuntimeError::step("start a thread"))
}

pub(super) fn open(path: &std::path::Path) -> Result<OwnedFd, RuntimeError> {
    Ok(std::fs::File::open(path)
        .map_err(RuntimeError::file(path, "open"))?
        .into())
}
