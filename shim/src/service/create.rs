//! Create: mount the root filesystem, connect stdio, make the container.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use containerd_shim_protos::api::{CreateTaskRequest, CreateTaskResponse};
use containerd_shim_protos::events::task::{TaskCreate, TaskIO};
use containerd_shim_protos::protobuf::{Message, MessageField};

use super::{Service, Slot};
use crate::bundle::Config;
use crate::container::Container;
use crate::error::ShimError;
use crate::io::{ConsoleSocket, ProcessIo, StdioPaths};
use crate::mount::{mount_rootfs, unmount_rootfs};
use crate::options::Options;
use crate::process::Process;
use crate::runtime::{CommandStdio, Force, Runtime};
use crate::sync::lock;
use crate::{logger, oom};

/// As containerd's runc shim names it.
pub(crate) const PID_FILE: &str = "init.pid";

impl Service {
    pub(super) fn create(
        &self,
        request: CreateTaskRequest,
    ) -> Result<CreateTaskResponse, ShimError> {
        check_id("id", &request.id)?;
        let taken = ShimError::AlreadyExists {
            what: "container",
            id: request.id.clone(),
        };
        {
            let mut containers = lock(&self.containers);
            if containers.contains_key(&request.id) {
                return Err(taken);
            }
            containers.insert(request.id.clone(), Slot::Creating);
        }
        let result = self.create_container(&request);
        let mut containers = lock(&self.containers);
        match result {
            Ok(container) => {
                let pid = container.init.snapshot().pid;
                containers.insert(request.id.clone(), Slot::Ready(Arc::clone(&container)));
                drop(containers);
                self.watch_init(&container, pid);
                Ok(CreateTaskResponse {
                    pid,
                    ..CreateTaskResponse::default()
                })
            }
            Err(error) => {
                containers.remove(&request.id);
                Err(error)
            }
        }
    }

    fn create_container(&self, request: &CreateTaskRequest) -> Result<Arc<Container>, ShimError> {
        if !request.checkpoint.is_empty() {
            return Err(ShimError::Unsupported {
                field: "checkpoint",
                value: request.checkpoint.clone(),
            });
        }
        let bundle = PathBuf::from(&request.bundle);
        let config = Config::load(&bundle)?;
        let options = Options::decode(request.options.as_ref())?;
        options.check_annotations(config.annotations.keys())?;
        options.save(&bundle)?;
        let runtime = Runtime::new(
            &options,
            &self.namespace,
            &bundle,
            &request.id,
            Arc::clone(&self.reaper),
        );
        let stdio = StdioPaths {
            stdin: request.stdin.clone(),
            stdout: request.stdout.clone(),
            stderr: request.stderr.clone(),
            terminal: request.terminal,
        };
        let init = Process::new(&request.id, "", stdio, Arc::clone(&self.publisher));
        let container = Arc::new(Container::new(bundle, runtime, options, config, init));
        mount_rootfs(&request.rootfs, &container.rootfs())?;
        let launch = self.reaper.launch();
        match self.run_create(&container) {
            Ok((pid, io)) => {
                container.init.attach(pid, io);
                *lock(&container.cgroup) = container.measured(pid as u32);
                self.publisher.publish(&created_event(request, pid as u32));
                self.claim_init(&container, pid);
                drop(launch);
                Ok(container)
            }
            Err(error) => {
                // The runtime cleans up after itself unless it was killed.
                if let Err(error) = container.runtime.delete(Force::Yes) {
                    logger::debug(format_args!("after a failed create: {error}"));
                }
                unmount_rootfs(&container.rootfs());
                Err(error)
            }
        }
    }

    fn run_create(&self, container: &Container) -> Result<(i32, ProcessIo), ShimError> {
        let pid_file = container.bundle.join(PID_FILE);
        let mut flags = Vec::new();
        if container.options.no_pivot_root {
            flags.push("--no-pivot");
        }
        if container.options.no_new_keyring {
            flags.push("--no-new-keyring");
        }
        let failed = ShimError::runtime("create");
        if container.init.stdio.terminal {
            let console = ConsoleSocket::bind(&container.bundle, "console.sock")?;
            let pid = container
                .runtime
                .create(
                    &pid_file,
                    Some(console.path()),
                    &flags,
                    CommandStdio::null(),
                )
                .map_err(failed)?;
            let master = console.receive().map_err(ShimError::runtime("create"))?;
            return Ok((
                pid,
                ProcessIo::terminal(
                    &container.init.stdio,
                    master,
                    &self.poller,
                    &self.logging(container),
                )?,
            ));
        }
        let (io, theirs) = ProcessIo::pipes(
            &container.init.stdio,
            container.stdio_owner(),
            &self.poller,
            &self.logging(container),
        )?;
        let pid = container
            .runtime
            .create(&pid_file, None, &flags, theirs)
            .map_err(failed)?;
        Ok((pid, io))
    }

    /// Take the exit of the container's process, whenever it comes or came.
    fn claim_init(&self, container: &Arc<Container>, pid: i32) {
        let ended = Arc::downgrade(container);
        let init = Arc::clone(&container.init);
        let watcher = move |exit| {
            if let Some(container) = ended
                .upgrade()
                .filter(|container| container.config.shares_pid_namespace())
            {
                super::kill::kill_rest(container);
            }
            init.exited(exit);
        };
        self.reaper.watch(pid, Box::new(watcher));
    }

    fn watch_init(&self, container: &Container, pid: u32) {
        let cgroup = lock(&container.cgroup).clone();
        match cgroup {
            Some(cgroup) => {
                if let Err(error) =
                    oom::watch(&cgroup, &container.id, &self.publisher, &self.poller)
                {
                    logger::info(format_args!(
                        "{}: OOM kills are not reported: {error}",
                        container.id
                    ));
                }
            }
            None => logger::info(format_args!(
                "{}: process {pid} has no control group",
                container.id
            )),
        }
    }
}

fn created_event(request: &CreateTaskRequest, pid: u32) -> TaskCreate {
    let io = TaskIO {
        stdin: request.stdin.clone(),
        stdout: request.stdout.clone(),
        stderr: request.stderr.clone(),
        terminal: request.terminal,
        ..TaskIO::default()
    };
    let mut event = TaskCreate {
        container_id: request.id.clone(),
        bundle: request.bundle.clone(),
        io: MessageField::some(io),
        checkpoint: request.checkpoint.clone(),
        pid,
        ..TaskCreate::default()
    };
    // The generated code has one Mount type for requests and another, with the same fields, for events.
    for mount in &request.rootfs {
        let copied = mount
            .write_to_bytes()
            .and_then(|bytes| Message::parse_from_bytes(&bytes));
        event.rootfs.extend(copied);
    }
    event
}

/// Ids become file names and arguments.
pub(super) fn check_id(field: &'static str, id: &str) -> Result<(), ShimError> {
    let mut parts = Path::new(id).components();
    let one_name = matches!(
        (parts.next(), parts.next()),
        (Some(Component::Normal(_)), None)
    );
    if one_name && !id.contains('/') && !id.starts_with('-') {
        return Ok(());
    }
    Err(ShimError::InvalidField {
        field,
        value: id.to_owned(),
        reason: "must be a plain name".into(),
    })
}
