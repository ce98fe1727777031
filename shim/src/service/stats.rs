//! Stats: what the container uses, read from its control groups. Takes no lock that kill needs, and
//! runs the runtime only where it has to ask a guest.

use containerd_shim_protos::api::{StatsRequest, StatsResponse};
use containerd_shim_protos::protobuf::MessageField;

use super::Service;
use crate::error::ShimError;
use crate::runtime::RuntimeError;
use crate::stats;
use crate::sync::lock;

impl Service {
    pub(super) fn stats(&self, request: StatsRequest) -> Result<StatsResponse, ShimError> {
        let container = self.container(&request.id)?;
        let known = lock(&container.cgroup).clone();
        let pid = container.init.snapshot().pid;
        let cgroup = known.or_else(|| container.measured(pid));
        let cgroup = cgroup.ok_or(ShimError::WrongState {
            action: "measure",
            state: "without control groups",
        })?;
        if container.runtime.guest_cgroup().is_some() {
            match container.runtime.measure() {
                // What it used in the end is there.
                Ok(()) | Err(RuntimeError::NotRunning(_)) => {}
                Err(error) => return Err(ShimError::runtime("events")(error)),
            }
        }
        Ok(StatsResponse {
            stats: MessageField::some(stats::read(&cgroup)?),
            ..StatsResponse::default()
        })
    }
}
