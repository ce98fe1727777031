//! One pod of the sandbox API: a process that holds its namespaces, and who waits for its end.
//!
//! Key type: [`Sandbox`]. Its containers are tasks of the same shim, which join by the process's pid.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use containerd_shim_protos::sandbox_api::{CreateSandboxRequest, WaitSandboxResponse};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::cgroup::Cgroup;
use crate::error::ShimError;
use crate::events::timestamp;
use crate::pod::PodConfig;
use crate::reaper::{Exit, Reaper};
use crate::sync::lock;
use crate::ttrpc::server::Reply;

#[derive(Default)]
struct State {
    pid: u32,
    pidfd: Option<OwnedFd>,
    /// The process ends when this is closed.
    life_line: Option<OwnedFd>,
    created_at: Option<SystemTime>,
    exit: Option<Exit>,
    waiting: Vec<Reply>,
}

pub(crate) struct Sandbox {
    pub(crate) id: String,
    config: PodConfig,
    netns: String,
    state: Mutex<State>,
}

/// What is told of it.
pub(crate) struct Snapshot {
    pub(crate) pid: u32,
    pub(crate) created_at: Option<SystemTime>,
    pub(crate) exit: Option<Exit>,
}

impl Sandbox {
    pub(crate) fn new(request: &CreateSandboxRequest) -> Result<Sandbox, ShimError> {
        Ok(Sandbox {
            id: request.sandbox_id.clone(),
            config: PodConfig::decode(request.options.as_ref())?,
            netns: request.netns_path.clone(),
            state: Mutex::default(),
        })
    }

    /// Run the process; its exit is told to `self`.
    pub(crate) fn start(self: &Arc<Self>, reaper: &Arc<Reaper>) -> Result<Snapshot, ShimError> {
        if lock(&self.state).created_at.is_some() {
            return Err(ShimError::AlreadyExists {
                what: "sandbox",
                id: self.id.clone(),
            });
        }
        let launch = reaper.launch();
        let (pid, life_line) = self.hold(reaper)?;
        {
            let mut state = lock(&self.state);
            state.pid = pid as u32;
            state.pidfd =
                Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
            state.life_line = Some(life_line);
            state.created_at = Some(SystemTime::now());
        }
        let ended = Arc::clone(self);
        reaper.watch(pid, Box::new(move |exit| ended.exited(exit)));
        drop(launch);
        Ok(self.snapshot())
    }

    /// Run `hold`; returns the pid of the process that stays, and its life line.
    fn hold(&self, reaper: &Reaper) -> Result<(i32, OwnedFd), ShimError> {
        let failed = |reason: String| ShimError::Sandbox {
            id: self.id.clone(),
            reason,
        };
        let io = |error: std::io::Error| failed(error.to_string());
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|error| io(error.into()));
        let program: PathBuf = std::env::current_exe().map_err(io)?;
        let (theirs, life_line) = pipe()?;
        let (told, tells) = pipe()?;
        let (errors, complains) = pipe()?;
        let mut command = Command::new(program);
        command
            .args(["-id", &self.id, "-netns", &self.netns])
            .args(["-hostname", &self.config.hostname, "hold"])
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::from(tells))
            .stderr(Stdio::from(complains));
        let child = reaper.spawn(&mut command).map_err(io)?;
        drop(command);
        let (mut pid, mut message) = (String::new(), String::new());
        File::from(told).read_to_string(&mut pid).map_err(io)?;
        File::from(errors)
            .read_to_string(&mut message)
            .map_err(io)?;
        let exit = child.wait();
        match pid.parse() {
            Ok(pid) if exit.status == 0 => Ok((pid, life_line)),
            _ => Err(failed(message.trim().to_owned())),
        }
    }

    fn exited(&self, exit: Exit) {
        let mut state = lock(&self.state);
        state.exit = Some(exit);
        state.pidfd = None;
        for reply in std::mem::take(&mut state.waiting) {
            reply.succeed(&wait_response(exit));
        }
    }

    /// End the process and with it everything that shares its pid namespace.
    pub(crate) fn stop(&self) {
        let mut state = lock(&self.state);
        if let Some(pidfd) = &state.pidfd {
            let _already_gone = pidfd_send_signal(pidfd, Signal::KILL);
        }
        state.life_line = None;
    }

    /// The control group of the whole pod, if it was given one.
    pub(crate) fn cgroup(&self) -> Option<Cgroup> {
        Cgroup::named(&self.config.cgroup_path())
    }

    pub(crate) fn wait(&self, reply: Reply) {
        let mut state = lock(&self.state);
        match state.exit {
            Some(exit) => reply.succeed(&wait_response(exit)),
            None => state.waiting.push(reply),
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = lock(&self.state);
        Snapshot {
            pid: state.pid,
            created_at: state.created_at,
            exit: state.exit,
        }
    }
}

fn wait_response(exit: Exit) -> WaitSandboxResponse {
    WaitSandboxResponse {
        exit_status: exit.status,
        exited_at: timestamp(exit.at),
        ..WaitSandboxResponse::default()
    }
}
