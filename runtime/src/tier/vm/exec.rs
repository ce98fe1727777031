//! A process more in a running machine: seen from the command, and the process that stands for it.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use caisson_wire::agent::{Ended, Exec as Opened, Opening};

use super::birth::end;
use super::life::{Life, Terminal, block_signals};
use super::message::{self, Down, Entrant, Up};
use super::session::{ANSWER_LIMIT, Session};
use super::{EXEC_NAME, guest};
use crate::RuntimeError;
use crate::process::ProcessId;
use crate::tier::door::{self, spawn};
use crate::tier::{Exec, Running, edges};

pub(super) fn exec(exec: &Exec<'_>) -> Result<Running, RuntimeError> {
    super::refuse_preserved(exec.preserved.len())?;
    if !exec.below.is_empty() {
        let reason = "cgroups in a virtual machine are not the host's";
        return Err(RuntimeError::option("--cgroup", "", reason));
    }
    let (boot, theirs) = door::pair()?;
    let entrant = Entrant {
        id: exec.state.id.clone(),
        folder: exec.entry.folder().to_owned(),
        process: guest::process_document(&exec.process),
        cgroup: exec.state.cgroup.clone(),
        terminal: exec.console,
    };
    let (id, shown) = (exec.entry.id(), &exec.process.args);
    let mut child = spawn(EXEC_NAME, id, &theirs, exec.stdio, shown)?;
    drop(theirs);
    let process = ProcessId::of(child.id() as i32).ok_or(RuntimeError::NotRunning)?;
    let sent = caisson_wire::send(boot.as_fd(), &Down::Enter(Box::new(entrant)), &[]);
    let ready = sent
        .map_err(RuntimeError::from)
        .and_then(|()| message::expect(&boot, &Up::Ready));
    match ready {
        Ok(console) => Ok(Running { process, console }),
        Err(error) => {
            // Both fail only when it has ended.
            child.kill().ok();
            child.wait().ok();
            Err(error)
        }
    }
}

/// `caisson-vm-exec ID BOOT_FD PARENT_PID`, and the program of the guest that it stands for.
pub fn main(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let boot = arguments.nth(1).and_then(|number| number.parse().ok());
    let Some(boot) = boot.and_then(edges::take_inherited) else {
        eprintln!("caisson-vm-exec is started by caisson exec only");
        return ExitCode::FAILURE;
    };
    end(&boot, live(&boot))
}

fn live(boot: &OwnedFd) -> Result<Ended, RuntimeError> {
    let (Down::Enter(entrant), _) = caisson_wire::receive::<Down>(boot.as_fd())? else {
        return Err(RuntimeError::SandboxDied);
    };
    // Before there are threads, see `join_as_kernel`.
    entrant.cgroup.join_as_kernel()?;
    rustix::process::setsid().map_err(RuntimeError::step("setsid"))?;
    rustix::process::chdir("/").map_err(RuntimeError::step("chdir"))?;
    block_signals()?;
    let terminal = entrant.terminal.map(Terminal::open).transpose()?;
    let opening = Opening::Exec(Opened {
        container: entrant.id.clone(),
        process: entrant.process.clone(),
    });
    let session = Session::open(&entrant.folder, &opening, ANSWER_LIMIT, &mut || None)?;
    let (master, slave) = terminal.map(|both| (both.master, both.slave)).unzip();
    let life = Life::begin(session, slave)?;
    let fds: Vec<_> = master.iter().map(AsFd::as_fd).collect();
    caisson_wire::send(boot.as_fd(), &Up::Ready, &fds)?;
    drop(fds);
    drop(master);
    life.follow(None)
}
