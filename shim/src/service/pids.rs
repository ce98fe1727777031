//! Pids: all processes of the container, and which of them are execs.
//!
//! A first process that has ended is listed, as Linux lists zombies, until it is deleted: containerd 1.7
//! and later throw away, exit status and all, a container without any pid that they find when they start.

use containerd_shim_protos::api::{PidsRequest, PidsResponse, ProcessInfo};
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::shim::oci::ProcessDetails;

use super::Service;
use crate::error::ShimError;
use crate::process::Phase;

impl Service {
    pub(super) fn pids(&self, request: PidsRequest) -> Result<PidsResponse, ShimError> {
        let container = self.container(&request.id)?;
        let init = container.init.snapshot();
        let pids = match container.runtime.ps() {
            Ok(pids) if !pids.is_empty() => pids,
            _ if init.phase == Phase::Stopped => vec![init.pid],
            other => other.map_err(ShimError::runtime("ps"))?,
        };
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
