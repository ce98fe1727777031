//! Delete: forget a process that has ended; for the first one, remove the container.

use std::sync::Arc;
use std::time::{Duration, Instant};

use containerd_shim_protos::api::{DeleteRequest, DeleteResponse};
use containerd_shim_protos::events::task::TaskDelete;

use super::Service;
use crate::bundle;
use crate::cgroup;
use crate::container::Container;
use crate::error::ShimError;
use crate::events::timestamp;
use crate::mount::unmount_rootfs;
use crate::process::{Phase, Process};
use crate::reaper::Exit;
use crate::runtime::{Force, RuntimeError};
use crate::sync::lock;

/// How long the kernel may take to end a process that was killed.
const KILL_LIMIT: Duration = Duration::from_secs(5);

impl Service {
    pub(super) fn delete(&self, request: DeleteRequest) -> Result<DeleteResponse, ShimError> {
        let container = self.container(&request.id)?;
        let process = container.process(&request.exec_id)?;
        let exit = if request.exec_id.is_empty() {
            self.delete_container(&container)?
        } else {
            delete_exec(&container, &process)?
        };
        Ok(DeleteResponse {
            pid: process.snapshot().pid,
            exit_status: exit.status,
            exited_at: timestamp(exit.at),
            ..DeleteResponse::default()
        })
    }

    fn delete_container(&self, container: &Arc<Container>) -> Result<Exit, ShimError> {
        let _lifecycle = lock(&container.lifecycle);
        let before = container.init.snapshot();
        let force = match before.phase {
            Phase::Created => Force::Yes,
            Phase::Stopped => Force::No,
            Phase::Deleted => return Err(ShimError::NoSuchContainer(container.id.clone())),
            phase @ (Phase::Starting | Phase::Running) => {
                return Err(ShimError::WrongState {
                    action: "delete",
                    state: phase.name(),
                });
            }
        };
        self.remove_from_runtime(container, force)?;
        await_exit(&container.init);
        for process in container.execs().iter().chain([&container.init]) {
            if let Some(io) = process.io() {
                io.drain();
            }
        }
        unmount_rootfs(&container.rootfs());
        cgroup::remove_leftovers(&container.config.linux.cgroups_path, &container.id);
        let exit = container.init.deleted();
        bundle::mark_deleted(&container.bundle);
        lock(&self.containers).remove(&container.id);
        self.publisher.publish(&TaskDelete {
            container_id: container.id.clone(),
            pid: before.pid,
            exit_status: exit.status,
            exited_at: timestamp(exit.at),
            ..TaskDelete::default()
        });
        Ok(exit)
    }

    /// Remove the runtime's state, by force if it does not go otherwise: the process has ended, so
    /// nothing that lives is in the way.
    fn remove_from_runtime(&self, container: &Container, force: Force) -> Result<(), ShimError> {
        let gently = match force {
            Force::No => container.runtime.delete(Force::No),
            Force::Yes => container.runtime.delete(Force::Yes),
        };
        let result = match (gently, force) {
            (Err(RuntimeError::NoSuchContainer(_)), _) | (Ok(()), _) => return Ok(()),
            (Err(_), Force::No) => container.runtime.delete(Force::Yes),
            (Err(error), Force::Yes) => Err(error),
        };
        match result {
            Ok(()) | Err(RuntimeError::NoSuchContainer(_)) => Ok(()),
            Err(source) => Err(ShimError::Runtime {
                command: "delete",
                source,
            }),
        }
    }
}

/// A created container's process was killed: its exit comes in a moment.
fn await_exit(process: &Process) {
    let deadline = Instant::now() + KILL_LIMIT;
    while process.snapshot().exit.is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn delete_exec(container: &Container, process: &Process) -> Result<Exit, ShimError> {
    process.begin_delete()?;
    if let Some(io) = process.io() {
        io.drain();
    }
    container.remove_exec(&process.exec_id);
    Ok(process.deleted())
}
