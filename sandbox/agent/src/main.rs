//! The guest's PID 1.
//!
//! As PID 1 it mounts what a guest needs ([`boot`]) and serves the host over vsock ([`server`]); messages are
//! those of [`caisson_wire::agent`]. Executed again under one of [`helper`]'s names it makes one container or
//! process through libcontainer and ends: that forks, which a process with threads must not.
//!
//! It trusts the host. The containers beside it are as hostile to it as to the host, but there is nothing
//! in it that the virtual machine around it does not protect as well.

mod answer;
mod boot;
mod bundle;
mod cgroup;
mod clock;
mod error;
mod executor;
mod helper;
mod modules;
mod network;
mod server;
mod session;
mod stream;
mod sysctl;
mod table;
mod tmpfs;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if let Some(task) = arguments.next().as_deref().and_then(helper::Task::named) {
        return helper::run(task, arguments);
    }
    if std::process::id() != 1 {
        eprintln!("caisson-agent is PID 1 of a micro-VM's guest");
        return ExitCode::from(2);
    }
    let port = boot::Port::open();
    port.mark(boot::STARTED);
    // PID 1 must not end: the kernel would panic before the message is out.
    let outcome = modules::load()
        .and_then(|()| boot::prepare())
        .and_then(|()| server::serve(|| port.mark(boot::LISTENS)));
    if let Err(error) = outcome {
        eprintln!("caisson-agent: {error}");
    }
    boot::power_off();
    ExitCode::FAILURE
}
