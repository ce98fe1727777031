//! One run of the runtime binary: its stdio, its end, its message when it fails.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

use super::error::RuntimeError;
use super::log::last_error;
use crate::limits;
use crate::reaper::Reaper;

/// Longest output of the runtime that is read.
const MAX_OUTPUT_BYTES: u64 = 1 << 20;

/// What the command, and the container's process that inherits it, gets as 0, 1 and 2. `None` is
/// /dev/null for 0 and a captured file for 1 and 2.
#[derive(Default)]
pub(crate) struct CommandStdio {
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
    /// The container inherits 1 and 2: nothing may be captured.
    pub(crate) inherited: bool,
}

impl CommandStdio {
    pub(crate) fn null() -> CommandStdio {
        CommandStdio::default()
    }
}

/// Run `command` to its end. Captured output goes to memory files, not pipes: a daemon that a hook
/// leaves behind can hold a pipe open for ever.
pub(crate) fn run(
    reaper: &Reaper,
    mut command: Command,
    stdio: CommandStdio,
    log: &Path,
) -> Result<Vec<u8>, RuntimeError> {
    let binary = Path::new(command.get_program()).to_owned();
    let failed = |source: std::io::Error| RuntimeError::Spawn {
        binary: binary.clone(),
        source,
    };
    let mut captured: [Option<File>; 2] = [None, None];
    let mut output = |given: Option<OwnedFd>, index: usize| -> std::io::Result<Stdio> {
        match given {
            Some(fd) => Ok(fd.into()),
            None if stdio.inherited => Ok(Stdio::null()),
            None => {
                let file = File::from(memfd_create("runtime-output", MemfdFlags::CLOEXEC)?);
                let theirs = file.try_clone()?;
                captured[index] = Some(file);
                Ok(theirs.into())
            }
        }
    };
    command.stdout(output(stdio.stdout, 0).map_err(failed)?);
    command.stderr(output(stdio.stderr, 1).map_err(failed)?);
    command.stdin(stdio.stdin.map_or_else(Stdio::null, Stdio::from));
    die_with_parent(&mut command);
    let child = reaper.spawn(&mut command).map_err(failed)?;
    drop(command); // closes our copies of the container's stdio
    let exit = child.wait();
    let [out, err] = captured;
    if exit.status == 0 {
        return out.map_or(Ok(Vec::new()), |file| read_back(file).map_err(failed));
    }
    let message = last_error(log).or_else(|| {
        let text = read_back(err?).ok()?;
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        (!text.is_empty()).then_some(text)
    });
    Err(RuntimeError::failed(exit.status, message))
}

fn read_back(mut file: File) -> std::io::Result<Vec<u8>> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(MAX_OUTPUT_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Kill the command when the shim dies: containerd then deletes the container, and a `create` that
/// went on would make it again.
#[expect(
    unsafe_code,
    reason = "a closure between fork and exec is unsafe by nature"
)]
fn die_with_parent(command: &mut Command) {
    let parent: Pid = getpid();
    let open_files = limits::given_open_files();
    // SAFETY: the closure runs in the forked child; it makes three raw system calls, allocates nothing
    // and takes no lock.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            limits::restore_open_files(open_files.as_ref())?;
            // The parent may have died before the line above.
            if getppid() != Some(parent) {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
            Ok(())
        });
    }
}
