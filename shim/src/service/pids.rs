//! Pids: all processes of the container, and which of them are execs.

use containerd_shim_protos::api::{PidsRequest, PidsResponse, ProcessInfo};
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::shim::oci::ProcessDetails;

use super::Service;
use crate::error::ShimError;

impl Service {
    pub(super) fn pids(&self, request: PidsRequest) -> Result<PidsResponse, ShimError> {
        let container = self.container(&request.id)?;
        let pids = container.runtime.ps().map_err(ShimError::runtime("ps"))?;
        let execs = container.execs();
        let mut response = PidsResponse::default();
        for pid in pids {
            let mut info = ProcessInfo {
                pid,
                ..ProcessInfo::default()
            };
            if let Some(exec) = execs.iter().find(|exec| exec.snapshot().pid == pid) {
                let details = ProcessDetails {
                    exec_id: exec.exec_id.clone(),
                    ..ProcessDetails::default()
                };
                let value = details.write_to_bytes()?;
                let type_url = "containerd.runc.v1.ProcessDetails".to_owned();
                info.info = MessageField::some(Any {
                    type_url,
                    value,
                    ..Any::default()
                });
            }
            response.processes.push(info);
        }
        Ok(response)
    }
}
