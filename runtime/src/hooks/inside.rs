//! startContainer hooks: guest processes like any other, with the rights of the container's own process, run to
//! their end before that begins.

use std::io::{Seek, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use caisson_wire::ProcessSpec;
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, WaitOptions, waitpid};

use super::HookError;
use crate::RuntimeError;
use crate::cgroup::below::Below;
use crate::spec::process::translate;
use crate::spec::types::{Hook, Process};
use crate::state::{Entry, State, Status};
use crate::tier::{self, Exec};

const KIND: &str = "startContainer";
/// For a hook without a timeout.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Run the startContainer hooks of a created container, in order; the first failure ends it.
pub fn run(entry: &Entry, state: &State) -> Result<(), RuntimeError> {
    let hooks = &state.spec.hooks.start_container;
    hooks
        .iter()
        .enumerate()
        .try_for_each(|(index, hook)| run_one(entry, state, index, hook))
}

fn run_one(entry: &Entry, state: &State, index: usize, hook: &Hook) -> Result<(), RuntimeError> {
    let failed = |reason: String| HookError::Failed {
        kind: KIND,
        index,
        path: hook.path.clone(),
        reason,
    };
    let input = document(state)?;
    let null = std::fs::File::options()
        .write(true)
        .open("/dev/null")
        .map_err(RuntimeError::file("/dev/null".as_ref(), "open"))?;
    let unscheduled = Process::default();
    let exec = Exec {
        state,
        entry,
        below: Below::default(),
        process: process(state, hook)?,
        document: &unscheduled,
        console: None,
        stdio: Some([input.as_fd(), null.as_fd(), null.as_fd()]),
        preserved: Vec::new(),
    };
    let running = tier::of(state)?
        .exec(&exec)
        .map_err(|error| failed(error.to_string()))?;
    let limit = hook
        .timeout
        .map(|seconds| Duration::from_secs(seconds.unsigned_abs()));
    let in_time = running.process.wait_end(limit.unwrap_or(FOR_EVER));
    if !in_time {
        // An error means that it has ended meanwhile.
        running.process.signal(libc::SIGKILL).ok();
    }
    let ended = waitpid(Pid::from_raw(running.process.pid), WaitOptions::empty())
        .map_err(RuntimeError::step("waitpid"))?;
    if !in_time {
        let seconds = hook.timeout.unwrap_or(0);
        return Err(failed(format!("still running after its timeout of {seconds} s")).into());
    }
    match ended.map(|(_, status)| (status.exit_status(), status.terminating_signal())) {
        Some((Some(0), _)) => Ok(()),
        Some((Some(code), _)) => Err(failed(format!("exit status {code}")).into()),
        Some((None, signal)) => {
            Err(failed(format!("killed by signal {}", signal.unwrap_or(0))).into())
        }
        None => Err(failed("its status was taken by another".to_owned()).into()),
    }
}

/// The state object as a file to read from.
fn document(state: &State) -> Result<std::fs::File, RuntimeError> {
    let file = rustix::fs::memfd_create(c"state", MemfdFlags::CLOEXEC)
        .map_err(RuntimeError::step("memfd_create"))?;
    let mut file = std::fs::File::from(file);
    file.write_all(state.for_hooks(Status::Created).to_string().as_bytes())
        .and_then(|()| file.rewind())
        .map_err(RuntimeError::step("write the state for a hook"))?;
    Ok(file)
}

/// The container's own process with the hook's program and environment. `path` is what is executed; of `args` only
/// what follows the name is used.
fn process(state: &State, hook: &Hook) -> Result<ProcessSpec, RuntimeError> {
    let mut process = translate(&state.spec.process.clone().unwrap_or_default())?;
    process.args = vec![hook.path.clone()];
    process.args.extend(hook.args.iter().skip(1).cloned());
    // Without an environment of its own a hook has that of the process it stands before.
    if !hook.env.is_empty() {
        process.env.clone_from(&hook.env);
    }
    process.terminal = false;
    Ok(process)
}
