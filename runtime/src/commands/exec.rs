//! `exec`: another process in a running container.

use std::path::PathBuf;
use std::time::Duration;

use super::create::write_pid;
use super::{Context, foreground, refuse_options};
use crate::RuntimeError;
use crate::cgroup::below::Below;
use crate::log::Level;
use crate::spec::types::{Capabilities, Process};
use crate::spec::{check, load_process, process, schedule};
use crate::state::{State, Status};
use crate::tier::{self, ConsoleSize, Exec};
use crate::{console, inherited};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Return once the process runs
    #[arg(long, short = 'd')]
    pub detach: bool,
    /// Give the process a terminal
    #[arg(long, short = 't')]
    pub tty: bool,
    /// File with a `process` object; command and the options below are then not allowed
    #[arg(long, short = 'p', value_name = "FILE")]
    pub process: Option<PathBuf>,
    /// Write the process' pid on the host to this file
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// UID[:GID]
    #[arg(long, short = 'u')]
    pub user: Option<String>,
    #[arg(long, short = 'e', value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    #[arg(long)]
    pub cwd: Option<String>,
    #[arg(long, short = 'g', value_name = "GID")]
    pub additional_gids: Vec<u32>,
    /// Capability to add to the container's own
    #[arg(long, short = 'c')]
    pub cap: Vec<String>,
    #[arg(long)]
    pub no_new_privs: bool,
    /// Pass N more descriptors to the process: 3, 4 and so on
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub preserve_fds: u32,
    /// Not supported
    #[arg(long, value_name = "PROFILE")]
    pub apparmor: Option<String>,
    /// Not supported
    #[arg(long, value_name = "LABEL")]
    pub process_label: Option<String>,
    /// Run the process in a cgroup below the container's; on cgroup v1 CONTROLLER,...:PATH names one of some
    /// hierarchies only
    #[arg(long, value_name = "PATH")]
    pub cgroup: Vec<String>,
    /// Exec in a paused container: it will run once that is resumed
    #[arg(long)]
    pub ignore_paused: bool,
    pub id: String,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<u8, RuntimeError> {
    refuse_options(&[
        ("--apparmor", &arguments.apparmor),
        ("--process-label", &arguments.process_label),
    ])?;
    let entry = context.store.entry(&arguments.id)?;
    let state = entry.load()?;
    match settled(&state, arguments.ignore_paused) {
        Status::Running | Status::Created => {}
        status => return Err(RuntimeError::ExecIn { status }),
    }
    let wanted = wanted(arguments, &state)?;
    check_terminal(arguments, wanted.terminal)?;
    let process = process::translate(&wanted)?;
    tell_affinity(context, &wanted)?;
    let size = wanted.console_size.clone().unwrap_or_default();
    let console = process.terminal.then_some(ConsoleSize {
        rows: size.height as u16,
        columns: size.width as u16,
    });
    let preserved = inherited::take(arguments.preserve_fds)?;
    let exec = Exec {
        state: &state,
        entry: &entry,
        below: Below::parse(&arguments.cgroup)?,
        process,
        document: &wanted,
        console,
        stdio: None,
        preserved,
    };
    let running = tier::of(&state)?.exec(&exec)?;
    let result = hand_over(arguments, &running);
    if result.is_err() {
        // Nobody will wait for it; an error means that it has ended.
        running.process.signal(libc::SIGKILL).ok();
    }
    result?;
    if arguments.detach {
        return Ok(0);
    }
    let relayed = running
        .console
        .filter(|_| arguments.console_socket.is_none());
    foreground::stay(running.process.pid, Some(running.process), relayed)
}

/// A process that is made in a frozen cgroup is frozen before it has become one of the container's, so one that may wait
/// is made when the container has been resumed.
fn settled(state: &State, ignore_paused: bool) -> Status {
    const STEP: Duration = Duration::from_millis(10);
    loop {
        match state.status() {
            Status::Paused if ignore_paused => std::thread::sleep(STEP),
            status => return status,
        }
    }
}

