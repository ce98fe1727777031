//! wait4(2) and waitid(2): the host's to answer, but for what a tracer is told of its tracees.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::audited;
use crate::call::Call;
use crate::reply::Reply;
use crate::tracer::{Asked, Outcome, Report, Which};

/// `struct rusage`, sys/resource.h, in bytes.
const USAGE_BYTES: usize = 144;
/// USER_HZ.
const TICKS_PER_SECOND: u64 = 100;

/// Where the answer goes.
#[derive(Clone, Copy, Debug)]
enum Place {
    Wait4 { status: u64, usage: u64 },
    Waitid { info: u64, usage: u64 },
}

pub fn wait4(call: &mut Call<'_>) -> Result<Reply, Errno> {
    const KNOWN: i32 = libc::WNOHANG
        | libc::WUNTRACED
        | libc::WCONTINUED
        | libc::__WNOTHREAD
        | libc::__WCLONE
        | libc::__WALL;
    let (pid, options) = (call.int(0), call.int(2));
    if !is_tracer(call) || options & !KNOWN != 0 || pid == i32::MIN {
        return Ok(native());
    }
    let which = match pid {
        -1 => Which::All,
        1.. => Which::One(pid),
        0 => Which::Group(own_group(call)?),
        _ => Which::Group(-pid),
    };
    let place = Place::Wait4 {
        status: call.arg(1),
        usage: call.arg(3),
    };
    wait(call, asked(which, options), place)
}

pub fn waitid(call: &mut Call<'_>) -> Result<Reply, Errno> {
    const STATES: i32 = libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED;
    const KNOWN: i32 =
        STATES | libc::WNOHANG | libc::WNOWAIT | libc::__WNOTHREAD | libc::__WCLONE | libc::__WALL;
    let (kind, id, options) = (call.uint(0), call.int(1), call.int(3));
    if !is_tracer(call) || options & !KNOWN != 0 || options & STATES == 0 {
        return Ok(native());
    }
    let which = match kind {
        libc::P_ALL => Which::All,
        libc::P_PID if id > 0 => Which::One(id),
        libc::P_PGID if id > 0 => Which::Group(id),
        libc::P_PGID if id == 0 => Which::Group(own_group(call)?),
        libc::P_PIDFD => match process_of(call, id) {
            Ok(pid) => Which::One(pid),
            Err(_) => return Ok(native()),
        },
        _ => return Ok(native()),
    };
    let place = Place::Waitid {
        info: call.arg(2),
        usage: call.arg(4),
    };
    wait(call, asked(which, options), place)
}

fn native() -> Reply {
    Reply::Continue(audited::waiting())
}

fn is_tracer(call: &Call<'_>) -> bool {
    call.kernel.tracer.is_tracer(call.process().pid)
}

fn asked(which: Which, options: i32) -> Asked {
    Asked {
        which,
        at_once: options & libc::WNOHANG != 0,
        leave: options & libc::WNOWAIT != 0,
        own_only: options & libc::__WNOTHREAD != 0,
    }
}

fn own_group(call: &Call<'_>) -> Result<i32, Errno> {
    super::signal::group_of(call, call.process().guest_pid)
}

/// The guest pid of a pidfd of the caller's.
fn process_of(call: &Call<'_>, fd: i32) -> Result<i32, Errno> {
    let pidfd = call.fd(fd)?;
    let pid = super::signal::process_of_pidfd(call, &pidfd)?;
    Ok(call.kernel.ids_of(pid)?.inner_tgid)
}

fn wait(call: &mut Call<'_>, asked: Asked, place: Place) -> Result<Reply, Errno> {
    match look(call, asked)? {
        Outcome::Told(report) => tell(call, report, place),
        Outcome::Native => Ok(native()),
        Outcome::Sleep(_) => call.park(move |call| {
            loop {
                match look(call, asked)? {
                    Outcome::Told(report) => return tell(call, report, place),
                    Outcome::Native => return Ok(native()),
                    Outcome::Sleep(bell) => sleep(&bell)?,
                }
            }
        }),
    }
}

fn look(call: &Call<'_>, asked: Asked) -> Result<Outcome, Errno> {
    let (tid, pid) = (call.incoming.tid, call.process().pid);
    call.kernel
        .tracer
        .ask(call.kernel, move |tracees| tracees.waits(tid, pid, asked))?
}

fn sleep(bell: &OwnedFd) -> Result<(), Errno> {
    poll(&mut [PollFd::new(&bell.as_fd(), PollFlags::IN)], None).map(drop)
}

fn tell(call: &Call<'_>, report: Report, place: Place) -> Result<Reply, Errno> {
    let usage = match place {
        Place::Wait4 { status, usage } => {
            if status != 0 && report.guest_tid != 0 {
                call.write(status, &report.status)?;
            }
            usage
        }
        Place::Waitid { info, usage } => {
            if info != 0 {
                write_info(call, info, report)?;
            }
            usage
        }
    };
    if usage != 0 && report.guest_tid != 0 {
        call.write_bytes(usage, &usage_of(report))?;
    }
    Ok(Reply::Value(match place {
        Place::Wait4 { .. } => report.guest_tid.into(),
        Place::Waitid { .. } => 0,
    }))
}

/// The fields of `siginfo_t` that waitid(2) fills, and no others.
fn write_info(call: &Call<'_>, at: u64, report: Report) -> Result<(), Errno> {
    let mut words = [0i32; 6];
    let uid = call.credentials().ruid;
    if report.guest_tid != 0 {
        let (code, status) = code_of(report.status);
        words = [libc::SIGCHLD, 0, code, 0, report.guest_tid, uid as i32];
        call.write(at + 24, &status)?;
    } else {
        call.write(at + 24, &0i32)?;
    }
    for (index, word) in words.iter().enumerate() {
        if index != 3 {
            call.write(at + 4 * index as u64, word)?;
        }
    }
    Ok(())
}

/// `si_code` and `si_status`.
fn code_of(status: i32) -> (i32, i32) {
    if libc::WIFSTOPPED(status) {
        (libc::CLD_TRAPPED, status >> 8)
    } else if libc::WIFSIGNALED(status) {
        let code = if libc::WCOREDUMP(status) {
            libc::CLD_DUMPED
        } else {
            libc::CLD_KILLED
        };
        (code, libc::WTERMSIG(status))
    } else {
        (libc::CLD_EXITED, libc::WEXITSTATUS(status))
    }
}

/// `struct rusage` with the times and nothing else.
fn usage_of(report: Report) -> [u8; USAGE_BYTES] {
    let mut bytes = [0; USAGE_BYTES];
    for (index, ticks) in [report.ticks.0, report.ticks.1].into_iter().enumerate() {
        let seconds = ticks / TICKS_PER_SECOND;
        let micros = ticks % TICKS_PER_SECOND * (1_000_000 / TICKS_PER_SECOND);
        bytes[16 * index..16 * index + 8].copy_from_slice(&seconds.to_ne_bytes());
        bytes[16 * index + 8..16 * index + 16].copy_from_slice(&micros.to_ne_bytes());
    }
    bytes
}
