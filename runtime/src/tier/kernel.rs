//! Tier kernel, seen from the commands: spawns `caisson-kernel` and talks to it.
//!
//! The sandbox process itself is in [`birth`]; the two sides speak [`message`] over the boot socket, then
//! `caisson_wire` over the control socket.

pub mod birth;
mod devices;
mod entrance;
mod exec;
mod fuse;
mod lend;
mod message;
mod namespaces;
mod subscriber;

use std::os::fd::{AsFd, OwnedFd};

use caisson_wire::{BootReply, Request, Response, Shortfall};
use serde_json::Value;

use super::door::{self, Door, ask, converse, listen, silence, spawn};
use super::life::LifeLine;
use super::{Blueprint, ConsoleSize, Exec, Newborn, OnMounted, Running, Tier};
use crate::RuntimeError;
use crate::cgroup::{procs, stats};
use crate::fault;
use crate::process::ProcessId;
use crate::spec::types::Resources;
use crate::spec::{Spec, SpecError};
use crate::state::{Entry, State};
use crate::user_namespace;
use entrance::Entrance;
use lend::Opened;
use message::{Description, Down, Up};

/// First argument of the sandbox process, and its name in `ps`.
pub const PROCESS_NAME: &str = "caisson-kernel";

#[derive(Clone, Copy, Debug)]
pub struct KernelTier;

impl Tier for KernelTier {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn create(
        &self,
        blueprint: &Blueprint<'_>,
        on_mounted: OnMounted<'_>,
    ) -> Result<Newborn, RuntimeError> {
        let user = user_namespace::open(&blueprint.state.spec.linux, &blueprint.namespaces.user)?;
        let lent = user
            .as_ref()
            .map(|user| Opened::new(blueprint, user))
            .transpose()?;
        let control = listen(blueprint.entry)?;
        let (boot, theirs) = door::pair()?;
        let null = silence(&blueprint.process)?;
        let stdio = null.as_ref().map(|null| [null.as_fd(); 3]);
        let child = spawn(PROCESS_NAME, blueprint.entry.id(), &theirs, stdio, &[])?;
        drop(theirs);
        let pid = child.id() as i32;
        let (mut line, life_end) = LifeLine::of(child)?;
        fault::point("create.spawned");
        let sandbox = ProcessId::of(pid).ok_or(RuntimeError::SandboxDied)?;
        if let Some(user) = &user {
            let (state, limits) = (blueprint.state, &blueprint.process.rlimits);
            let entrance = Entrance::new(&state.spec, &state.cgroup, &blueprint.namespaces, limits);
            // A sandbox that died says why in `receive`, here and below.
            caisson_wire::send(
                boot.as_fd(),
                &Down::Enter(Box::new(entrance)),
                &[user.as_fd()],
            )
            .ok();
        }
        let mut description = Description::new(blueprint);
        description.lent = lent.as_ref().map(Opened::describe);
        let mut fds = vec![control.as_fd(), life_end.as_fd()];
        fds.extend(blueprint.strace.iter().map(|(file, _)| file.as_fd()));
        fds.extend(blueprint.log.iter().map(|(file, _)| file.as_fd()));
        fds.extend(lent.iter().flat_map(Opened::fds));
        fds.extend(blueprint.preserved.iter().map(AsFd::as_fd));
        let sent = caisson_wire::send(boot.as_fd(), &Down::Build(Box::new(description)), &fds);
        drop(fds);
        drop((control, life_end, lent, user));
        if sent.is_ok() && self.wait_mounted(&boot)? {
            on_mounted(sandbox)?;
            caisson_wire::send(boot.as_fd(), &Down::GoOn, &[])?;
        }
        let (init_pid, console) = wait_created(&boot)?;
        line.listen(boot);
        let init = ProcessId::of(init_pid).ok_or(RuntimeError::SandboxDied)?;
        Ok(Newborn {
            sandbox,
            init,
            console,
            life_line: line,
        })
    }

    fn on_host(&self, limits: &Resources) -> Resources {
        limits.clone()
    }

    fn check(&self, _: &Spec) -> Result<(), SpecError> {
        Ok(())
    }

    fn start(&self, entry: &Entry) -> Result<(), RuntimeError> {
        ask(entry, &Request::Start, &[]).map(drop)
    }

    fn exec(&self, exec: &Exec<'_>) -> Result<Running, RuntimeError> {
        exec::exec(exec)
    }

    fn shortfalls(&self, entry: &Entry) -> Result<Vec<Shortfall>, RuntimeError> {
        match converse(entry, &Request::Shortfalls, &[])? {
            (Response::Shortfalls(list), _) => Ok(list),
            _ => Err(RuntimeError::Sandbox {
                message: "unexpected answer to a request for refused calls".into(),
            }),
        }
    }

    fn clean(&self, _: &Entry, _: &State) -> Result<(), RuntimeError> {
        // Everything ends with the app kernel.
        Ok(())
    }

    fn pids(&self, state: &State) -> Vec<i32> {
        state.guest_pids()
    }

    fn usage(&self, state: &State, _: &Entry) -> Result<Value, RuntimeError> {
        Ok(stats::read(&state.cgroup))
    }

    fn kills(&self, state: &State, _: &Entry) -> u64 {
        stats::oom_kills(&state.cgroup)
    }

    fn limit(&self, _: &Entry, _: &Resources) -> Result<(), RuntimeError> {
        // Guests are in the cgroup on the host.
        Ok(())
    }

    fn signal_all(&self, state: &State, _: &Entry, signal: i32) -> Result<(), RuntimeError> {
        procs::signal_all(&|| state.guest_pids(), signal);
        Ok(())
    }

    fn pausing(&self, _: &Entry) -> Result<(), RuntimeError> {
        // Guests are in the cgroup on the host.
        Ok(())
    }

    fn resumed(&self, _: &Entry) -> Result<(), RuntimeError> {
        Ok(())
    }

    fn unblock(&self, pid: i32) {
        fuse::abort_connections(pid);
    }
}

impl KernelTier {
    /// `true` once the mounts stand and the sandbox waits to go on.
    fn wait_mounted(self, boot: &OwnedFd) -> Result<bool, RuntimeError> {
        match receive(boot)? {
            (Up::Mounted, _) => Ok(true),
            (Up::Boot(BootReply::Failed { message }), _) => Err(RuntimeError::Sandbox { message }),
            (Up::Boot(BootReply::Created { .. }), _) => Err(RuntimeError::SandboxDied),
        }
    }
}

fn wait_created(boot: &OwnedFd) -> Result<(i32, Option<OwnedFd>), RuntimeError> {
    match receive(boot)? {
        (Up::Boot(BootReply::Created { init_pid }), mut fds) => Ok((init_pid, fds.pop())),
        (Up::Boot(BootReply::Failed { message }), _) => Err(RuntimeError::Sandbox { message }),
        (Up::Mounted, _) => Err(RuntimeError::SandboxDied),
    }
}

fn receive(boot: &OwnedFd) -> Result<(Up, Vec<OwnedFd>), RuntimeError> {
    caisson_wire::receive(boot.as_fd()).map_err(|error| match error {
        caisson_wire::WireError::Closed => RuntimeError::SandboxDied,
        other => other.into(),
    })
}

impl From<ConsoleSize> for caisson_kernel::ConsoleSize {
    fn from(size: ConsoleSize) -> caisson_kernel::ConsoleSize {
        caisson_kernel::ConsoleSize {
            rows: size.rows,
            columns: size.columns,
        }
    }
}
