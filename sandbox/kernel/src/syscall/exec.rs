//! execve(2), execveat(2), and the private call by which the loader asks for its plan.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::io::Errno;

use crate::call::Call;
use crate::exec::{self, Request, Scratch, Strings};
use crate::reply::Reply;
use crate::task::{Executable, Thread, lock};

pub fn execve(call: &mut Call<'_>) -> Result<Reply, Errno> {
    if call.kernel.gate.hold(call) {
        return Ok(Reply::Answered);
    }
    let [path, argv, envp, ..] = call.incoming.args;
    execute(call, libc::AT_FDCWD, path, argv, envp, 0)
}

pub fn execveat(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let directory = call.int(0);
    let [_, path, argv, envp, ..] = call.incoming.args;
    execute(call, directory, path, argv, envp, call.int(4))
}

fn execute(
    call: &mut Call<'_>,
    directory: i32,
    path: u64,
    argv: u64,
    envp: u64,
    flags: i32,
) -> Result<Reply, Errno> {
    if flags & !(libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::INVAL);
    }
    let text = call.string(path, crate::call::PATH_MAX).map_err(|e| {
        if e == Errno::TOOBIG {
            Errno::NAMETOOLONG
        } else {
            e
        }
    })?;
    let empty_path = flags & libc::AT_EMPTY_PATH != 0;
    if text.is_empty() && !empty_path {
        return Err(Errno::NOENT);
    }
    if flags & libc::AT_SYMLINK_NOFOLLOW != 0 && !text.is_empty() {
        let is_link = call.on_path(directory, &text, |at, path| {
            let stat = rustix::fs::statat(at, path, AtFlags::SYMLINK_NOFOLLOW)?;
            Ok(rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink())
        })?;
        if is_link {
            return Err(Errno::LOOP);
        }
    }
    // Like Linux: first the file, which a search along PATH mostly does not find, then its arguments, then its content.
    let program = match exec::open_program(call, directory, &text, empty_path) {
        Err(error) if error != Errno::NOEXEC && error != Errno::LIBBAD => return Err(error),
        program => program,
    };
    let (stack_limit, _) = caisson_sys::limit::get(call.incoming.tid, libc::RLIMIT_STACK)?;
    let arguments = Strings::read(call, argv, stack_limit)?;
    let environment = Strings::read(call, envp, stack_limit)?;
    let program = program?;
    let scratch = Scratch {
        empty_path: path + text.as_bytes().len() as u64,
        // The last argument and its NULL: the least that the host's own exec has to copy.
        argv: if arguments.count == 0 {
            0
        } else {
            argv + 8 * (arguments.count - 1)
        },
        envp: if envp == 0 {
            0
        } else {
            envp + 8 * environment.count
        },
    };
    let mut arguments = arguments;
    if arguments.count == 0 {
        // As Linux does since 5.18: a program never sees argc == 0.
        arguments.push(b"");
    }
    let request = Request {
        path: text,
        arguments,
        environment,
    };
    exec::run(call, program, request, scratch)?;
    Ok(Reply::Answered)
}

/// Only a process whose executable is the loader gets a plan; to everybody else the number is unknown.
pub fn loader_plan(call: &mut Call<'_>) -> Result<Reply, Errno> {
    if !runs_loader(call)? {
        return Err(Errno::NOSYS);
    }
    let [buffer, length, entry, stack, ..] = call.incoming.args;
    if buffer == 0 && length == 0 {
        return program_is_mapped(call, entry, stack);
    }
    let process = call.process().clone();
    let mut slot = lock(&process.exec);
    let plan = slot.as_mut().ok_or(Errno::NOSYS)?;
    if plan.taken {
        call.write_bytes(buffer, &plan.strings())?;
        *slot = None;
        return Ok(Reply::ZERO);
    }
    let mut room = plan.room.take();
    let descriptors = donate_files(call, plan, &mut room);
    if let Some(room) = room {
        room.restore();
    }
    let (program, interpreter) = descriptors?;
    let tid = call.incoming.tid;
    let awaited = call.kernel.tracer.holds(tid) || call.kernel.gate.holds(tid);
    let mut answer = exec::header(plan, program, interpreter, awaited);
    let inline = plan.strings_bytes() as usize <= crate::exec::wire::INLINE_STRINGS;
    if inline {
        answer.extend_from_slice(&plan.strings());
    }
    if answer.len() as u64 > length {
        return Err(Errno::INVAL);
    }
    call.write_bytes(buffer, &answer)?;
    plan.taken = true;
    let dumpable = plan.dumpable;
    let credentials = plan.credentials.clone();
    let (fs, spaces) = (plan.fs.clone(), plan.spaces.clone());
    let exe = std::mem::take(&mut plan.exe);
    let file = plan.program.take().ok_or(Errno::NOSYS)?;
    if inline {
        *slot = None;
    }
    drop(slot);
    call.limits_follow(&credentials);
    let executable = Executable::new(&call.kernel.running, file, &exe)?;
    *lock(&process.exe) = Some(executable);
    process.dumpable.store(dumpable, Ordering::Release);
    process
        .no_new_privs
        .store(credentials.no_new_privs, Ordering::Release);
    process.unrestarting.store(0, Ordering::Release);
    process.stand_alone(fs);
    process.set_spaces(spaces);
    let leader = Thread::new(
        call.incoming.tid,
        process.guest_pid,
        process.clone(),
        Arc::new(credentials),
    );
    call.kernel.table.only_leader_remains(Arc::new(leader));
    call.kernel
        .tracer
        .process_gone(process.pid, Some(process.pid));
    Ok(Reply::ZERO)
}

/// The last that the loader says, where somebody waits for it.
fn program_is_mapped(call: &Call<'_>, entry: u64, stack: u64) -> Result<Reply, Errno> {
    call.kernel.gate.pass(call.incoming.tid);
    match call.transport.start_program(&call.incoming, entry, stack) {
        // The thread was killed; nobody waits for an answer.
        Ok(()) | Err(Errno::SRCH | Errno::NOENT) => Ok(Reply::Answered),
        Err(error) => Err(error),
    }
}

/// Descriptors of the program and its interpreter.
fn donate_files(
    call: &Call<'_>,
    plan: &exec::Plan,
    room: &mut Option<exec::Room>,
) -> Result<(i32, i32), Errno> {
    let file = plan.program.as_ref().ok_or(Errno::NOSYS)?;
    let program = exec::donate(call, file.as_fd(), room)?;
    let interpreter = match &plan.interpreter {
        Some(fd) => exec::donate(call, fd.as_fd(), room)?,
        None => -1,
    };
    Ok((program, interpreter))
}

fn runs_loader(call: &Call<'_>) -> Result<bool, Errno> {
    let path = format!("{}/exe", call.incoming.tid);
    let stat = statx(
        call.kernel.host_proc(),
        path,
        AtFlags::empty(),
        StatxFlags::INO,
    )?;
    let device = rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor);
    Ok((device, stat.stx_ino) == call.kernel.loader_identity)
}
