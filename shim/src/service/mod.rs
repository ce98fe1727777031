//! The task API: one file for each method, the sandbox API in one, and here the way from a request to its method.
//!
//! Key type: [`Service`]. Calls that run the runtime or wait for a disk get a thread; the others are
//! answered on the main loop.

mod calls;
mod checkpoint;
mod close_io;
mod connect;
mod create;
mod delete;
mod exec;
mod kill;
mod pause;
mod pids;
mod resize_pty;
mod resume;
mod sandbox;
mod shutdown;
mod start;
mod state;
mod stats;
mod update;
mod wait;

pub(crate) use calls::Calls;
pub(crate) use create::PID_FILE;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use containerd_shim_protos::protobuf::Message;

use crate::container::Container;
use crate::error::ShimError;
use crate::events::Publisher;
use crate::io::Logging;
use crate::poller::Poller;
use crate::reaper::Reaper;
use crate::sandbox::Sandbox;
use crate::sync::lock;
use crate::ttrpc::server::{Handler, Reply};

/// Version 3 differs from version 2 in name only, for all that a shim sees.
const SERVICES: [&str; 2] = ["containerd.task.v2.Task", "containerd.task.v3.Task"];

/// What is known under a container's id.
enum Slot {
    /// A create call is at work; nothing else may use the id.
    Creating,
    Ready(Arc<Container>),
}

pub(crate) struct Service {
    pub(crate) namespace: String,
    pub(crate) poller: Arc<Poller>,
    pub(crate) reaper: Arc<Reaper>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) calls: Arc<Calls>,
    /// The pod that this shim serves, if containerd made it by the sandbox API.
    sandbox: Mutex<Option<Arc<Sandbox>>>,
    containers: Mutex<HashMap<String, Slot>>,
}

impl Service {
    pub(crate) fn new(
        namespace: &str,
        poller: Arc<Poller>,
        reaper: Arc<Reaper>,
        publisher: Arc<Publisher>,
    ) -> Service {
        Service {
            namespace: namespace.to_owned(),
            poller,
            reaper,
            publisher,
            calls: Arc::default(),
            sandbox: Mutex::default(),
            containers: Mutex::default(),
        }
    }

    fn logging<'a>(&'a self, container: &'a Container) -> Logging<'a> {
        Logging {
            container_id: &container.id,
            namespace: &self.namespace,
            reaper: &self.reaper,
        }
    }

    fn container(&self, id: &str) -> Result<Arc<Container>, ShimError> {
        match lock(&self.containers).get(id) {
            Some(Slot::Ready(container)) => Ok(Arc::clone(container)),
            Some(Slot::Creating) | None => Err(ShimError::NoSuchContainer(id.to_owned())),
        }
    }
}

/// The task service as the ttrpc server calls it.
pub(crate) struct TaskApi(pub(crate) Arc<Service>);

impl Handler for TaskApi {
    fn call(&self, service: &str, method: &str, payload: Vec<u8>, reply: Reply) {
        if service == sandbox::SERVICE {
            return self.call_sandbox(method, payload, reply);
        }
        if !SERVICES.contains(&service) {
            return reply.fail(&ShimError::NoSuchMethod(format!("{service}/{method}")));
        }
        let shim = &self.0;
        match method {
            "State" => answer(shim, &payload, reply, Service::state),
            "Connect" => answer(shim, &payload, reply, Service::connect),
            "CloseIO" => answer(shim, &payload, reply, Service::close_io),
            "ResizePty" => answer(shim, &payload, reply, Service::resize_pty),
            "Shutdown" => answer(shim, &payload, reply, Service::shutdown),
            "Wait" => shim.wait(&payload, reply),
            "Create" => answer_on_thread(shim, method, payload, reply, Service::create),
            "Start" => answer_on_thread(shim, method, payload, reply, Service::start),
            "Delete" => answer_on_thread(shim, method, payload, reply, Service::delete),
            "Exec" => answer(shim, &payload, reply, Service::exec),
            "Kill" => on_thread(shim, method, move |shim| shim.kill(&payload, reply)),
            "Pids" => answer_on_thread(shim, method, payload, reply, Service::pids),
            "Pause" => answer_on_thread(shim, method, payload, reply, Service::pause),
            "Resume" => answer_on_thread(shim, method, payload, reply, Service::resume),
            "Checkpoint" => answer_on_thread(shim, method, payload, reply, Service::checkpoint),
            "Update" => answer_on_thread(shim, method, payload, reply, Service::update),
            "Stats" => answer_on_thread(shim, method, payload, reply, Service::stats),
            _ => reply.fail(&ShimError::NoSuchMethod(format!("{service}/{method}"))),
        }
    }
}

impl TaskApi {
    fn call_sandbox(&self, method: &str, payload: Vec<u8>, reply: Reply) {
        let shim = &self.0;
        match method {
            "CreateSandbox" => answer(shim, &payload, reply, Service::create_sandbox),
            "StartSandbox" => {
                answer_on_thread(shim, method, payload, reply, Service::start_sandbox);
            }
            "Platform" => answer(shim, &payload, reply, Service::sandbox_platform),
            "StopSandbox" => answer(shim, &payload, reply, Service::stop_sandbox),
            "WaitSandbox" => shim.wait_sandbox(&payload, reply),
            "SandboxStatus" => answer(shim, &payload, reply, Service::sandbox_status),
            "PingSandbox" => answer(shim, &payload, reply, Service::ping_sandbox),
            "ShutdownSandbox" => answer(shim, &payload, reply, Service::shutdown_sandbox),
            "SandboxMetrics" => {
                answer_on_thread(shim, method, payload, reply, Service::sandbox_metrics);
            }
            _ => {
                let name = format!("{}/{method}", sandbox::SERVICE);
                reply.fail(&ShimError::NoSuchMethod(name));
            }
        }
    }
}

type Method<Request, Response> = fn(&Service, Request) -> Result<Response, ShimError>;

fn answer<Request: Message, Response: Message>(
    service: &Service,
    payload: &[u8],
    reply: Reply,
    method: Method<Request, Response>,
) {
    let result = Request::parse_from_bytes(payload).map_err(ShimError::Decode);
    reply.send(result.and_then(|request| method(service, request)));
}

fn answer_on_thread<Request: Message, Response: Message>(
    service: &Arc<Service>,
    name: &str,
    payload: Vec<u8>,
    reply: Reply,
    method: Method<Request, Response>,
) {
    on_thread(service, name, move |service| {
        answer(service, &payload, reply, method);
    });
}

/// If there is no thread to be had, the reply is dropped with `work`, which answers the call with an error.
fn on_thread(service: &Arc<Service>, name: &str, work: impl FnOnce(&Service) + Send + 'static) {
    let service = Arc::clone(service);
    let call = service.calls.begin();
    let spawned = std::thread::Builder::new()
        .name(name.to_lowercase())
        .spawn(move || {
            work(&service);
            drop(call);
        });
    if let Err(source) = spawned {
        crate::logger::error(format_args!(
            "{}",
            ShimError::Thread {
                method: name.to_owned(),
                source
            }
        ));
    }
}
