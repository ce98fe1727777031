//! Receiving calls and answering them.

use std::os::fd::AsFd;
use std::sync::Arc;

use caisson_abi::{Level, nr, refusal};
use rustix::io::Errno;

use crate::audited;
use crate::call::Call;
use crate::dispatch;
use crate::kernel::Kernel;
use crate::reply::Reply;
use crate::shortfall::By;
use crate::strace::{Line, Outcome};
use crate::syscall::signal;
use crate::threads;
use crate::transport::{Incoming, Transport};

/// Receiving threads keep nothing on their stack that grows with input.
const STACK_BYTES: usize = 256 << 10;

/// Serve everything that comes over `transport` on a thread of its own, until its last guest is gone.
pub fn start(kernel: &Arc<Kernel>, transport: Arc<dyn Transport>) -> std::io::Result<()> {
    let kernel = kernel.clone();
    std::thread::Builder::new()
        .name("caisson-serve".into())
        .stack_size(STACK_BYTES)
        .spawn(move || serve(&kernel, &transport, |transport| transport.receive()))
        .map(drop)
}

/// Receive on one more thread, for as long as the transport wants that.
fn start_assistant(kernel: &Arc<Kernel>, transport: &Arc<dyn Transport>) {
    let (kernel, shared) = (kernel.clone(), transport.clone());
    let spawned = threads::start("caisson-serve", STACK_BYTES, move || {
        serve(&kernel, &shared, |transport| transport.assist());
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        kernel.walkers.unregister(tid as u32);
    });
    if let Err(error) = spawned {
        tracing::debug!(%error, "no second thread to serve calls");
        transport.no_assistant();
    }
}

fn serve(
    kernel: &Arc<Kernel>,
    transport: &Arc<dyn Transport>,
    receive: impl Fn(&dyn Transport) -> Result<Option<Incoming>, Errno>,
) {
    if let Err(error) = serve_all(kernel, transport, receive) {
        tracing::error!(%error, "receiving system calls failed; the sandbox ends");
        std::process::exit(crate::EXIT_BROKEN);
    }
}

fn serve_all(
    kernel: &Arc<Kernel>,
    transport: &Arc<dyn Transport>,
    receive: impl Fn(&dyn Transport) -> Result<Option<Incoming>, Errno>,
) -> Result<(), Errno> {
    while let Some(incoming) = receive(&**transport)? {
        if transport.wants_assistant() {
            start_assistant(kernel, transport);
        }
        if ends_unseen(kernel, &incoming) {
            answer(transport, &incoming, Ok(Reply::Continue(audited::exit())));
            continue;
        }
        let thread = match kernel.thread(incoming.tid) {
            Ok(thread) => thread,
            Err(error) => {
                tracing::debug!(tid = incoming.tid, nr = incoming.nr, %error, "call of an unknown thread");
                answer(transport, &incoming, Err(Errno::NOSYS));
                continue;
            }
        };
        let line = kernel
            .strace
            .as_ref()
            .map(|strace| strace.begin(&incoming, thread.guest_tid));
        let (reply, line) = match kernel.with_servant(|servant| {
            let mut call = Call {
                kernel,
                transport,
                thread,
                servant,
                incoming,
                line,
            };
            signal::guard_caller(&call);
            (dispatch::dispatch(&mut call), call.line)
        }) {
            Ok(handled) => handled,
            Err(errno) => (Err(errno), None),
        };
        conclude(kernel, transport, &incoming, reply, line);
    }
    Ok(())
}

/// The end of a thread that has made no other call: nothing is known of it, and nothing has to be. It has no
/// children, for to make one is a call that is seen.
fn ends_unseen(kernel: &Kernel, incoming: &Incoming) -> bool {
    incoming.nr == nr::exit && kernel.table.thread(incoming.tid).is_none()
}

/// Send a handler's reply, count what was refused, and end the call's line in the log.
pub fn conclude(
    kernel: &Kernel,
    transport: &Arc<dyn Transport>,
    incoming: &Incoming,
    reply: Result<Reply, Errno>,
    line: Option<Line>,
) {
    if let Err(errno) = reply {
        let by = match refusal(Level::Standard, incoming.nr, &incoming.args) {
            Some(_) => By::Table,
            None => By::Handler,
        };
        kernel.shortfalls.count(incoming.nr, by, errno);
    }
    let mut line = line;
    if let (Some(strace), Ok(Reply::Continue(_))) = (&kernel.strace, &reply)
        && let Some(line) = line.take()
    {
        // It may end the sandbox, and the log with it.
        strace.end(line, Outcome::Native);
    }
    let outcome = answer(transport, incoming, reply);
    if let (Some(strace), Some(line)) = (&kernel.strace, line) {
        strace.end(line, outcome);
    }
}

/// Send a handler's reply. A guest that was killed meanwhile needs none.
pub fn answer(
    transport: &Arc<dyn Transport>,
    incoming: &Incoming,
    reply: Result<Reply, Errno>,
) -> Outcome {
    let (sent, outcome) = match reply {
        Ok(Reply::Answered) => return Outcome::Elsewhere,
        Ok(Reply::Value(value)) => (
            transport.answer_value(incoming, value),
            Outcome::Value(value),
        ),
        Ok(Reply::Continue(token)) => (transport.answer_continue(incoming, token), Outcome::Native),
        Ok(Reply::Path(fd, cloexec)) => match transport.answer_path(incoming, fd, cloexec) {
            Ok(value @ ..=-1) => return Outcome::Error(Errno::from_raw_os_error(-value as i32)),
            Ok(value) => return Outcome::Value(value),
            Err(Errno::NOENT) => (Err(Errno::NOENT), Outcome::Gone),
            Err(error) => (
                transport.answer_error(incoming, error),
                Outcome::Error(error),
            ),
        },
        // Our own descriptor is closed before the guest goes on: the guest's close is to be the last one,
        // for whoever watches it, and so that a program it has just written can be executed.
        Ok(Reply::Fd(fd, cloexec)) => match transport.donate(incoming, fd.as_fd(), cloexec) {
            Ok(number) => {
                drop(fd);
                let value = number.into();
                (
                    transport.answer_value(incoming, value),
                    Outcome::Value(value),
                )
            }
            Err(Errno::NOENT) => (Err(Errno::NOENT), Outcome::Gone),
            // The call still waits: a full table is EMFILE there as here.
            Err(error) => (
                transport.answer_error(incoming, error),
                Outcome::Error(error),
            ),
        },
        Err(errno) => (
            transport.answer_error(incoming, errno),
            Outcome::Error(errno),
        ),
    };
    match sent {
        Ok(()) => outcome,
        Err(Errno::NOENT) => Outcome::Gone,
        Err(error) => {
            tracing::debug!(tid = incoming.tid, nr = incoming.nr, %error, "an answer was refused");
            Outcome::Gone
        }
    }
}
