//! Update: other limits for a container that exists.

use containerd_shim_protos::api::{Empty, UpdateTaskRequest};

use super::Service;
use crate::error::ShimError;
use crate::sync::lock;

impl Service {
    pub(super) fn update(&self, request: UpdateTaskRequest) -> Result<Empty, ShimError> {
        let container = self.container(&request.id)?;
        let file = container.scratch("resources");
        file.write(&request.resources.value)?;
        let _lifecycle = lock(&container.lifecycle);
        container
            .runtime
            .update(&file.path)
            .map_err(ShimError::runtime("update"))?;
        Ok(Empty::default())
    }
}
