//! Start: let the container's first process run, or run an exec.

use std::sync::Arc;

use containerd_shim_protos::api::{StartRequest, StartResponse};
use containerd_shim_protos::events::task::{TaskExecStarted, TaskStart};

use super::Service;
use crate::container::Container;
use crate::error::ShimError;
use crate::io::{ConsoleSocket, ProcessIo};
use crate::process::Process;
use crate::runtime::CommandStdio;
use crate::sync::lock;

impl Service {
    pub(super) fn start(&self, request: StartRequest) -> Result<StartResponse, ShimError> {
        let container = self.container(&request.id)?;
        let process = container.process(&request.exec_id)?;
        if request.exec_id.is_empty() {
            self.start_init(&container)?;
        } else {
            self.start_exec(&container, &process)?;
        }
        Ok(StartResponse {
            pid: process.snapshot().pid,
            ..StartResponse::default()
        })
    }

    fn start_init(&self, container: &Container) -> Result<(), ShimError> {
        let _lifecycle = lock(&container.lifecycle);
        container.init.begin_start()?;
        let connected = match container.init.io() {
            Some(io) => io.connect_input(&self.poller),
            None => Ok(()),
        };
        let started = connected.and_then(|()| {
            container
                .runtime
                .start()
                .map_err(ShimError::runtime("start"))
        });
        if let Err(error) = started {
            container.init.start_failed();
            return Err(error);
        }
        container.init.started(|pid| {
            self.publisher.publish(&TaskStart {
                container_id: container.id.clone(),
                pid,
                ..TaskStart::default()
            });
        });
        Ok(())
    }

    fn start_exec(&self, container: &Container, process: &Arc<Process>) -> Result<(), ShimError> {
        process.begin_start()?;
        let launch = self.reaper.launch();
        match self.run_exec(container, process) {
            Ok((pid, io)) => {
                process.attach(pid, io);
                let ended = Arc::clone(process);
                self.reaper
                    .watch(pid, Box::new(move |exit| ended.exited(exit)));
                drop(launch);
            }
            Err(error) => {
                process.start_failed_for_good();
                return Err(error);
            }
        }
        process.started(|pid| {
            self.publisher.publish(&TaskExecStarted {
                container_id: container.id.clone(),
                exec_id: process.exec_id.clone(),
                pid,
                ..TaskExecStarted::default()
            });
        });
        Ok(())
    }

    fn run_exec(
        &self,
        container: &Container,
        process: &Process,
    ) -> Result<(i32, ProcessIo), ShimError> {
        let spec = container.scratch("process");
        spec.write(&process.spec)?;
        let pid_file = container.scratch("pid");
        let failed = ShimError::runtime("exec");
        if process.stdio.terminal {
            let name = container.scratch("console");
            let console = ConsoleSocket::bind(&container.bundle, &name.file_name())?;
            let pid = container
                .runtime
                .exec(
                    &spec.path,
                    &pid_file.path,
                    Some(console.path()),
                    CommandStdio::null(),
                )
                .map_err(failed)?;
            let master = console.receive().map_err(ShimError::runtime("exec"))?;
            let io = ProcessIo::terminal(
                &process.stdio,
                master,
                &self.poller,
                &self.logging(container),
            )?;
            io.connect_input(&self.poller)?;
            return Ok((pid, io));
        }
        let (io, theirs) = ProcessIo::pipes(
            &process.stdio,
            container.stdio_owner(),
            &self.poller,
            &self.logging(container),
        )?;
        io.connect_input(&self.poller)?;
        let pid = container
            .runtime
            .exec(&spec.path, &pid_file.path, None, theirs)
            .map_err(failed)?;
        Ok((pid, io))
    }
}
