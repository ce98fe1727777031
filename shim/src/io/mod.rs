//! Standard input and output of a container's processes.
//!
//! Key type: [`ProcessIo`]. Containers get anonymous pipes or a terminal, never containerd's fifos
//! themselves: a daemon that outlives its exec must not keep a client waiting, and a fifo is a file
//! of the host. Data moves by splice(2) on the main loop, so a stalled reader stalls only its own
//! container, and nothing is lost while containerd restarts.

mod binary;
mod console;
mod fifo;
mod pump;

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use binary::LogProgram;
pub(crate) use binary::Logging;
pub(crate) use console::ConsoleSocket;
use pump::{Drained, Mode, Pump};
use rustix::fs::{Gid, OFlags, Uid, fchown, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::error::ShimError;
use crate::poller::Poller;
use crate::runtime::CommandStdio;
use crate::sync::lock;

/// What containerd asks for: fifos, files, a logging program, or nothing.
#[derive(Debug, Default, Clone)]
pub(crate) struct StdioPaths {
    pub(crate) stdin: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) terminal: bool,
}

/// How long after its end a process's output may stay open without anything coming.
const DRAIN_STEP: Duration = Duration::from_secs(2);
/// How many such steps a slow reader gets while it still reads.
const DRAIN_STEPS: usize = 15;

/// The way of a process's input.
#[derive(Default)]
struct Input {
    /// Not opened yet: the fifo's path, and where its bytes will go.
    waiting: Option<(String, OwnedFd, Mode)>,
    pump: Option<Arc<Pump>>,
    /// Keeps the fifo open for writing until containerd says that no more comes.
    hold: Option<OwnedFd>,
    /// containerd has said so.
    closed: bool,
}

/// The shim's ends of one process's stdio.
#[derive(Default)]
pub(crate) struct ProcessIo {
    input: Mutex<Input>,
    outputs: Vec<Arc<Pump>>,
    log_program: Option<LogProgram>,
    console: Mutex<Option<OwnedFd>>,
}

impl ProcessIo {
    /// Pipes for a process without a terminal, owned by `owner` if given.
    pub(crate) fn pipes(
        paths: &StdioPaths,
        owner: Option<(u32, u32)>,
        poller: &Arc<Poller>,
        logging: &Logging<'_>,
    ) -> Result<(ProcessIo, CommandStdio), ShimError> {
        let mut io = ProcessIo::default();
        let mut theirs = CommandStdio {
            inherited: true,
            ..CommandStdio::default()
        };
        if binary::is_binary(&paths.stdout) {
            // The process writes to the program's own pipes.
            let (program, stdout, stderr) = binary::start(&paths.stdout, logging)?;
            io.log_program = Some(program);
            (theirs.stdout, theirs.stderr) = (Some(stdout), Some(stderr));
        }
        let outputs = [
            (&paths.stdout, &mut theirs.stdout),
            (&paths.stderr, &mut theirs.stderr),
        ];
        for (path, their_end) in outputs {
            if path.is_empty() || their_end.is_some() {
                continue;
            }
            let sink = fifo::open_output(path)?;
            let (ours, end) = pipe(owner)?;
            nonblocking(&ours)?;
            io.outputs.push(
                Pump::start(poller, ours, sink, Mode::Splice)
                    .map_err(ShimError::io("watch", path))?,
            );
            *their_end = Some(end);
        }
        if !paths.stdin.is_empty() {
            let (end, ours) = pipe(owner)?;
            nonblocking(&ours)?;
            lock(&io.input).waiting = Some((paths.stdin.clone(), ours, Mode::Splice));
            theirs.stdin = Some(end);
        }
        Ok((io, theirs))
    }

