//! A process more in a running sandbox: made here, so that it is the caller's child, then adopted by the app
//! kernel.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use caisson_sys::guest::{self, Guest, Setup};
use caisson_sys::landlock::{self, Scope};
use caisson_sys::user_namespace::{self, Ids};
use caisson_sys::{credentials, namespace};
use caisson_wire::{FilterFacts, ProcessSpec, Request, Response};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};

use super::{Door, converse, entrance, namespaces};
use crate::RuntimeError;
use crate::process::ProcessId;
use crate::spec::schedule::{self, Which};
use crate::spec::{home, memory_policy, seccomp};
use crate::tier::{Exec, Running};

/// Ends a process that was not adopted.
struct Unadopted(Option<Guest>);

impl Drop for Unadopted {
    fn drop(&mut self) {
        if let Some(guest) = &self.0 {
            // An error means that it has ended.
            caisson_sys::descriptor::pidfd_send_signal(guest.pidfd.as_fd(), libc::SIGKILL).ok();
            guest::wait(guest.pid).ok();
        }
    }
}

/// Must be called while this process has a single thread.
pub(super) fn exec(exec: &Exec<'_>) -> Result<Running, RuntimeError> {
    let init = exec.state.init.ok_or(RuntimeError::NotRunning)?.open();
    let init = init
        .map_err(RuntimeError::step("pidfd_open"))?
        .ok_or(RuntimeError::NotRunning)?;
    let root = container_root(exec)?;
    let (console, slave) = terminal(exec)?;
    let null = container_null(root.as_fd());
    let facts = filter_facts(exec)?;
    // From here on this process may have other rights, which do not reach the socket.
    let door = Door::open(exec.entry)?;
    let mut guest = Unadopted(Some(spawn(
        exec,
        &facts,
        &init,
        slave.as_ref(),
        null.as_ref(),
    )?));
    let Some(made) = &guest.0 else {
        return Err(RuntimeError::NotRunning);
    };
    let process = ProcessId::of(made.pid).ok_or(RuntimeError::NotRunning)?;
    schedule::apply(exec.document, made.pid, Which::Exec)?;
    let request = Request::Adopt {
        host_pid: made.pid,
        process: with_home(exec, root.as_fd()),
    };
    let listener: Vec<BorrowedFd<'_>> = made.listener.iter().map(AsFd::as_fd).collect();
    door.ask(&request, &listener)?;
    // From here on it is like any other child.
    guest.0 = None;
    Ok(Running { process, console })
}

/// The sandbox process' root is the container's.
fn container_root(exec: &Exec<'_>) -> Result<OwnedFd, RuntimeError> {
    let sandbox = exec.state.sandbox.ok_or(RuntimeError::NotRunning)?;
    let path = format!("/proc/{}/root", sandbox.pid);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path.as_str(), flags, Mode::empty())
        .map_err(RuntimeError::file(path.as_ref(), "open"))
}

fn with_home(exec: &Exec<'_>, root: BorrowedFd<'_>) -> ProcessSpec {
    let mut process = exec.process.clone();
    home::complete(&mut process.env, process.uid, root);
    process
}

/// The container's own null device: whoever may change the mode of its standard input must not change the host's
/// /dev/null with it.
fn container_null(root: BorrowedFd<'_>) -> Option<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, c"dev/null", flags, Mode::empty(), resolve)
        .ok()
        .filter(|fd| is_null(fd.as_fd()))
}

fn is_null(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && stat.st_rdev == rustix::fs::makedev(1, 3)
    })
}

/// Master and slave, if the process gets a terminal.
fn terminal(exec: &Exec<'_>) -> Result<(Option<OwnedFd>, Option<OwnedFd>), RuntimeError> {
    let Some(size) = exec.console else {
        return Ok((None, None));
    };
    let request = Request::OpenConsole {
        rows: size.rows,
        columns: size.columns,
    };
    let mut fds = Door::open(exec.entry)?.ask(&request, &[])?.into_iter();
    match (fds.next(), fds.next()) {
        (Some(master), Some(slave)) => Ok((Some(master), Some(slave))),
        _ => Err(RuntimeError::Sandbox {
            message: "no terminal came with the answer".into(),
        }),
    }
}

