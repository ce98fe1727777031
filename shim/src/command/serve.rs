//! The serving process: answers the task API on the socket that `start` made.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::args::Flags;
use crate::events::Publisher;
use crate::poller::Poller;
use crate::reaper::Reaper;
use crate::service::{Service, TaskApi};
use crate::ttrpc::server::{Acceptor, Handler, listener_from_stdin};
use crate::{limits, logger, socket};

/// How long the end of the shim waits for calls that are still at work.
const LAST_CALLS: Duration = Duration::from_secs(5);
/// How long connections stay open after the last answer. containerd's client of ttrpc, woken late, finds the answer and the
/// end of the connection together, and may take the end for what it was waiting for.
const LAST_ANSWER: Duration = Duration::from_millis(100);
/// How long the end of the shim waits for containerd to take the last events.
const LAST_EVENTS: Duration = Duration::from_secs(2);

pub(crate) fn run(flags: &Flags) -> anyhow::Result<()> {
    logger::init(flags.debug);
    // A signal meant for containerd must not orphan containers; SIGKILL remains.
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))
            .context("signal handler")?;
    }
    limits::raise_open_files();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .context("become a subreaper")?;
    let listener = listener_from_stdin().context("take the listening socket")?;
    let events = env::var_os("TTRPC_ADDRESS")
        .map(PathBuf::from)
        .context("TTRPC_ADDRESS is not set")?;
    let poller = Arc::new(Poller::new().context("epoll")?);
    let publisher = Publisher::start(&flags.namespace, events).context("events")?;
    let reaper = Reaper::start().context("reaper")?;
    let service = Service::new(
        &flags.namespace,
        Arc::clone(&poller),
        reaper,
        Arc::clone(&publisher),
    );
    let calls = Arc::clone(&service.calls);
    let api: Arc<dyn Handler> = Arc::new(TaskApi(Arc::new(service)));
    Acceptor::new(listener, api)
        .and_then(|acceptor| acceptor.register(&poller))
        .context("serve")?;
    logger::debug(format_args!("serving {} in {}", flags.id, flags.namespace));
    poller.run().context("main loop")?;
    calls.finish(LAST_CALLS);
    publisher.flush(LAST_EVENTS);
    socket::remove(Path::new(&flags.socket));
    std::thread::sleep(LAST_ANSWER);
    Ok(())
}
