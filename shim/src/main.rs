//! `containerd-shim-caisson-v2`: what containerd starts for a container (or a pod) whose runtime is
//! `io.containerd.caisson.v2`.
//!
//! Key type: [`service::Service`], the task API of containerd's runtime v2. The shim drives the
//! `caisson` binary as containerd's own shim drives runc and knows nothing of the application
//! kernel. It must never block on a container: not on its output, not on its terminal, not on its
//! state while another call is running.

mod args;
mod bootstrap;
mod bundle;
mod cgroup;
mod command;
mod container;
mod error;
mod events;
mod idmap;
mod io;
mod limits;
mod logger;
mod mount;
mod oom;
mod options;
mod pod;
mod poller;
mod process;
mod reaper;
mod runtime;
mod sandbox;
mod service;
mod socket;
mod stats;
mod sync;
mod tier;
mod ttrpc;

use std::process::ExitCode;

use args::{Action, Flags};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("containerd-shim-caisson-v2: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let flags = Flags::parse(std::env::args().skip(1))?;
    match flags.action {
        Action::Start => command::start::run(&flags),
        Action::Delete => command::delete::run(&flags),
        Action::Info => command::info::run(&flags),
        Action::Version => command::info::version(),
        Action::Hold => command::hold::run(&flags),
        Action::Serve => command::serve::run(&flags),
    }
}