/// The ids of the user namespace in which the sandbox process is. A caller without rights of its own enters it: who has
/// made it has rights there.
fn settle(exec: &Exec<'_>) -> Result<Ids, RuntimeError> {
    const SYS_ADMIN: u64 = 1 << 21;
    let sandbox = exec.state.sandbox.ok_or(RuntimeError::NotRunning)?;
    let ids = crate::user_namespace::ids_of(&sandbox.pid.to_string())?;
    if ids.are_the_hosts() {
        return Ok(ids);
    }
    entrance::raise(&exec.process.rlimits);
    let (effective, _) =
        credentials::capabilities().map_err(RuntimeError::step("read own capabilities"))?;
    if effective & SYS_ADMIN == 0 {
        let path = format!("/proc/{}/ns/user", sandbox.pid);
        let user = namespaces::open(path.as_ref())?;
        user_namespace::enter_as_root(user.as_fd(), || ())
            .map_err(RuntimeError::step("enter the user namespace"))?;
    }
    Ok(ids)
}

fn filter_facts(exec: &Exec<'_>) -> Result<FilterFacts, RuntimeError> {
    match converse(exec.entry, &Request::Filter, &[])? {
        (Response::Filter(facts), _) => Ok(facts),
        _ => Err(RuntimeError::Sandbox {
            message: "unexpected answer to a request for the filter".into(),
        }),
    }
}

fn spawn(
    exec: &Exec<'_>,
    facts: &FilterFacts,
    init: &OwnedFd,
    slave: Option<&OwnedFd>,
    null: Option<&OwnedFd>,
) -> Result<Guest, RuntimeError> {
    let profile = seccomp::profile(&exec.state.spec)?;
    let policy = memory_policy::translate(&exec.state.spec.linux.memory_policy)?;
    let filter = caisson_kernel::guest_filter(facts, profile.as_ref());
    let landlock =
        landlock::deny_all(Scope::Files).map_err(RuntimeError::step("landlock_create_ruleset"))?;
    let files = exec.state.cgroup.guest_files_below(&exec.below)?;
    let cgroups: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
    let stdio = match (slave, exec.stdio) {
        (Some(slave), _) => [slave.as_fd(); 3],
        (None, Some(given)) => given,
        (None, None) => [
            rustix::stdio::stdin(),
            rustix::stdio::stdout(),
            rustix::stdio::stderr(),
        ],
    };
    let stdio = stdio.map(|fd| null.filter(|_| is_null(fd)).map_or(fd, AsFd::as_fd));
    let host_proc =
        std::fs::File::open("/proc").map_err(RuntimeError::file("/proc".as_ref(), "open"))?;
    let preserved: Vec<BorrowedFd<'_>> = exec.preserved.iter().map(AsFd::as_fd).collect();
    let ids = settle(exec)?;
    let setup = Setup {
        ids: &ids,
        host_proc: host_proc.as_fd(),
        filter: &filter,
        cgroups: &cgroups,
        stdio,
        preserved: &preserved,
        memory_policy: policy.as_ref(),
        terminal: slave.is_some(),
        hostname: c"",
        landlock: landlock.as_ref().map(AsFd::as_fd),
        umask: exec.process.umask,
        personality: exec.state.spec.linux.personality(),
        reach: caisson_kernel::guest_reach(facts.transport),
    };
    if exec.state.spec.linux.has_namespace("time") {
        namespace::enter_time(init.as_fd())
            .map_err(RuntimeError::step("enter the time namespace"))?;
    }
    guest::spawn_into(&setup, init.as_fd()).map_err(|error| RuntimeError::Sandbox {
        message: error.to_string(),
    })
}
