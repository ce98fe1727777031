//! unshare(2), setns(2), and the namespaces of what clone(2) makes. A container's namespaces are fixed, but for those of
//! mounts, of names and of the network, which guests with CAP_SYS_ADMIN make for themselves.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use caisson_sys::file::statfs_of;
use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use crate::audited;
use crate::call::Call;
use crate::mounts;
use crate::namespaces::{Made, Net, Uts};
use crate::reply::Reply;
use crate::task::{Capability, Fs, Spaces, Thread, lock, threads_of};

/// Flags that unshare(2) takes without making a namespace.
const PLAIN: u64 = (libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SYSVSEM
    | libc::CLONE_THREAD
    | libc::CLONE_SIGHAND
    | libc::CLONE_VM) as u64;

/// Kinds with their names in /proc/PID/ns, in the order in which Linux enters them.
const KINDS: [(u64, &str); 8] = [
    (libc::CLONE_NEWUSER as u64, "user"),
    (libc::CLONE_NEWNS as u64, "mnt"),
    (libc::CLONE_NEWUTS as u64, "uts"),
    (libc::CLONE_NEWIPC as u64, "ipc"),
    (libc::CLONE_NEWPID as u64, "pid"),
    (libc::CLONE_NEWCGROUP as u64, "cgroup"),
    (libc::CLONE_NEWNET as u64, "net"),
    (CLONE_NEWTIME, "time"),
];

/// linux/sched.h; libc has it as part of the exit signal's bits.
const CLONE_NEWTIME: u64 = 0x80;

/// Those that guests make.
pub const MADE: u64 = (libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWNET) as u64;

fn all() -> u64 {
    KINDS.iter().fold(0, |all, (kind, _)| all | kind)
}

/// Namespaces for a process, made of those that the caller is in.
pub struct New {
    pub fs: Option<Fs>,
    pub uts: Option<Arc<Uts>>,
    pub net: Option<Arc<Net>>,
}

/// `kinds` are of [`MADE`]. `EPERM` without the right to.
pub fn new(call: &mut Call<'_>, kinds: u64) -> Result<New, Errno> {
    require_right(call)?;
    let has = |kind: libc::c_int| kinds & kind as u64 != 0;
    let uts = if has(libc::CLONE_NEWUTS) {
        let names = lock(&call.kernel.names_of(&call.thread)).clone();
        Some(Uts::new(call.kernel, names)?)
    } else {
        None
    };
    let net = if has(libc::CLONE_NEWNET) {
        Some(Net::new(call.kernel)?)
    } else {
        None
    };
    let fs = if has(libc::CLONE_NEWNS) {
        Some(super::mount::copy_namespace(call)?)
    } else {
        None
    };
    Ok(New { fs, uts, net })
}

fn require_right(call: &Call<'_>) -> Result<(), Errno> {
    if call.kernel.mounts().enabled() && call.credentials().can(Capability::SysAdmin) {
        Ok(())
    } else {
        Err(Errno::PERM)
    }
}

/// File system state is the app kernel's; descriptors and semaphore undo lists are the host's.
pub fn unshare(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let flags = call.arg(0);
    if flags & !(PLAIN | all()) != 0 {
        return Err(Errno::INVAL);
    }
    let kinds = flags & all();
    if kinds != 0 {
        // The host could not do the rest without trying to make the namespaces.
        let alone = flags & !kinds & !(libc::CLONE_FS as u64) == 0;
        if !alone || kinds & !MADE != 0 {
            return Err(Errno::PERM);
        }
        let New { fs, uts, net } = new(call, kinds)?;
        let alone = is_alone(call);
        if let Some(fs) = fs {
            call.thread.move_to(fs, alone);
        } else if flags & libc::CLONE_FS as u64 != 0 {
            call.thread.unshare_fs(alone);
        }
        if uts.is_some() || net.is_some() {
            let now = call.thread.spaces();
            let spaces = Spaces {
                uts: uts.or(now.uts),
                net: net.or(now.net),
            };
            call.thread.enter(spaces, alone);
        }
        return Ok(Reply::ZERO);
    }
    if flags & libc::CLONE_FS as u64 != 0 {
        call.thread.unshare_fs(is_alone(call));
    }
    Ok(Reply::Continue(audited::unshare_own()))
}

