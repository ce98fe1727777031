//! What a process does that stands for one of the guest's: until that ends.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use caisson_wire::agent::{self, Ended, MAX_UP_BYTES, Order, Report};
use caisson_wire::{Request, Response, share};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, Winsize};

use super::carry;
use super::monitor::Monitor;
use super::network::PodNetwork;
use super::session::{ANSWER_LIMIT, Session, nonsense, of_agent};
use super::usage;
use crate::RuntimeError;
use crate::tier::ConsoleSize;

/// How long output may take to arrive after its process has ended; another process may hold it open.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

pub(super) enum Event {
    Report(Report),
    /// No more reports will come.
    Lost(String),
    Signal(i32),
    /// `caisson start`, which waits for an answer.
    Start(OwnedFd),
    /// A container of the pod has a file system for the guest, or takes it back; it waits for an answer.
    Share {
        caller: OwnedFd,
        order: share::Order,
        mount: Option<OwnedFd>,
    },
    StreamEnded,
}

/// Our side of a terminal: the guest's is a terminal of its own, so this one does nothing by itself.
pub(super) struct Terminal {
    pub(super) master: OwnedFd,
    pub(super) slave: OwnedFd,
}

impl Terminal {
    /// Make it the controlling terminal of this session, which gives us SIGWINCH.
    pub(super) fn open(size: ConsoleSize) -> Result<Terminal, RuntimeError> {
        let fail = || RuntimeError::step::<rustix::io::Errno>("open a terminal");
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).map_err(fail())?;
        rustix::pty::unlockpt(&master).map_err(fail())?;
        let name = rustix::pty::ptsname(&master, Vec::new()).map_err(fail())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(&*name, flags, Mode::empty()).map_err(fail())?;
        let mut mode = rustix::termios::tcgetattr(&slave).map_err(fail())?;
        mode.make_raw();
        rustix::termios::tcsetattr(&slave, OptionalActions::Now, &mode).map_err(fail())?;
        let size = Winsize {
            ws_row: size.rows,
            ws_col: size.columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&slave, size).map_err(fail())?;
        rustix::process::ioctl_tiocsctty(&slave).map_err(fail())?;
        Ok(Terminal { master, slave })
    }

    fn size(slave: &OwnedFd) -> Option<Order> {
        let size = rustix::termios::tcgetwinsize(slave).ok()?;
        Some(Order::Resize {
            rows: size.ws_row,
            columns: size.ws_col,
        })
    }
}

/// Every signal is taken by [`Life::listen`]; call before there are threads.
pub(super) fn block_signals() -> Result<(), RuntimeError> {
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&passed_on()), None)
        .map_err(RuntimeError::step("sigprocmask"))
}

fn passed_on() -> SigSet {
    let mut set = SigSet::all();
    for ours in [
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGILL,
        Signal::SIGFPE,
        Signal::SIGABRT,
        Signal::SIGPIPE,
    ] {
        set.remove(ours);
    }
    set
}

/// What runs the container.
pub(super) struct Machine {
    pub(super) monitor: Monitor,
    pub(super) network: PodNetwork,
    /// The container's in the state.
    pub(super) folder: PathBuf,
}

impl Machine {
    /// Why it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<RuntimeError> {
        self.monitor.ended(&self.folder)
    }
}

pub(super) struct Life {
    session: Session,
    slave: Option<OwnedFd>,
    events: Receiver<Event>,
    sender: Sender<Event>,
    /// Outputs that have not ended.
    streams: usize,
    /// Of the container, where kills for memory are counted.
    counted: Option<PathBuf>,
}

impl Life {
    /// Connect a process that stands to our files, or to a terminal.
    pub(super) fn begin(session: Session, slave: Option<OwnedFd>) -> Result<Life, RuntimeError> {
        let (sender, events) = channel();
        let streams = match &slave {
            Some(slave) => carry::console(&session, slave, &sender)?,
            None => carry::stdio(&session, &sender)?,
        };
        if let Some(size) = slave.as_ref().and_then(Terminal::size) {
            session.order(size)?;
        }
        let life = Life {
            session,
            slave,
            events,
            sender,
            streams,
            counted: None,
        };
        life.listen()?;
        Ok(life)
    }

    /// That of a container's first process, whose folder in the state this is.
    pub(super) fn counting(mut self, folder: &Path) -> Life {
        self.counted = Some(folder.to_owned());
        self
    }

    /// Hear reports and signals.
    fn listen(&self) -> Result<(), RuntimeError> {
        let (stream, events) = (self.session.reports()?, self.sender.clone());
        carry::start("reports", move || hear(stream, &events))?;
        let signals = SignalFd::with_flags(&passed_on(), SfdFlags::SFD_CLOEXEC)
            .map_err(RuntimeError::step("signalfd"))?;
        let events = self.sender.clone();
        carry::start("signals", move || {
            while let Ok(Some(signal)) = signals.read_signal() {
                if events.send(Event::Signal(signal.ssi_signo as i32)).is_err() {
                    return;
                }
            }
        })
    }

