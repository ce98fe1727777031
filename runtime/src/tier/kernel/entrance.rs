//! The first act of a sandbox process that is to live in a user namespace of the container's: do what only the host's
//! rights allow, enter, and execute itself again.
//!
//! The second execution is what makes the process the namespace's own: from then on the host kernel decides by the
//! rights of that namespace who may look at its memory and its files in /proc.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use caisson_kernel::Held;
use caisson_sys::namespace::{self, Namespaces as Kinds};
use caisson_sys::user_namespace;
use caisson_wire::Rlimit;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::PROCESS_NAME;
use crate::RuntimeError;
use crate::cgroup::Cgroup;
use crate::fault;
use crate::namespace::{Namespaces, Origin};
use crate::rootfs::options::{self, Kind};
use crate::spec::Spec;
use crate::tier::edges;

/// What is to be done before entering; the user namespace travels beside it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entrance {
    cgroup: Cgroup,
    namespaces: Namespaces,
    /// A time namespace to join.
    time: Option<std::path::PathBuf>,
    /// Limits that a guest process will get: only the host's CAP_SYS_RESOURCE raises one.
    limits: Vec<Rlimit>,
    /// How many file systems the app kernel will serve.
    served: usize,
}

impl Entrance {
    pub(super) fn new(
        spec: &Spec,
        cgroup: &Cgroup,
        namespaces: &Namespaces,
        limits: &[Rlimit],
    ) -> Entrance {
        let served = spec.mounts.iter().enumerate().filter(|(index, mount)| {
            let parsed = options::parse(mount, *index);
            parsed.is_ok_and(|options| matches!(options.kind, Kind::Proc | Kind::Sysfs))
        });
        let time = spec
            .linux
            .namespaces
            .iter()
            .find(|wanted| wanted.kind == "time");
        Entrance {
            cgroup: cgroup.clone(),
            namespaces: namespaces.clone(),
            time: time
                .filter(|wanted| !wanted.path.is_empty())
                .map(|wanted| wanted.path.clone().into()),
            limits: limits.to_vec(),
            served: served.count(),
        }
    }
}

/// What the second execution is told on its command line, in JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entered {
    /// Descriptor of the pid namespace to join.
    pid: Option<i32>,
    /// Descriptors of /dev/fuse.
    fuse: Vec<i32>,
    /// The process' oom_score_adj before it was lowered.
    pub(super) oom_score_adj: i32,
}

/// What it makes of that.
pub(super) struct Belongings {
    pub(super) pid: Option<OwnedFd>,
    pub(super) held: Held,
    pub(super) oom_score_adj: i32,
}

impl Entered {
    /// Own the descriptors, and the boot socket beside them.
    pub(super) fn take(self, boot: i32) -> Option<(OwnedFd, Belongings)> {
        let numbers: Vec<i32> = [boot]
            .into_iter()
            .chain(self.pid)
            .chain(self.fuse)
            .collect();
        let mut owned = edges::take_all_inherited(&numbers)?.into_iter();
        let boot = owned.next()?;
        let pid = if self.pid.is_some() {
            owned.next()
        } else {
            None
        };
        let belongings = Belongings {
            pid,
            held: Held {
                fuse: owned.collect(),
                host_mounts: None,
            },
            oom_score_adj: self.oom_score_adj,
        };
        Some((boot, belongings))
    }
}

/// Enter the user namespace and execute this binary again. Returns only with an error.
pub(super) fn enter(
    entrance: &Entrance,
    user: &OwnedFd,
    boot: &OwnedFd,
    id: &str,
    parent: i32,
) -> RuntimeError {
    match prepare(entrance, user) {
        Ok((entered, kept)) => {
            let again = execute(&entered, boot, id, parent);
            drop(kept);
            again
        }
        Err(error) => error,
    }
}

fn prepare(entrance: &Entrance, user: &OwnedFd) -> Result<(Entered, Vec<OwnedFd>), RuntimeError> {
    entrance.cgroup.join_as_kernel()?;
    fault::point("sandbox.joined");
    let oom_score_adj = super::birth::spare_from_oom();
    raise(&entrance.limits);
    let pid = match &entrance.namespaces.pid {
        Origin::Join(path) => Some(super::namespaces::open(path)?),
        _ => None,
    };
    let later = join(entrance)?;
    let devices = || -> std::io::Result<Vec<OwnedFd>> {
        // Still the host's user, to whom the device may belong alone, but in the namespace that will mount by it.
        (0..entrance.served)
            .map(|_| caisson_kernel::open_fuse())
            .collect()
    };
    let fuse = user_namespace::enter_as_root(user.as_fd(), devices)
        .map_err(RuntimeError::step("enter the user namespace"))?
        .map_err(RuntimeError::step("open"))?;
    fault::point(fault::USER);
    for (fd, kind, path) in later {
        namespace::enter(fd.as_fd(), kind).map_err(RuntimeError::file(&path, "setns"))?;
    }
    let entered = Entered {
        pid: pid.as_ref().map(AsRawFd::as_raw_fd),
        fuse: fuse.iter().map(AsRawFd::as_raw_fd).collect(),
        oom_score_adj,
    };
    Ok((entered, fuse.into_iter().chain(pid).collect()))
}

/// Raise our hard limits to what guests are to have. One that cannot be raised is told when the guest gets it.
pub(super) fn raise(limits: &[Rlimit]) {
    let own = std::process::id() as i32;
    for limit in limits {
        if let Ok((soft, hard)) = caisson_sys::limit::get(own, limit.resource)
            && hard < limit.hard
        {
            caisson_sys::limit::set(own, limit.resource, soft, limit.hard).ok();
        }
    }
}

/// Join namespaces that are not the container's own. Returned are those that only the container's root can join.
fn join(entrance: &Entrance) -> Result<Vec<(OwnedFd, Kinds, std::path::PathBuf)>, RuntimeError> {
    let namespaces = &entrance.namespaces;
    let joined = [
        (&namespaces.network, Kinds::NET),
        (&namespaces.ipc, Kinds::IPC),
        (&namespaces.uts, Kinds::UTS),
    ];
    let mut later = Vec::new();
    for (origin, kind) in joined {
        let Origin::Join(path) = origin else { continue };
        let fd = super::namespaces::open(path)?;
        match namespace::enter(fd.as_fd(), kind) {
            Err(Errno::PERM) => later.push((fd, kind, path.clone())),
            other => other.map_err(RuntimeError::file(path, "setns"))?,
        }
    }
    if let Some(path) = &entrance.time {
        namespace::enter_time(super::namespaces::open(path)?.as_fd())
            .map_err(RuntimeError::file(path, "setns"))?;
    }
    Ok(later)
}

fn execute(entered: &Entered, boot: &OwnedFd, id: &str, parent: i32) -> RuntimeError {
    let text = match serde_json::to_string(entered) {
        Ok(text) => text,
        Err(error) => {
            return RuntimeError::step("describe what is kept")(std::io::Error::from(error));
        }
    };
    let numbers = entered.fuse.iter().copied().chain(entered.pid);
    for number in numbers.chain([boot.as_raw_fd()]) {
        if let Err(error) = edges::leave_open(number) {
            return RuntimeError::step("fcntl")(error);
        }
    }
    let error = Command::new("/proc/self/exe")
        .arg0(PROCESS_NAME)
        .arg(id)
        .arg(boot.as_raw_fd().to_string())
        .arg(parent.to_string())
        .arg(text)
        .env_clear()
        .envs(fault::inherited())
        .exec();
    RuntimeError::step("execute the sandbox process in the user namespace")(error)
}
