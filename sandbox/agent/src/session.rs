//! A connection that owns one process: made when it begins, killed when it ends.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use caisson_wire::agent::{
    self, Create, Ended, Exec, MAX_DOWN_BYTES, Order, Report, Stdio, VERSION,
};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::Value;

use crate::bundle::Bundle;
use crate::cgroup::Cgroup;
use crate::clock;
use crate::error::AgentError;
use crate::helper::{Files, Task};
use crate::table::Table;
use crate::{network, server};

/// Numbers of helpers.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The two sides of a new process's files: the process's, and ours.
type Sides = (Vec<OwnedFd>, BTreeMap<Stdio, File>);

pub(crate) fn create(
    table: &Arc<Table>,
    connection: &File,
    create: &Create,
) -> Result<(), AgentError> {
    let made = || {
        if create.version != VERSION {
            return Err(AgentError::Version(create.version));
        }
        clock::set(create.time_ns)?;
        if let Some(network) = &create.network {
            network::set(network)?;
        }
        let bundle = Bundle::new(&create.id)?;
        let mut create = create.clone();
        join(table, &mut create)?;
        bundle.make(&create)?;
        let process = make(table, &bundle, Task::Create, &create.config["process"]);
        let process = process.inspect_err(|_| bundle.remove())?;
        table.settle(&create.id, process);
        if let Err(error) = Cgroup::of(&bundle).limit(&create.limits) {
            end(table, process, &bundle);
            return Err(error);
        }
        Ok((bundle, process))
    };
    live(table, connection, made(), Kills::Told)
}

pub(crate) fn exec(table: &Arc<Table>, connection: &File, exec: &Exec) -> Result<(), AgentError> {
    let made = || {
        let bundle = Bundle::new(&exec.container)?;
        let process = make(table, &bundle, Task::Exec, &exec.process)?;
        Ok((bundle, process))
    };
    live(table, connection, made(), Kills::Untold)
}

/// Name the namespaces of other containers that this one is to have in its config.json.
fn join(table: &Table, create: &mut Create) -> Result<(), AgentError> {
    for (kind, container) in &create.joined {
        let pid = table
            .init(container)
            .ok_or_else(|| AgentError::NoContainer(container.clone()))?;
        let path = format!("/proc/{pid}/ns/{kind}");
        let namespaces = create.config["linux"]["namespaces"].as_array_mut();
        let namespaces = namespaces.into_iter().flatten();
        for namespace in namespaces.filter(|one| one["type"] == kind.as_str()) {
            namespace["path"] = Value::from(path.as_str());
        }
    }
    Ok(())
}

/// Let a helper make a process; returns its number in the table.
fn make(table: &Table, bundle: &Bundle, task: Task, process: &Value) -> Result<u64, AgentError> {
    let files = Files {
        bundle,
        number: NEXT.fetch_add(1, Ordering::Relaxed),
    };
    if task == Task::Exec {
        bundle.write(&files.process(), process)?;
    }
    let mut command = files.command(task);
    let mut console = None;
    let mut ours = BTreeMap::new();
    if process["terminal"] == Value::Bool(true) {
        let path = files.console();
        let listener = UnixListener::bind(&path)
            .map_err(AgentError::step("bind", path.display().to_string()))?;
        console = Some(listener);
    } else {
        let (theirs, kept) = pipes().map_err(AgentError::step("make", "pipes"))?;
        ours = kept;
        let mut theirs = theirs.into_iter();
        if let (Some(stdin), Some(stdout), Some(stderr)) =
            (theirs.next(), theirs.next(), theirs.next())
        {
            command.stdin(stdin).stdout(stdout).stderr(stderr);
        }
    }
    let expecting = table.expect();
    let helper = table
        .spawn(&mut command)
        .map_err(AgentError::step("execute", "a helper"))?;
    // It holds the process's ends of the pipes.
    drop(command);
    if of_helper(table, helper)? != Ended::Exited(0) {
        return Err(files.failure());
    }
    if let Some(listener) = console {
        let master = receive_console(&listener).map_err(AgentError::step("take", "the console"))?;
        ours.insert(Stdio::Console, master);
    }
    Ok(expecting.claim(files.pid()?, ours))
}

/// Input, output and error of the process, and the other ends.
fn pipes() -> io::Result<Sides> {
    let mut theirs: Vec<OwnedFd> = Vec::new();
    let mut ours = BTreeMap::new();
    let (read, write) = io::pipe()?;
    theirs.push(read.into());
    ours.insert(Stdio::In, File::from(OwnedFd::from(write)));
    for file in [Stdio::Out, Stdio::Err] {
        let (read, write) = io::pipe()?;
        theirs.push(write.into());
        ours.insert(file, File::from(OwnedFd::from(read)));
    }
    Ok((theirs, ours))
}

