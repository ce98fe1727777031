//! ResizePty: the client's terminal has another size.

use containerd_shim_protos::api::{Empty, ResizePtyRequest};

use super::Service;
use crate::error::ShimError;

impl Service {
    pub(super) fn resize_pty(&self, request: ResizePtyRequest) -> Result<Empty, ShimError> {
        let process = self.container(&request.id)?.process(&request.exec_id)?;
        match process.io() {
            Some(io) => io
                .resize(request.width, request.height)
                .map(|()| Empty::default()),
            None => {
                let state = process.snapshot().phase.name();
                Err(ShimError::WrongState {
                    action: "resize the terminal of",
                    state,
                })
            }
        }
    }
}
