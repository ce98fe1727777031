//! The sandbox API, for handlers with `sandboxer = "shim"`: a pod without a pause container.

use std::sync::Arc;
use std::time::SystemTime;

use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::sandbox_api::{
    CreateSandboxRequest, CreateSandboxResponse, PingRequest, PingResponse, PlatformRequest,
    PlatformResponse, SandboxMetricsRequest, SandboxMetricsResponse, SandboxStatusRequest,
    SandboxStatusResponse, ShutdownSandboxRequest, ShutdownSandboxResponse, StartSandboxRequest,
    StartSandboxResponse, StopSandboxRequest, StopSandboxResponse, WaitSandboxRequest,
};
use containerd_shim_protos::types::platform::Platform;

use super::Service;
use crate::error::ShimError;
use crate::events::timestamp;
use crate::sandbox::Sandbox;
use crate::stats;
use crate::sync::lock;
use crate::ttrpc::server::Reply;

pub(super) const SERVICE: &str = "containerd.runtime.sandbox.v1.Sandbox";

impl Service {
    fn sandbox(&self, id: &str) -> Result<Arc<Sandbox>, ShimError> {
        let sandbox = lock(&self.sandbox).clone();
        sandbox
            .filter(|sandbox| sandbox.id == id)
            .ok_or_else(|| ShimError::NoSuchSandbox(id.to_owned()))
    }

    pub(super) fn create_sandbox(
        &self,
        request: CreateSandboxRequest,
    ) -> Result<CreateSandboxResponse, ShimError> {
        if !request.rootfs.is_empty() {
            return Err(ShimError::Unsupported {
                field: "rootfs",
                value: format!("{} mounts", request.rootfs.len()),
            });
        }
        let mut sandbox = lock(&self.sandbox);
        if sandbox.is_some() {
            return Err(ShimError::AlreadyExists {
                what: "sandbox",
                id: request.sandbox_id,
            });
        }
        *sandbox = Some(Arc::new(Sandbox::new(&request)?));
        Ok(CreateSandboxResponse::default())
    }

    pub(super) fn start_sandbox(
        &self,
        request: StartSandboxRequest,
    ) -> Result<StartSandboxResponse, ShimError> {
        let started = self.sandbox(&request.sandbox_id)?.start(&self.reaper)?;
        Ok(StartSandboxResponse {
            pid: started.pid,
            created_at: started
                .created_at
                .map_or_else(MessageField::none, timestamp),
            ..StartSandboxResponse::default()
        })
    }

    pub(super) fn sandbox_platform(
        &self,
        request: PlatformRequest,
    ) -> Result<PlatformResponse, ShimError> {
        self.sandbox(&request.sandbox_id)?;
        let platform = Platform {
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            ..Platform::default()
        };
        Ok(PlatformResponse {
            platform: MessageField::some(platform),
            ..PlatformResponse::default()
        })
    }

    pub(super) fn stop_sandbox(
        &self,
        request: StopSandboxRequest,
    ) -> Result<StopSandboxResponse, ShimError> {
        self.sandbox(&request.sandbox_id)?.stop();
        Ok(StopSandboxResponse::default())
    }

    pub(super) fn wait_sandbox(&self, payload: &[u8], reply: Reply) {
        let sandbox = WaitSandboxRequest::parse_from_bytes(payload)
            .map_err(ShimError::Decode)
            .and_then(|request| self.sandbox(&request.sandbox_id));
        match sandbox {
            Ok(sandbox) => sandbox.wait(reply),
            Err(error) => reply.fail(&error),
        }
    }

    pub(super) fn sandbox_status(
        &self,
        request: SandboxStatusRequest,
    ) -> Result<SandboxStatusResponse, ShimError> {
        let now = self.sandbox(&request.sandbox_id)?.snapshot();
        let ready = now.created_at.is_some() && now.exit.is_none();
        let state = if ready {
            "SANDBOX_READY"
        } else {
            "SANDBOX_NOTREADY"
        };
        Ok(SandboxStatusResponse {
            sandbox_id: request.sandbox_id,
            pid: now.pid,
            state: state.to_owned(),
            created_at: now.created_at.map_or_else(MessageField::none, timestamp),
            exited_at: now
                .exit
                .map_or_else(MessageField::none, |exit| timestamp(exit.at)),
            ..SandboxStatusResponse::default()
        })
    }

    /// What all of the pod uses, in the control group that it was given: the sandbox has none of its own.
    pub(super) fn sandbox_metrics(
        &self,
        request: SandboxMetricsRequest,
    ) -> Result<SandboxMetricsResponse, ShimError> {
        let sandbox = self.sandbox(&request.sandbox_id)?;
        let cgroup = sandbox.cgroup().ok_or(ShimError::WrongState {
            action: "measure",
            state: "without linux.cgroup_parent",
        })?;
        let mut response = SandboxMetricsResponse::default();
        let metrics = response.metrics.mut_or_insert_default();
        metrics.timestamp = timestamp(SystemTime::now());
        metrics.id = request.sandbox_id;
        metrics.data = MessageField::some(stats::read(&cgroup)?);
        Ok(response)
    }

    pub(super) fn ping_sandbox(&self, request: PingRequest) -> Result<PingResponse, ShimError> {
        self.sandbox(&request.sandbox_id)?;
        Ok(PingResponse::default())
    }

    pub(super) fn shutdown_sandbox(
        &self,
        request: ShutdownSandboxRequest,
    ) -> Result<ShutdownSandboxResponse, ShimError> {
        self.sandbox(&request.sandbox_id)?.stop();
        lock(&self.sandbox).take();
        self.poller.stop();
        Ok(ShutdownSandboxResponse::default())
    }
}