/// In the words by which suites look for it.
fn tell_affinity(context: &Context, wanted: &Process) -> Result<(), RuntimeError> {
    if let Some(mask) = schedule::first_affinity(wanted)? {
        context
            .log
            .write(Level::Debug, &format!("affinity: {mask:#x}"));
    }
    Ok(())
}

fn hand_over(arguments: &Arguments, running: &tier::Running) -> Result<(), RuntimeError> {
    if let (Some(socket), Some(master)) = (&arguments.console_socket, &running.console) {
        console::send(socket, master)?;
    }
    arguments
        .pid_file
        .as_ref()
        .map_or(Ok(()), |path| write_pid(path, running.process.pid))
}

fn check_terminal(arguments: &Arguments, terminal: bool) -> Result<(), RuntimeError> {
    let option = "--console-socket";
    match &arguments.console_socket {
        None if terminal && arguments.detach => Err(RuntimeError::option(
            option,
            "",
            "needed for a detached process with a terminal",
        )),
        Some(path) if !terminal => Err(RuntimeError::option(
            option,
            path.display(),
            "the process has no terminal",
        )),
        _ => Ok(()),
    }
}

/// The process document: from the file, or the container's own process with what the options change.
fn wanted(arguments: &Arguments, state: &State) -> Result<Process, RuntimeError> {
    if let Some(path) = &arguments.process {
        if let Some(word) = arguments.command.first() {
            return Err(RuntimeError::option(
                "--process",
                word,
                "a command is given as well",
            ));
        }
        return Ok(load_process(path)?);
    }
    let mut wanted = state.spec.process.clone().unwrap_or_default();
    wanted.args = arguments.command.clone();
    wanted.terminal = arguments.tty;
    wanted.console_size = None;
    for entry in &arguments.env {
        let name = entry.split('=').next().unwrap_or(entry);
        wanted
            .env
            .retain(|known| known.split('=').next() != Some(name));
        wanted.env.push(entry.clone());
    }
    if let Some(cwd) = &arguments.cwd {
        wanted.cwd = cwd.clone();
    }
    if let Some(user) = &arguments.user {
        (wanted.user.uid, wanted.user.gid) = user_of(user, wanted.user.gid)?;
    }
    wanted
        .user
        .additional_gids
        .extend(&arguments.additional_gids);
    wanted.no_new_privileges |= arguments.no_new_privs;
    if !arguments.cap.is_empty() {
        let sets = wanted
            .capabilities
            .get_or_insert_with(Capabilities::default);
        for set in [
            &mut sets.bounding,
            &mut sets.effective,
            &mut sets.permitted,
            &mut sets.ambient,
        ] {
            set.extend(arguments.cap.iter().cloned());
        }
        sets.inheritable.extend(arguments.cap.iter().cloned());
    }
    check::process(&wanted, "")?;
    Ok(wanted)
}

pub(super) fn user_of(text: &str, default_gid: u32) -> Result<(u32, u32), RuntimeError> {
    let number = |part: &str| {
        part.parse()
            .map_err(|_| RuntimeError::option("--user", text, "must be UID[:GID], in numbers"))
    };
    match text.split_once(':') {
        Some((uid, gid)) => Ok((number(uid)?, number(gid)?)),
        None => Ok((number(text)?, default_gid)),
    }
}

#[cfg(test)]
mod tests {
    use super::user_of;

    #[test]
    fn users_are_numbers() {
        assert_eq!(user_of("5", 7).expect("uid"), (5, 7));
        assert_eq!(user_of("5:6", 7).expect("both"), (5, 6));
        for wrong in ["", "root", "5:", "-1", "5:6:7"] {
            assert!(
                user_of(wrong, 0)
                    .expect_err(wrong)
                    .to_string()
                    .contains("--user"),
                "{wrong}"
            );
        }
    }
}
