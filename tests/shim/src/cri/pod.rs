//! A pod with its containers, removed at the end of a test whatever happened.

use std::cell::RefCell;
use std::path::PathBuf;

use tonic::Status;

use super::{
    ContainerConfig, ContainerMetadata, ContainerSecurity, ContainerStatus, CreateContainerRequest,
    Cri, EXITED, Empty, ExecRequest, ExecSyncRequest, ExecSyncResponse, Id, ImageSpec,
    LinuxContainer, LinuxSandbox, Metadata, NamespaceOption, PortForwardRequest, Resources,
    RunSandboxRequest, SandboxConfig, SandboxSecurity, SandboxStatus, SandboxStatusResponse,
    StopContainerRequest, Url,
};
use crate::containerd::Containerd;
use crate::cri::ContainerStatusResponse;
use crate::eventually;

pub struct Pod<'a> {
    cri: &'a Cri,
    pub id: String,
    /// The namespaces that its containers get.
    namespaces: NamespaceOption,
    config: SandboxConfig,
    containers: RefCell<Vec<String>>,
}

impl Pod<'_> {
    /// Run a pod; `pid` says whether its containers share their processes.
    ///
    /// # Panics
    /// If containerd refuses.
    pub fn run<'a>(
        containerd: &Containerd,
        cri: &'a Cri,
        name: &str,
        pid: i32,
        annotations: &[(&str, &str)],
    ) -> Pod<'a> {
        Pod::run_with(containerd, cri, "", name, pid, annotations).expect("RunPodSandbox")
    }

    /// The same with a runtime handler.
    pub fn run_with<'a>(
        containerd: &Containerd,
        cri: &'a Cri,
        handler: &str,
        name: &str,
        pid: i32,
        annotations: &[(&str, &str)],
    ) -> Result<Pod<'a>, Box<Status>> {
        let namespaces = NamespaceOption {
            pid,
            ..NamespaceOption::default()
        };
        Pod::run_in(containerd, cri, handler, name, namespaces, annotations)
    }

    /// The same with all namespaces chosen.
    pub fn run_in<'a>(
        containerd: &Containerd,
        cri: &'a Cri,
        handler: &str,
        name: &str,
        namespaces: NamespaceOption,
        annotations: &[(&str, &str)],
    ) -> Result<Pod<'a>, Box<Status>> {
        let config = described(containerd, name, &namespaces, annotations);
        Pod::run_described(cri, handler, namespaces, config)
    }

    /// In a control group for the whole pod, as a kubelet gives one to each.
    pub fn run_below<'a>(
        containerd: &Containerd,
        cri: &'a Cri,
        handler: &str,
        name: &str,
        cgroup_parent: &str,
    ) -> Result<Pod<'a>, Box<Status>> {
        let namespaces = NamespaceOption::default();
        let mut config = described(containerd, name, &namespaces, &[]);
        if let Some(linux) = &mut config.linux {
            cgroup_parent.clone_into(&mut linux.cgroup_parent);
        }
        Pod::run_described(cri, handler, namespaces, config)
    }

    fn run_described<'a>(
        cri: &'a Cri,
        handler: &str,
        namespaces: NamespaceOption,
        config: SandboxConfig,
    ) -> Result<Pod<'a>, Box<Status>> {
        let request = RunSandboxRequest {
            config: Some(config.clone()),
            runtime_handler: handler.to_owned(),
        };
        let answer: Id = cri.call("RunPodSandbox", request)?;
        Ok(Pod {
            cri,
            id: answer.id,
            namespaces,
            config,
            containers: RefCell::default(),
        })
    }

    #[must_use]
    pub fn status(&self) -> SandboxStatus {
        let request = Id {
            id: self.id.clone(),
        };
        let answer: SandboxStatusResponse = self
            .cri
            .call("PodSandboxStatus", request)
            .expect("PodSandboxStatus");
        answer.status.unwrap_or_default()
    }

    /// Create and start a container.
    ///
    /// # Panics
    /// If containerd refuses.
    pub fn container(&self, name: &str, command: &[&str]) -> String {
        self.limited_container(name, command, Resources::default())
    }

    /// The same with limits.
    ///
    /// # Panics
    /// If containerd refuses.
    pub fn limited_container(&self, name: &str, command: &[&str], limits: Resources) -> String {
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata {
                name: name.to_owned(),
            }),
            image: Some(ImageSpec {
                image: "localhost/busybox:latest".to_owned(),
            }),
            command: owned(command),
            log_path: format!("{name}.log"),
            linux: Some(LinuxContainer {
                resources: Some(limits),
                security_context: Some(ContainerSecurity {
                    namespace_options: Some(self.namespaces.clone()),
                }),
            }),
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: self.id.clone(),
            config: Some(config),
            sandbox_config: Some(self.config.clone()),
        };
        let answer: Id = self
            .cri
            .call("CreateContainer", request)
            .expect("CreateContainer");
        self.containers.borrow_mut().push(answer.id.clone());
        let request = Id {
            id: answer.id.clone(),
        };
        let _: Empty = self
            .cri
            .call("StartContainer", request)
            .expect("StartContainer");
        answer.id
    }

    /// The file that a kubelet reads a container's output from.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        PathBuf::from(&self.config.log_directory).join(format!("{name}.log"))
    }

    /// # Panics
    /// If there is no such container.
    #[must_use]
    pub fn container_status(&self, id: &str) -> ContainerStatus {
        let request = Id { id: id.to_owned() };
        let answer: ContainerStatusResponse = self
            .cri
            .call("ContainerStatus", request)
            .expect("ContainerStatus");
        answer.status.unwrap_or_default()
    }

    /// Wait for the end of a container.
    pub fn exited(&self, id: &str) -> ContainerStatus {
        eventually("the container ends", || {
            self.container_status(id).state == EXITED
        });
        self.container_status(id)
    }

    /// # Panics
    /// If the command cannot be run.
    pub fn exec_sync(&self, container: &str, command: &[&str]) -> ExecSyncResponse {
        let request = ExecSyncRequest {
            container_id: container.to_owned(),
            command: owned(command),
            timeout: 10,
        };
        self.cri.call("ExecSync", request).expect("ExecSync")
    }

    /// Where an exec with input and output is served.
    ///
    /// # Panics
    /// If containerd refuses.
    #[must_use]
    pub fn exec_url(&self, container: &str, command: &[&str], tty: bool) -> String {
        let request = ExecRequest {
            container_id: container.to_owned(),
            command: owned(command),
            tty,
            stdin: true,
            stdout: true,
            stderr: !tty,
        };
        let answer: Url = self.cri.call("Exec", request).expect("Exec");
        answer.url
    }

    /// Where a port of the pod is served.
    ///
    /// # Panics
    /// If containerd refuses.
    #[must_use]
    pub fn port_url(&self, port: u16) -> String {
        let request = PortForwardRequest {
            pod_sandbox_id: self.id.clone(),
            port: vec![i32::from(port)],
        };
        let answer: Url = self.cri.call("PortForward", request).expect("PortForward");
        format!("{}?port={port}", answer.url)
    }

    /// Stop a container: SIGTERM, and SIGKILL after `timeout` seconds.
    ///
    /// # Panics
    /// If containerd refuses.
    pub fn stop(&self, container: &str, timeout: i64) {
        let request = StopContainerRequest {
            container_id: container.to_owned(),
            timeout,
        };
        let _: Empty = self
            .cri
            .call("StopContainer", request)
            .expect("StopContainer");
    }

    /// Stop and remove everything, as a kubelet does.
    ///
    /// # Panics
    /// If containerd refuses.
    pub fn remove(self) {
        for container in self.containers.borrow().iter() {
            self.stop(container, 0);
            let request = Id {
                id: container.clone(),
            };
            let _: Empty = self
                .cri
                .call("RemoveContainer", request)
                .expect("RemoveContainer");
        }
        for method in ["StopPodSandbox", "RemovePodSandbox"] {
            let request = Id {
                id: self.id.clone(),
            };
            let _: Empty = self.cri.call(method, request).expect(method);
        }
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for method in ["StopPodSandbox", "RemovePodSandbox"] {
                let request = Id {
                    id: self.id.clone(),
                };
                let _failing_anyway: Result<Empty, _> = self.cri.call(method, request);
            }
        }
    }
}

fn described(
    containerd: &Containerd,
    name: &str,
    namespaces: &NamespaceOption,
    annotations: &[(&str, &str)],
) -> SandboxConfig {
    SandboxConfig {
        metadata: Some(Metadata {
            name: name.to_owned(),
            uid: containerd.unique(name),
            namespace: "default".to_owned(),
        }),
        hostname: name.to_owned(),
        log_directory: containerd.path(name).to_string_lossy().into_owned(),
        annotations: annotations
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        linux: Some(LinuxSandbox {
            security_context: Some(SandboxSecurity {
                namespace_options: Some(namespaces.clone()),
            }),
            ..LinuxSandbox::default()
        }),
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}