/// `NSFS_MAGIC`, linux/magic.h.
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// By a file of /proc/PID/ns, or those of a process by its pidfd.
pub fn setns(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let fd = call.fd(call.int(0))?;
    let kinds = call.int(1) as u32 as u64;
    if statfs_of(fd.as_fd())?.f_type == NSFS_MAGIC {
        let kind = caisson_sys::namespace::kind_of(fd.as_fd())? as u32 as u64;
        if kinds != 0 && kinds != kind {
            return Err(Errno::INVAL);
        }
        let name = KINDS.iter().find(|(known, _)| *known == kind);
        let (_, name) = name.ok_or(Errno::INVAL)?;
        let target = target_of_file(call, &fd, name)?;
        return enter(call, vec![(kind, target)]);
    }
    if kinds == 0 || kinds & !all() != 0 {
        return Err(Errno::INVAL);
    }
    let pid = super::signal::process_of_pidfd(call, &fd).map_err(|error| match error {
        Errno::BADF => Errno::INVAL,
        other => other,
    })?;
    let thread = call.kernel.thread(pid)?;
    super::foreign::may_look(call, &thread.process)?;
    let wanted = KINDS.iter().filter(|(kind, _)| kinds & kind != 0);
    let targets = wanted.map(|(kind, name)| (*kind, target_of_thread(&thread, name)));
    enter(call, targets.collect())
}

/// What is to be entered.
enum Target {
    Made(Made),
    /// That of the container, which everybody has who has not made another.
    Containers,
}

fn target_of_thread(thread: &Thread, name: &str) -> Target {
    let of_guests = |one: &Arc<mounts::Namespace>| one.succession.is_none();
    let mounts = thread.with_fs(|fs| fs.mounts.clone()).filter(of_guests);
    let made = match name {
        "mnt" => mounts.map(Made::Mounts),
        "uts" => thread.spaces().uts.map(Made::Uts),
        "net" => thread.net().map(Made::Net),
        _ => None,
    };
    made.map_or(Target::Containers, Target::Made)
}

/// `EPERM` for one that is not of this container.
fn target_of_file(call: &mut Call<'_>, file: &OwnedFd, name: &str) -> Result<Target, Errno> {
    let stat = fstat(file)?;
    if let Some(made) = call.kernel.namespaces.find(stat.st_dev, stat.st_ino) {
        return Ok(Target::Made(made));
    }
    call.servant.assume_self()?;
    let path = format!("{}/ns/{name}", call.process().pid);
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let own = openat(call.kernel.host_proc(), path, flags, Mode::empty())?;
    let own = fstat(own)?;
    if (own.st_dev, own.st_ino) == (stat.st_dev, stat.st_ino) {
        Ok(Target::Containers)
    } else {
        Err(Errno::PERM)
    }
}

/// All or none, by the rules of setns(2): nobody enters the user namespace that it is in.
fn enter(call: &mut Call<'_>, targets: Vec<(u64, Target)>) -> Result<Reply, Errno> {
    let has = |kind: u64| targets.iter().any(|(other, _)| *other == kind);
    if has(libc::CLONE_NEWUSER as u64) {
        return Err(Errno::INVAL);
    }
    require_right(call)?;
    if has(libc::CLONE_NEWNS as u64) {
        if !call.credentials().can(Capability::SysChroot) {
            return Err(Errno::PERM);
        }
        if shares_fs(call) {
            return Err(Errno::INVAL);
        }
    }
    if has(CLONE_NEWTIME) && !is_alone(call) {
        return Err(Errno::USERS);
    }
    let mut spaces = call.thread.spaces();
    for (kind, target) in targets {
        match target {
            Target::Made(Made::Mounts(namespace)) => move_to(call, Some(namespace)),
            Target::Made(Made::Net(net)) => spaces.net = Some(net),
            Target::Made(Made::Uts(uts)) => spaces.uts = Some(uts),
            Target::Containers if kind == libc::CLONE_NEWNS as u64 => move_to(call, None),
            Target::Containers if kind == libc::CLONE_NEWUTS as u64 => spaces.uts = None,
            Target::Containers if kind == libc::CLONE_NEWNET as u64 => spaces.net = None,
            Target::Containers => {}
        }
    }
    call.thread.enter(spaces, is_alone(call));
    Ok(Reply::ZERO)
}

/// To the root of a mount namespace, by default the container's own.
fn move_to(call: &Call<'_>, namespace: Option<Arc<mounts::Namespace>>) {
    let namespace = namespace.or_else(|| call.kernel.mounts().successor());
    let root = match &namespace {
        Some(namespace) => namespace.root(),
        None => call.kernel.root.clone(),
    };
    let fs = Fs {
        cwd: root.clone(),
        root,
        umask: call.thread.with_fs(|fs| fs.umask),
        mounts: namespace,
    };
    call.thread.move_to(fs, is_alone(call));
}

/// Root and working directory are another's as well: of a process (`CLONE_FS`), or of a thread.
fn shares_fs(call: &Call<'_>) -> bool {
    call.thread.fs_sharers() > 1 || call.thread.own_fs().is_none() && !is_alone(call)
}

/// Whether the caller is the only thread of its process.
fn is_alone(call: &Call<'_>) -> bool {
    threads_of(call.kernel.host_proc(), call.process().pid).len() < 2
}