    /// A process with a terminal, whose master side is `master`.
    pub(crate) fn terminal(
        paths: &StdioPaths,
        master: OwnedFd,
        poller: &Arc<Poller>,
        logging: &Logging<'_>,
    ) -> Result<ProcessIo, ShimError> {
        let mut io = ProcessIo::default();
        nonblocking(&master)?;
        let clone = || {
            master
                .try_clone()
                .map_err(ShimError::io("duplicate", "the terminal"))
        };
        if !paths.stdout.is_empty() {
            let sink = if binary::is_binary(&paths.stdout) {
                let (program, stdout, _stderr) = binary::start(&paths.stdout, logging)?;
                io.log_program = Some(program);
                nonblocking(&stdout)?;
                stdout
            } else {
                fifo::open_output(&paths.stdout)?
            };
            let pump = Pump::start(poller, clone()?, sink, Mode::Copy)
                .map_err(ShimError::io("watch", &paths.stdout))?;
            io.outputs.push(pump);
        }
        if !paths.stdin.is_empty() {
            lock(&io.input).waiting = Some((paths.stdin.clone(), clone()?, Mode::Copy));
        }
        io.console = Mutex::new(Some(master));
        Ok(io)
    }

    /// Let input in. To be called when the process is being started and not before: a client is
    /// allowed to say that its input has ended only once it knows that the task exists, and some
    /// (ctr) forget to say it later.
    pub(crate) fn connect_input(&self, poller: &Arc<Poller>) -> Result<(), ShimError> {
        let mut input = lock(&self.input);
        let Some((path, sink, mode)) = input.waiting.take() else {
            return Ok(());
        };
        let (source, hold) = fifo::open_input(&path)?;
        input.hold = hold.filter(|_| !input.closed);
        input.pump =
            Some(Pump::start(poller, source, sink, mode).map_err(ShimError::io("watch", path))?);
        Ok(())
    }

    /// No more input comes but from the client that has the fifo open now.
    pub(crate) fn close_stdin(&self) {
        let mut input = lock(&self.input);
        input.closed = true;
        input.hold = None;
    }

    fn drop_input(&self) {
        let input = std::mem::take(&mut *lock(&self.input));
        if let Some(pump) = input.pump {
            pump.close();
        }
    }

    pub(crate) fn resize(&self, width: u32, height: u32) -> Result<(), ShimError> {
        let console = lock(&self.console);
        let Some(console) = console.as_ref() else {
            return Err(ShimError::WrongState {
                action: "resize the terminal of",
                state: "without a terminal",
            });
        };
        let cells = |field, value: u32| {
            u16::try_from(value).map_err(|_| ShimError::InvalidField {
                field,
                value: value.to_string(),
                reason: "must be below 65536".into(),
            })
        };
        let size = Winsize {
            ws_row: cells("height", height)?,
            ws_col: cells("width", width)?,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(console, size)
            .map_err(|error| ShimError::io("resize", "the terminal")(error.into()))
    }

    /// After the process has ended: deliver what it has written, then close everything. A daemon that
    /// holds the output open gets no more than a moment.
    pub(crate) fn drain(&self) {
        self.drop_input();
        lock(&self.console).take();
        for output in &self.outputs {
            for _ in 0..DRAIN_STEPS {
                match output.wait(DRAIN_STEP) {
                    Drained::Progress => {}
                    Drained::Finished | Drained::Idle => break,
                }
            }
            output.close();
        }
        if let Some(program) = &self.log_program {
            program.finish();
        }
    }

    /// Close everything at once; for a process that never ran.
    pub(crate) fn close(&self) {
        self.drop_input();
        lock(&self.console).take();
        self.outputs.iter().for_each(|output| output.close());
    }
}

impl Drop for ProcessIo {
    fn drop(&mut self) {
        self.close();
    }
}

/// Read end and write end.
fn pipe(owner: Option<(u32, u32)>) -> Result<(OwnedFd, OwnedFd), ShimError> {
    let failed = |error: rustix::io::Errno| ShimError::io("make", "a pipe")(error.into());
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
    if let Some((uid, gid)) = owner {
        fchown(&read, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(failed)?;
    }
    Ok((read, write))
}

fn nonblocking(fd: &OwnedFd) -> Result<(), ShimError> {
    fcntl_getfl(fd)
        .and_then(|flags| fcntl_setfl(fd, flags | OFlags::NONBLOCK))
        .map_err(|error| ShimError::io("set O_NONBLOCK on", "stdio")(error.into()))
}
