//! Checkpoint: save the container's processes to a folder, as far as the runtime can.

use std::ffi::OsString;

use containerd_shim_protos::api::{CheckpointTaskRequest, Empty};
use containerd_shim_protos::events::task::TaskCheckpointed;
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::shim::oci::CheckpointOptions;

use super::Service;
use crate::error::ShimError;
use crate::sync::lock;

impl Service {
    pub(super) fn checkpoint(&self, request: CheckpointTaskRequest) -> Result<Empty, ShimError> {
        let container = self.container(&request.id)?;
        let options = match request.options.as_ref() {
            Some(any) => CheckpointOptions::parse_from_bytes(&any.value)?,
            None => CheckpointOptions::default(),
        };
        let flags = flags(&request.path, &options);
        let _lifecycle = lock(&container.lifecycle);
        container
            .runtime
            .checkpoint(&flags)
            .map_err(ShimError::runtime("checkpoint"))?;
        self.publisher.publish(&TaskCheckpointed {
            container_id: request.id,
            checkpoint: request.path,
            ..TaskCheckpointed::default()
        });
        Ok(Empty::default())
    }
}

fn flags(path: &str, options: &CheckpointOptions) -> Vec<OsString> {
    let image = if options.image_path.is_empty() {
        path
    } else {
        &options.image_path
    };
    let mut flags: Vec<OsString> = vec!["--image-path".into(), image.into()];
    if !options.work_path.is_empty() {
        flags.extend(["--work-path".into(), OsString::from(&options.work_path)]);
    }
    let switches = [
        (!options.exit, "--leave-running"),
        (options.open_tcp, "--tcp-established"),
        (options.external_unix_sockets, "--ext-unix-sk"),
        (options.terminal, "--shell-job"),
        (options.file_locks, "--file-locks"),
    ];
    flags.extend(
        switches
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, flag)| OsString::from(flag)),
    );
    for namespace in &options.empty_namespaces {
        flags.extend(["--empty-ns".into(), OsString::from(namespace)]);
    }
    if !options.cgroups_mode.is_empty() {
        flags.extend([
            "--manage-cgroups-mode".into(),
            OsString::from(&options.cgroups_mode),
        ]);
    }
    flags
}
