//! Shutdown: end the shim when nothing is left to serve.

use containerd_shim_protos::api::{Empty, ShutdownRequest};

use super::Service;
use crate::error::ShimError;
use crate::sync::lock;

impl Service {
    pub(super) fn shutdown(&self, _request: ShutdownRequest) -> Result<Empty, ShimError> {
        // Another container of the pod may still be there, or on its way.
        if lock(&self.containers).is_empty() && lock(&self.sandbox).is_none() {
            self.poller.stop();
        }
        Ok(Empty::default())
    }
}
