//! Connect: who serves this container, and its process.

use containerd_shim_protos::api::{ConnectRequest, ConnectResponse};

use super::Service;
use crate::error::ShimError;

impl Service {
    pub(super) fn connect(&self, request: ConnectRequest) -> Result<ConnectResponse, ShimError> {
        // containerd also connects to a shim that has no container yet.
        let task_pid = self
            .container(&request.id)
            .map_or(0, |container| container.init.snapshot().pid);
        Ok(ConnectResponse {
            shim_pid: std::process::id(),
            task_pid,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..ConnectResponse::default()
        })
    }
}
