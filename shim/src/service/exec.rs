//! Exec: announce one more process; `start` runs it.

use std::sync::Arc;

use containerd_shim_protos::api::{Empty, ExecProcessRequest};
use containerd_shim_protos::events::task::TaskExecAdded;

use super::Service;
use super::create::check_id;
use crate::error::ShimError;
use crate::io::StdioPaths;
use crate::process::{Phase, Process};

impl Service {
    pub(super) fn exec(&self, request: ExecProcessRequest) -> Result<Empty, ShimError> {
        let container = self.container(&request.id)?;
        check_id("exec_id", &request.exec_id)?;
        let phase = container.init.snapshot().phase;
        if matches!(phase, Phase::Stopped | Phase::Deleted) {
            return Err(ShimError::WrongState {
                action: "exec beside",
                state: phase.name(),
            });
        }
        let json = |source| ShimError::Json {
            what: "spec of the process",
            source,
        };
        let mut spec: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&request.spec.value).map_err(json)?;
        spec.insert("terminal".to_owned(), request.terminal.into());
        let stdio = StdioPaths {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            terminal: request.terminal,
        };
        let mut process = Process::new(
            &container.id,
            &request.exec_id,
            stdio,
            Arc::clone(&self.publisher),
        );
        process.spec = serde_json::to_vec(&spec).map_err(json)?;
        container.add_exec(process)?;
        self.publisher.publish(&TaskExecAdded {
            container_id: request.id,
            exec_id: request.exec_id,
            ..TaskExecAdded::default()
        });
        Ok(Empty::default())
    }
}
