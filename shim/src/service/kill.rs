//! Kill: signal the container's first process, all of them, or an exec.

use std::sync::Arc;

use containerd_shim_protos::api::{Empty, KillRequest};
use containerd_shim_protos::protobuf::Message;

use super::Service;
use crate::container::Container;
use crate::error::ShimError;
use crate::logger;
use crate::process::{Phase, Process};
use crate::runtime::{KillScope, RuntimeError};
use crate::ttrpc::server::Reply;

const SIGKILL: u32 = 9;

impl Service {
    /// Answers before the exit is told: containerd deletes what has ended and closes the connection, and a kill that
    /// has no answer by then has failed for it.
    pub(super) fn kill(&self, payload: &[u8], reply: Reply) {
        let target = KillRequest::parse_from_bytes(payload)
            .map_err(ShimError::Decode)
            .and_then(|request| {
                let container = self.container(&request.id)?;
                let process = container.process(&request.exec_id)?;
                Ok((request, container, process))
            });
        match target {
            Ok((request, container, process)) => {
                let untold = process.hold_exit();
                reply.send(signal(request, &container, &process));
                drop(untold);
            }
            Err(error) => reply.fail(&error),
        }
    }
}

fn signal(
    request: KillRequest,
    container: &Container,
    process: &Process,
) -> Result<Empty, ShimError> {
    if !request.exec_id.is_empty() {
        return process.signal(request.signal).map(|()| Empty::default());
    }
    if matches!(process.snapshot().phase, Phase::Stopped | Phase::Deleted) && !request.all {
        return Err(ShimError::ProcessFinished);
    }
    let scope = if request.all {
        KillScope::All
    } else {
        KillScope::Init
    };
    match container.runtime.kill(request.signal, scope) {
        Ok(()) => Ok(Empty::default()),
        Err(RuntimeError::NotRunning(_)) => Err(ShimError::ProcessFinished),
        Err(RuntimeError::NoSuchContainer(_)) => Err(ShimError::NoSuchContainer(request.id)),
        Err(source) => Err(ShimError::Runtime {
            command: "kill",
            source,
        }),
    }
}

/// Kill what the first process left behind in a pid namespace that does not end with it. On a
/// thread, because the reaper calls this and the runtime's own exit must be reaped meanwhile.
pub(super) fn kill_rest(container: Arc<Container>) {
    let spawned = std::thread::Builder::new()
        .name("kill".into())
        .spawn(move || {
            if let Err(error) = container.runtime.kill(SIGKILL, KillScope::All) {
                logger::debug(format_args!(
                    "{}: kill of the remaining processes: {error}",
                    container.id
                ));
            }
        });
    if let Err(error) = spawned {
        logger::error(format_args!("kill of the remaining processes: {error}"));
    }
}
