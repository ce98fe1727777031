//! CloseIO: the client has no more input.

use containerd_shim_protos::api::{CloseIORequest, Empty};

use super::Service;
use crate::error::ShimError;

impl Service {
    pub(super) fn close_io(&self, request: CloseIORequest) -> Result<Empty, ShimError> {
        let process = self.container(&request.id)?.process(&request.exec_id)?;
        if request.stdin {
            process.close_stdin();
        }
        Ok(Empty::default())
    }
}
