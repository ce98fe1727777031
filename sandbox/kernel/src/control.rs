//! The main thread of a running sandbox: requests of the runtime, and the end of its first process.

mod gate;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use caisson_sys::descriptor::pidfd_open;
use caisson_sys::guest::Guest;
use caisson_wire::{ProcessSpec, Request, Response, Rlimit};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

use crate::boot::{self, BootError, ConsoleSize, Termination};
use crate::kernel::Kernel;
use crate::task::{
    Credentials, Directory, Fs, MARK_RESOURCE, PROCESSES_RESOURCE, Process, Thread, lock,
};
use crate::watch::Watch;
use crate::{exec, serve};

pub use gate::Gate;

/// How long an adopted process may take to its first exec, and any process from there to its program.
const FIRST_EXEC: Duration = Duration::from_secs(10);
/// How long a transport may take to tell what it has collected.
const COLLECTED: Duration = Duration::from_secs(2);
/// How long a client may take to send its request.
const REQUEST: Duration = Duration::from_secs(10);

/// Answer requests until the init process ends.
pub fn serve_until_end(
    kernel: &Arc<Kernel>,
    control: &OwnedFd,
    init: &Guest,
    process: &ProcessSpec,
) -> Result<Termination, BootError> {
    Watch::start(kernel).map_err(BootError::Thread)?;
    loop {
        let mut fds = [
            PollFd::new(control, PollFlags::IN),
            PollFd::new(&init.pidfd, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => {
                return Err(BootError::Host {
                    what: "poll",
                    errno,
                });
            }
        }
        let ready = [0, 1].map(|index: usize| !fds[index].revents().is_empty());
        if ready[1] {
            return end(kernel, init);
        }
        if ready[0] {
            match accept_with(control, SocketFlags::CLOEXEC) {
                Ok(connection) => answer(kernel, connection.as_fd(), init, process),
                Err(error) => tracing::warn!(%error, "accept on the control socket"),
            }
        }
    }
}

/// Collect the init process. In a pid namespace of its own all others are gone with it.
fn end(kernel: &Kernel, init: &Guest) -> Result<Termination, BootError> {
    kernel.shortfalls.log();
    for process in kernel.table.processes() {
        // In a shared pid namespace the container's other processes outlive its first one otherwise.
        caisson_sys::descriptor::pidfd_send_signal(process.pidfd.as_fd(), libc::SIGKILL).ok();
    }
    let status = match caisson_sys::guest::wait(init.pid) {
        Err(Errno::CHILD) => collected(kernel),
        other => other,
    };
    status
        .map(|status| match status {
            caisson_sys::guest::Ended::Exited(code) => Termination::Exited(code),
            caisson_sys::guest::Ended::Signaled(signal) => Termination::Signaled(signal),
        })
        .map_err(BootError::host("waitpid for the init process"))
}

/// The transport, or the thread that traces for guests, has waited for the init process first. It says how that ended a moment after.
fn collected(kernel: &Kernel) -> Result<caisson_sys::guest::Ended, Errno> {
    for _ in 0..COLLECTED.as_millis() {
        let status = kernel
            .gateway
            .collected()
            .or_else(|| kernel.tracer.collected());
        if let Some(status) = status {
            return caisson_sys::guest::Ended::from_status(status).ok_or(Errno::CHILD);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(Errno::CHILD)
}

fn answer(kernel: &Arc<Kernel>, connection: BorrowedFd<'_>, init: &Guest, process: &ProcessSpec) {
    if rustix::net::sockopt::set_socket_timeout(
        connection,
        rustix::net::sockopt::Timeout::Recv,
        Some(REQUEST),
    )
    .is_err()
    {
        return;
    }
    let (request, fds) = match caisson_wire::receive::<Request>(connection) {
        Ok(received) => received,
        Err(error) => {
            tracing::warn!(%error, "request on the control socket");
            return;
        }
    };
    let mut out = Vec::new();
    let response = match request {
        Request::Filter => Response::Filter(kernel.filter_facts()),
        Request::Shortfalls => Response::Shortfalls(kernel.shortfalls.list()),
        Request::Start => respond(begin(kernel, init.pid, process)),
        Request::OpenConsole { rows, columns } => match open_console(kernel, rows, columns) {
            Ok(ends) => {
                out.extend(ends);
                Response::Done
            }
            Err(errno) => failed("open a terminal in /dev/pts".to_owned(), Some(errno)),
        },
        Request::Adopt { host_pid, process } => respond(adopt(kernel, host_pid, &process, fds)),
        Request::Share(_) => failed("not a virtual machine".to_owned(), None),
    };
    let borrowed: Vec<BorrowedFd<'_>> = out.iter().map(AsFd::as_fd).collect();
    if let Err(error) = caisson_wire::send(connection, &response, &borrowed) {
        tracing::warn!(%error, "response on the control socket");
    }
}

fn respond(result: Result<(), BootError>) -> Response {
    match result {
        Ok(()) => Response::Done,
        Err(BootError::Program { program, errno }) => failed(
            BootError::Program { program, errno }.to_string(),
            Some(errno),
        ),
        Err(error) => failed(error.to_string(), None),
    }
}

fn failed(message: String, errno: Option<Errno>) -> Response {
    Response::Failed {
        message,
        errno: errno.map(Errno::raw_os_error),
    }
}

fn open_console(kernel: &Kernel, rows: u16, columns: u16) -> Result<[OwnedFd; 2], Errno> {
    let console = boot::open_console(kernel, ConsoleSize { rows, columns }, 0)?;
    Ok([console.master, console.slave])
}

/// Let a process that waits in its first exec go, until its program is in place.
fn begin(kernel: &Arc<Kernel>, pid: i32, process: &ProcessSpec) -> Result<(), BootError> {
    if let Err(errno) = kernel.outside.note(kernel.host_proc(), pid) {
        tracing::debug!(pid, %errno, "what the process holds is not known");
    }
    let started = kernel
        .gate
        .with_waiting(kernel, pid, |call| exec::first_exec(call, process));
    if let Err(errno) = started {
        kernel.gate.refuse(pid, errno);
        return Err(BootError::Program {
            program: process.args[0].clone(),
            errno,
        });
    }
    if kernel.gate.wait_passed(pid, FIRST_EXEC).is_none() {
        tracing::warn!(
            pid,
            "the program is not in place yet; it may have been stopped"
        );
    }
    kernel.gate.forget(pid);
    Ok(())
}

fn adopt(
    kernel: &Arc<Kernel>,
    pid: i32,
    process: &ProcessSpec,
    mut fds: Vec<OwnedFd>,
) -> Result<(), BootError> {
    if process.args.is_empty() || fds.len() > 1 {
        return Err(BootError::Host {
            what: "adopt: process.args and at most one listener are needed",
            errno: Errno::INVAL,
        });
    }
    let listener = fds.pop();
    boot::check_user(kernel, process)?;
    // A guest may have pivoted the container's root.
    let mounts = kernel.mounts().successor();
    let root = mounts
        .as_ref()
        .map_or_else(|| kernel.root.clone(), |mounts| mounts.root());
    let fs = Fs {
        cwd: open_cwd(kernel, &root, process)?,
        root,
        umask: process.umask,
        mounts,
    };
    boot::apply_limits(kernel, pid, process)?;
    enter(kernel, pid, process, Arc::new(Mutex::new(fs)))
        .map_err(BootError::host("adopt: read the process' status"))?;
    kernel.gate.expect(pid);
    take_in(kernel, pid, listener)?;
    kernel
        .gate
        .wait(pid, FIRST_EXEC)
        .ok_or(BootError::Stuck(FIRST_EXEC.as_secs()))?;
    begin(kernel, pid, process)
}

/// Serve the process from now on.
pub fn take_in(kernel: &Arc<Kernel>, pid: i32, listener: Option<OwnedFd>) -> Result<(), BootError> {
    let new = kernel
        .gateway
        .take_in(pid, listener, kernel)
        .map_err(BootError::host("take in a guest process"))?;
    match new {
        Some(transport) => serve::start(kernel, transport).map_err(BootError::Thread),
        None => Ok(()),
    }
}

fn open_cwd(
    kernel: &Kernel,
    root: &Arc<Directory>,
    process: &ProcessSpec,
) -> Result<Arc<Directory>, BootError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = kernel.with_servant(|servant| {
        servant.stand_in(root)?;
        servant.assume_self()?;
        rustix::fs::open(process.cwd.as_str(), flags, Mode::empty())
    });
    open.and_then(|fd| fd)
        .map(Directory::new)
        .map_err(|errno| BootError::Cwd {
            path: process.cwd.clone(),
            errno,
        })
}

/// Enter a process that the runtime made into the table.
pub fn enter(
    kernel: &Kernel,
    pid: i32,
    spec: &ProcessSpec,
    fs: Arc<Mutex<Fs>>,
) -> Result<(), Errno> {
    let status = crate::task::read_proc(kernel.host_proc(), &format!("{pid}/status"))?;
    let guest_pid = status
        .lines()
        .find_map(|line| line.strip_prefix("NStgid:"))
        .and_then(|ids| ids.split_ascii_whitespace().next_back())
        .and_then(|id| id.parse().ok())
        .ok_or(Errno::SRCH)?;
    let credentials = Arc::new(Credentials::initial(spec));
    let process = Arc::new(Process::new(
        pid,
        guest_pid,
        pidfd_open(pid)?,
        fs,
        credentials.clone(),
        None,
    ));
    process
        .no_new_privs
        .store(spec.no_new_privileges, std::sync::atomic::Ordering::Release);
    lock(&process.limits).file_locks = caisson_sys::limit::get(pid, MARK_RESOURCE)?;
    let processes = |limit: &&Rlimit| limit.resource == PROCESSES_RESOURCE;
    if let Some(limit) = spec.rlimits.iter().find(processes) {
        let free = credentials.exceeds_processes(kernel.ids.are_the_hosts());
        process.limit_processes((limit.soft, limit.hard), free)?;
    }
    kernel.watch.add(&process);
    kernel
        .table
        .insert(Arc::new(Thread::new(pid, guest_pid, process, credentials)));
    Ok(())
}
