//! Wait: answered when the process ends; no thread waits meanwhile.

use containerd_shim_protos::api::WaitRequest;
use containerd_shim_protos::protobuf::Message;

use super::Service;
use crate::error::ShimError;
use crate::ttrpc::server::Reply;

impl Service {
    pub(super) fn wait(&self, payload: &[u8], reply: Reply) {
        let process = WaitRequest::parse_from_bytes(payload)
            .map_err(ShimError::Decode)
            .and_then(|request| self.container(&request.id)?.process(&request.exec_id));
        match process {
            Ok(process) => process.wait(reply),
            Err(error) => reply.fail(&error),
        }
    }
}
