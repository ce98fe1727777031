//! Pause: stop all processes of the container where they are.

use std::sync::atomic::Ordering;

use containerd_shim_protos::api::{Empty, PauseRequest};
use containerd_shim_protos::events::task::TaskPaused;

use super::Service;
use crate::error::ShimError;
use crate::sync::lock;

impl Service {
    pub(super) fn pause(&self, request: PauseRequest) -> Result<Empty, ShimError> {
        let container = self.container(&request.id)?;
        let _lifecycle = lock(&container.lifecycle);
        container
            .runtime
            .freeze("pause")
            .map_err(ShimError::runtime("pause"))?;
        container.paused.store(true, Ordering::SeqCst);
        self.publisher.publish(&TaskPaused {
            container_id: request.id,
            ..TaskPaused::default()
        });
        Ok(Empty::default())
    }
}
