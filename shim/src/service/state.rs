//! State: what a process is doing.

use std::sync::atomic::Ordering;

use containerd_shim_protos::api::{StateRequest, StateResponse, Status};

use super::Service;
use crate::error::ShimError;
use crate::events::timestamp;
use crate::process::Phase;

impl Service {
    pub(super) fn state(&self, request: StateRequest) -> Result<StateResponse, ShimError> {
        let container = self.container(&request.id)?;
        let process = container.process(&request.exec_id)?;
        let snapshot = process.snapshot();
        let status = match snapshot.phase {
            Phase::Created | Phase::Starting => Status::CREATED,
            Phase::Running if container.paused.load(Ordering::SeqCst) => Status::PAUSED,
            Phase::Running => Status::RUNNING,
            Phase::Stopped | Phase::Deleted => Status::STOPPED,
        };
        let mut response = StateResponse {
            id: container.id.clone(),
            bundle: container.bundle.to_string_lossy().into_owned(),
            pid: snapshot.pid,
            status: status.into(),
            stdin: process.stdio.stdin.clone(),
            stdout: process.stdio.stdout.clone(),
            stderr: process.stdio.stderr.clone(),
            terminal: process.stdio.terminal,
            exec_id: request.exec_id,
            ..StateResponse::default()
        };
        if let Some(exit) = snapshot.exit {
            response.exit_status = exit.status;
            response.exited_at = timestamp(exit.at);
        }
        Ok(response)
    }
}
