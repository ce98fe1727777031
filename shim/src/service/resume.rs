//! Resume: let a paused container go on.

use std::sync::atomic::Ordering;

use containerd_shim_protos::api::{Empty, ResumeRequest};
use containerd_shim_protos::events::task::TaskResumed;

use super::Service;
use crate::error::ShimError;
use crate::sync::lock;

impl Service {
    pub(super) fn resume(&self, request: ResumeRequest) -> Result<Empty, ShimError> {
        let container = self.container(&request.id)?;
        let _lifecycle = lock(&container.lifecycle);
        container
            .runtime
            .freeze("resume")
            .map_err(ShimError::runtime("resume"))?;
        container.paused.store(false, Ordering::SeqCst);
        self.publisher.publish(&TaskResumed {
            container_id: request.id,
            ..TaskResumed::default()
        });
        Ok(Empty::default())
    }
}
