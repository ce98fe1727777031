//! Carrying an exec out.

use std::ffi::CString;
use std::os::fd::AsFd;

use caisson_sys::surgery::ExecRegisters;
use caisson_wire::ProcessSpec;
use rustix::io::Errno;

use super::program::with_prefix;
use super::{Plan, Program, Strings, donate, find_in_path, open_program};
use crate::call::Call;
use crate::task::{AfterExec, after_exec, lock};

/// An exec as a guest or the runtime asks for it.
#[derive(Debug)]
pub struct Request {
    /// As it was given.
    pub path: CString,
    pub arguments: Strings,
    pub environment: Strings,
}

/// Guest addresses of what the host's `execveat` reads: it wants a path, an argv and an envp, though the
/// loader builds its own.
#[derive(Clone, Copy, Debug)]
pub struct Scratch {
    pub empty_path: u64,
    pub argv: u64,
    pub envp: u64,
}

/// Replace the waiting call by the loader of a program that was opened with all checks. On an error nothing has
/// changed and the call still waits for its answer.
pub fn run(
    call: &mut Call<'_>,
    program: Program,
    request: Request,
    scratch: Scratch,
) -> Result<(), Errno> {
    let after = after(call, &program)?;
    start(call, program, request, after, scratch)
}

/// The first exec of a process that the runtime made: arguments come from its spec.
pub fn first_exec(call: &mut Call<'_>, spec: &ProcessSpec) -> Result<(), Errno> {
    let path = find_in_path(call, &spec.args[0], &spec.env)?;
    let request = Request {
        path,
        arguments: Strings::from_list(spec.args.iter().map(String::as_bytes)),
        environment: Strings::from_list(spec.env.iter().map(String::as_bytes)),
    };
    let [path, argv, envp, ..] = call.incoming.args;
    let empty_path = path + call.path(0)?.as_bytes().len() as u64;
    // Capabilities of the spec are what the process has, whoever it is: no exec rules apply.
    let program = open_program(call, libc::AT_FDCWD, &request.path, false)?;
    let before = call.credentials();
    let mut after = after(call, &program)?;
    let credentials = &mut after.credentials;
    if credentials.euid == before.euid && before.euid != 0 {
        credentials.caps.ambient = before.caps.ambient;
    }
    start(
        call,
        program,
        request,
        after,
        Scratch {
            empty_path,
            argv,
            envp,
        },
    )
}

fn after(call: &Call<'_>, program: &Program) -> Result<AfterExec, Errno> {
    let before = call.credentials();
    let gains_nothing = before.no_new_privs || call.kernel.tracer.restrains(call.process().pid);
    after_exec(&before, program.privileges, gains_nothing)
}

fn start(
    call: &mut Call<'_>,
    program: Program,
    request: Request,
    after: AfterExec,
    scratch: Scratch,
) -> Result<(), Errno> {
    let process = call.process().clone();
    {
        let mut slot = lock(&process.exec);
        if slot
            .as_ref()
            .is_some_and(|plan| plan.tid != call.incoming.tid && !plan.taken)
        {
            // A sibling thread is about to replace this process; its exec will end this thread.
            return Err(Errno::AGAIN);
        }
        let comm = comm(&request.path, &program)?;
        let before = call.credentials();
        let dumpable = program.readable
            && before.euid == before.ruid
            && before.egid == before.rgid
            && !before.changes_dumpable(&after.credentials);
        *slot = Some(Plan {
            tid: call.incoming.tid,
            program: Some(program.file),
            interpreter: program.interpreter,
            arguments: with_prefix(&program.prefix, request.arguments),
            environment: request.environment,
            filename: program.filename,
            comm,
            exe: program.exe,
            credentials: after.credentials,
            fs: call.thread.fs(),
            spaces: call.thread.spaces(),
            secure: after.secure,
            dumpable,
            room: None,
            taken: false,
        });
    }
    let done = replace_by_loader(call, scratch);
    if done.is_err() {
        let plan = lock(&process.exec).take();
        if let Some(room) = plan.and_then(|plan| plan.room) {
            room.restore();
        }
    }
    done
}

/// The thread's new name: the last component of the path, or of the program's own where the path is empty
/// (begin_new_exec).
fn comm(path: &CString, program: &Program) -> Result<[u8; 16], Errno> {
    let mut name = path.as_bytes();
    if name.is_empty() {
        name = &program.exe;
        if rustix::fs::fstat(&program.file)?.st_nlink == 0 {
            name = name.strip_suffix(b" (deleted)").unwrap_or(name);
        }
    }
    let base = name.rsplit(|byte| *byte == b'/').next().unwrap_or(name);
    let length = base.len().min(15);
    let mut comm = [0u8; 16];
    comm[..length].copy_from_slice(&base[..length]);
    Ok(comm)
}

fn replace_by_loader(call: &mut Call<'_>, scratch: Scratch) -> Result<(), Errno> {
    let mut room = None;
    let loader = donate(call, call.kernel.loader.as_fd(), &mut room);
    if let Some(plan) = lock(&call.process().exec).as_mut() {
        plan.room = room;
    }
    let loader = loader?;
    let registers = ExecRegisters {
        loader,
        empty_path: scratch.empty_path,
        argv: scratch.argv,
        envp: scratch.envp,
        secret: call.kernel.secret,
    };
    match call.transport.exec(&call.incoming, registers) {
        // The thread was killed; nobody waits for an answer.
        Err(Errno::SRCH | Errno::NOENT) | Ok(()) => Ok(()),
        Err(error) => Err(error),
    }
}