    /// Serve the control socket as well.
    pub(super) fn serve(&self, control: OwnedFd) -> Result<(), RuntimeError> {
        let events = self.sender.clone();
        carry::start("control", move || {
            while let Ok(caller) = rustix::net::accept(&control) {
                let event = match caisson_wire::receive::<Request>(caller.as_fd()) {
                    Ok((Request::Start, _)) => Event::Start(caller),
                    Ok((Request::Share(order), mut fds)) => Event::Share {
                        caller,
                        order,
                        mount: fds.pop(),
                    },
                    Ok(_) => {
                        answer(&caller, Err("not of a virtual machine"));
                        continue;
                    }
                    Err(_) => continue,
                };
                if events.send(event).is_err() {
                    return;
                }
            }
        })
    }

    /// Until the process ends. With a machine, its end is the process's.
    pub(super) fn follow(
        mut self,
        mut machine: Option<&mut Machine>,
    ) -> Result<Ended, RuntimeError> {
        let mut starting: Option<(OwnedFd, Instant)> = None;
        loop {
            let event = match &starting {
                None => self
                    .events
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
                Some((_, deadline)) => self
                    .events
                    .recv_timeout(deadline.saturating_duration_since(Instant::now())),
            };
            let failure = match event {
                Ok(Event::Report(Report::Started)) => {
                    if let Some((caller, _)) = starting.take() {
                        answer(&caller, Ok(()));
                    }
                    None
                }
                Ok(Event::Report(Report::Ended(ended))) if ended.is_possible() => {
                    if let Some((caller, _)) = starting.take() {
                        answer(&caller, Ok(()));
                    }
                    self.last_output();
                    return Ok(ended);
                }
                Ok(Event::Report(Report::OutOfMemory { kills })) => self
                    .counted
                    .as_ref()
                    .and_then(|folder| usage::out_of_memory(folder, kills).err()),
                Ok(Event::Report(Report::Failed { message })) => Some(of_agent(&message)),
                Ok(Event::Report(other)) => Some(nonsense(&other)),
                Ok(Event::Lost(message)) => Some(RuntimeError::Sandbox { message }),
                Ok(Event::Signal(libc::SIGCHLD)) => {
                    machine.as_mut().and_then(|machine| machine.ended())
                }
                Ok(Event::Signal(signal)) => self.pass_on(signal).err(),
                Ok(Event::Start(caller)) => {
                    starting = Some((caller, Instant::now() + ANSWER_LIMIT));
                    self.begin_program(machine.as_deref_mut()).err()
                }
                Ok(Event::Share {
                    caller,
                    order,
                    mount,
                }) => {
                    let outcome = pass(machine.as_deref_mut(), &order, mount);
                    answer(&caller, outcome.as_ref().copied().map_err(String::as_str));
                    None
                }
                Ok(Event::StreamEnded) => {
                    self.streams = self.streams.saturating_sub(1);
                    None
                }
                Err(_) => Some(RuntimeError::Sandbox {
                    message: format!("agent: no answer within {} s", ANSWER_LIMIT.as_secs()),
                }),
            };
            if let Some(error) = failure {
                // When the machine ends so do its connections: its own words say more.
                let told = machine.as_mut().and_then(|machine| {
                    std::thread::sleep(Duration::from_millis(50));
                    machine.ended()
                });
                let error = told.unwrap_or(error);
                if let Some((caller, _)) = starting.take() {
                    answer(&caller, Err(&unprefixed(&error)));
                }
                return Err(error);
            }
        }
    }

    /// With the network that was made meanwhile.
    fn begin_program(&self, machine: Option<&mut Machine>) -> Result<(), RuntimeError> {
        let late = machine.map(|machine| machine.network.late()).transpose()?;
        if let Some(network) = late.flatten() {
            self.session.order(Order::Network(network))?;
        }
        self.session.order(Order::Start)
    }

    fn pass_on(&self, signal: i32) -> Result<(), RuntimeError> {
        match (signal, &self.slave) {
            (libc::SIGURG, _) => Ok(()),
            (libc::SIGWINCH, Some(slave)) => match Terminal::size(slave) {
                Some(size) => self.session.order(size),
                None => Ok(()),
            },
            _ => self.session.order(Order::Signal(signal)),
        }
    }

    fn last_output(&mut self) {
        let deadline = Instant::now() + LAST_OUTPUT;
        while self.streams > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(Event::StreamEnded) => self.streams -= 1,
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
}

/// Have a machine's server of files do as another container's process says.
fn pass(
    machine: Option<&mut Machine>,
    order: &share::Order,
    mount: Option<OwnedFd>,
) -> Result<(), String> {
    let machine = machine.ok_or("has no machine of its own")?;
    let told = machine.monitor.tell_shares(order, mount.as_ref());
    told.map_err(|error| unprefixed(&error))
}

/// Our own error without what its reader puts before it again.
fn unprefixed(error: &RuntimeError) -> String {
    match error {
        RuntimeError::Sandbox { message } => message.clone(),
        other => other.to_string(),
    }
}

/// Whoever asked may have gone.
fn answer(caller: &OwnedFd, outcome: Result<(), &str>) {
    let response = match outcome {
        Ok(()) => Response::Done,
        Err(message) => Response::Failed {
            message: message.to_owned(),
            errno: None,
        },
    };
    caisson_wire::send(caller.as_fd(), &response, &[]).ok();
}

fn hear(mut stream: UnixStream, events: &Sender<Event>) {
    loop {
        let event = match agent::read::<Report>(&mut stream, MAX_UP_BYTES) {
            Ok(report) => Event::Report(report),
            Err(error) => {
                events.send(Event::Lost(format!("agent: {error}"))).ok();
                return;
            }
        };
        if events.send(event).is_err() {
            return;
        }
    }
}