/// The master side, which libcontainer has sent before its helper ended.
fn receive_console(listener: &UnixListener) -> io::Result<File> {
    listener.set_nonblocking(true)?;
    let (socket, _) = listener.accept()?;
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0u8; 256];
    recvmsg(
        &socket,
        &mut [IoSliceMut::new(&mut name)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message
            && let Some(fd) = fds.next()
        {
            return Ok(File::from(fd));
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// Whether a session hears of the kernel's kills for memory: that of the container's first process does.
#[derive(PartialEq, Eq)]
enum Kills {
    Told,
    Untold,
}

/// Everything after the process was made, or was not.
fn live(
    table: &Arc<Table>,
    connection: &File,
    made: Result<(Bundle, u64), AgentError>,
    kills: Kills,
) -> Result<(), AgentError> {
    let (bundle, process) = match made {
        Ok(made) => made,
        Err(error) => {
            let message = error.to_string();
            return Ok(agent::write(
                &mut &*connection,
                &Report::Failed { message },
            )?);
        }
    };
    let clone = || {
        connection
            .try_clone()
            .map_err(AgentError::step("duplicate", "a connection"))
    };
    let (orders, up) = (clone()?, Arc::new(Mutex::new(clone()?)));
    // Until the host goes its files stay, however soon the process ends.
    report(&up, &Report::Ready { process });
    let console = table.console(process);
    let cgroup = Cgroup::of(&bundle);
    if kills == Kills::Told {
        let (watched, up) = (Cgroup::of(&bundle), Arc::clone(&up));
        server::start("memory", move || {
            let tell = |kills| report(&up, &Report::OutOfMemory { kills });
            if let Err(error) = watched.watch_memory(tell) {
                eprintln!("caisson-agent: {error}");
            }
        })?;
    }
    let (obeying, answers, of) = (Arc::clone(table), Arc::clone(&up), bundle.clone());
    server::start("orders", move || {
        obey(&obeying, orders, &answers, &of, process, console.as_ref());
    })?;
    let ended = table.wait(process)?;
    // The watching thread may not have come to the last one.
    let last = cgroup.memory_kills();
    if kills == Kills::Told && last > 0 {
        report(&up, &Report::OutOfMemory { kills: last });
    }
    report(&up, &Report::Ended(ended));
    Ok(())
}

/// A host that has gone does not hear it, and the thread of orders sees that.
fn report(up: &Mutex<File>, report: &Report) {
    let mut up = up.lock().unwrap_or_else(PoisonError::into_inner);
    agent::write(&mut *up, report).ok();
}

/// Do as the host says until it goes; then the process goes as well.
fn obey(
    table: &Table,
    mut orders: File,
    up: &Mutex<File>,
    bundle: &Bundle,
    process: u64,
    console: Option<&File>,
) {
    while let Ok(order) = agent::read::<Order>(&mut orders, MAX_DOWN_BYTES) {
        match order {
            Order::Start => {
                let answer = match begin(table, bundle) {
                    Ok(()) => Report::Started,
                    Err(error) => Report::Failed {
                        message: error.to_string(),
                    },
                };
                report(up, &answer);
            }
            Order::Network(wanted) => {
                if let Err(error) = network::set(&wanted) {
                    let message = error.to_string();
                    report(up, &Report::Failed { message });
                }
            }
            Order::Signal(signal) => table.signal(process, signal),
            Order::Resize { rows, columns } => {
                let size = rustix::termios::Winsize {
                    ws_row: rows,
                    ws_col: columns,
                    ws_xpixel: 0,
                    ws_ypixel: 0,
                };
                if let Some(console) = console {
                    // A terminal that is closed has no size.
                    rustix::termios::tcsetwinsize(console, size).ok();
                }
            }
        }
    }
    end(table, process, bundle);
}

/// A process that nobody on the host stands for any more ends, and with the first one the container.
fn end(table: &Table, process: u64, bundle: &Bundle) {
    table.signal(process, 9);
    // It dies now; only then may its pid be another's.
    table.wait(process).ok();
    let is_init = table.is_init(process);
    table.forget(process);
    if is_init {
        bundle.remove();
    }
}

fn begin(table: &Table, bundle: &Bundle) -> Result<(), AgentError> {
    let files = Files {
        bundle,
        number: NEXT.fetch_add(1, Ordering::Relaxed),
    };
    let helper = table
        .spawn(&mut files.command(Task::Start))
        .map_err(AgentError::step("execute", "a helper"))?;
    match of_helper(table, helper)? {
        Ended::Exited(0) => Ok(()),
        _ => Err(files.failure()),
    }
}

/// A helper's end; it has no files.
fn of_helper(table: &Table, helper: u64) -> Result<Ended, AgentError> {
    let ended = table.wait(helper);
    table.forget(helper);
    ended
}
