//! Stats: what the container uses, read from its control groups. Takes no lock that kill needs, and
//! does not run the runtime.

use containerd_shim_protos::api::{StatsRequest, StatsResponse};
use containerd_shim_protos::protobuf::MessageField;

use super::Service;
use crate::cgroup::Cgroup;
use crate::error::ShimError;
use crate::stats;
use crate::sync::lock;

impl Service {
    pub(super) fn stats(&self, request: StatsRequest) -> Result<StatsResponse, ShimError> {
        let container = self.container(&request.id)?;
        let known = lock(&container.cgroup).clone();
        let pid = container.init.snapshot().pid;
        let cgroup = known.or_else(|| Cgroup::find(&container.config.linux.cgroups_path, pid));
        let cgroup = cgroup.ok_or(ShimError::WrongState {
            action: "measure",
            state: "without control groups",
        })?;
        Ok(StatsResponse {
            stats: MessageField::some(stats::read(&cgroup)?),
            ..StatsResponse::default()
        })
    }
}
