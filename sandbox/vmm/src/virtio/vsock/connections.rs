//! All streams of a guest, and the unix sockets they end at.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

use super::connection::{BUFFER_BYTES, Connection, State};
use super::packet::{Header, Operation, Ports, SHUTDOWN_RECEIVE, SHUTDOWN_SEND};

/// More streams are refused.
const MAX_CONNECTIONS: usize = 1024;

/// While so many answers wait for the guest to take them, it is not listened to.
const MAX_REPLIES: usize = 4096;

/// The host's end of streams that the host has asked for.
const FIRST_HOST_PORT: u32 = 1 << 30;

/// The listening socket's event; those of streams are their numbers.
const LISTENER: u64 = 0;

pub(super) struct Connections {
    cid: u64,
    path: PathBuf,
    listener: UnixListener,
    epoll: Epoll,
    /// By a number that is never used again.
    streams: HashMap<u64, Connection>,
    by_ports: HashMap<Ports, u64>,
    /// Those that may have something for the guest, each of them once.
    ready: VecDeque<u64>,
    replies: VecDeque<Header>,
    next_number: u64,
    next_port: u32,
}

impl Connections {
    pub(super) fn new(cid: u32, path: &Path) -> io::Result<Connections> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        // The working directory changes with the jail.
        let path = std::fs::canonicalize(path)?;
        let epoll = Epoll::new()?;
        let event = EpollEvent::new(EventSet::IN, LISTENER);
        epoll.ctl(ControlOperation::Add, listener.as_raw_fd(), event)?;
        Ok(Connections {
            cid: cid.into(),
            path,
            listener,
            epoll,
            streams: HashMap::new(),
            by_ports: HashMap::new(),
            ready: VecDeque::new(),
            replies: VecDeque::new(),
            next_number: LISTENER + 1,
            next_port: FIRST_HOST_PORT,
        })
    }

    /// Readable when [`Self::host_ready`] has something to do.
    pub(super) fn descriptor(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Whether the guest's packets should wait.
    pub(super) fn is_full(&self) -> bool {
        self.replies.len() >= MAX_REPLIES
    }

    pub(super) fn close_all(&mut self) {
        self.streams.clear();
        self.by_ports.clear();
        self.ready.clear();
        self.replies.clear();
    }

    /// Looks at what has happened on the host's side.
    pub(super) fn host_ready(&mut self) -> io::Result<()> {
        let mut events = [EpollEvent::default(); 64];
        loop {
            let count = match self.epoll.wait(0, &mut events) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            for event in &events[..count] {
                if event.data() == LISTENER {
                    self.accept();
                } else {
                    self.stream_ready(event.data(), event.event_set());
                }
            }
            if count < events.len() {
                return Ok(());
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            // Who comes when there are too many is closed.
            if self.streams.len() >= MAX_CONNECTIONS {
                continue;
            }
            let ports = Ports {
                host: self.free_port(),
                guest: 0,
            };
            let connection = Connection::new(stream, State::Greeting(Vec::new()), ports, self.cid);
            // It becomes known by its ports with its greeting.
            self.watch(connection).ok();
        }
    }

    fn free_port(&mut self) -> u32 {
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(FIRST_HOST_PORT);
        port
    }

    fn watch(&mut self, connection: Connection) -> io::Result<u64> {
        connection.stream.set_nonblocking(true)?;
        let number = self.next_number;
        self.next_number += 1;
        let interest =
            EventSet::IN | EventSet::OUT | EventSet::READ_HANG_UP | EventSet::EDGE_TRIGGERED;
        let descriptor = connection.stream.as_raw_fd();
        self.epoll.ctl(
            ControlOperation::Add,
            descriptor,
            EpollEvent::new(interest, number),
        )?;
        self.streams.insert(number, connection);
        Ok(number)
    }

    fn stream_ready(&mut self, number: u64, events: EventSet) {
        let Some(connection) = self.streams.get_mut(&number) else {
            return;
        };
        if matches!(connection.state, State::Greeting(_)) {
            self.greet(number);
            return;
        }
        connection.readable = true;
        let outcome = connection.flush();
        if connection.is_finished() {
            // The guest knows already.
            self.streams.remove(&number);
            return;
        }
        self.reply_or_close(number, outcome);
        if events.contains(EventSet::HANG_UP) {
            self.hung_up(number);
        }
        self.mark_ready(number);
    }

    /// The host has closed both directions: the guest can send no more either.
    fn hung_up(&mut self, number: u64) {
        if let Some(connection) = self.streams.get_mut(&number)
            && connection.state == State::Requested
        {
            let reset = connection.header(Operation::Reset);
            self.replies.push_back(reset);
            self.close(number);
        }
    }

    fn greet(&mut self, number: u64) {
        let Some(connection) = self.streams.get_mut(&number) else {
            return;
        };
        match connection.read_greeting() {
            Ok(Some(port)) => {
                connection.ports.guest = port;
                connection.state = State::Requested;
                let request = connection.header(Operation::Request);
                self.by_ports.insert(connection.ports, number);
                self.replies.push_back(request);
            }
            Ok(None) => {}
            Err(_) => self.close(number),
        }
    }

    fn mark_ready(&mut self, number: u64) {
        let waits = self
            .streams
            .get(&number)
            .is_some_and(Connection::has_packet);
        if waits && !self.ready.contains(&number) {
            self.ready.push_back(number);
        }
    }

    fn reply_or_close(&mut self, number: u64, outcome: io::Result<Option<Header>>) {
        match outcome {
            Ok(reply) => self.replies.extend(reply),
            Err(_) => self.reset(number),
        }
    }

    /// Ends a stream and tells the guest.
    fn reset(&mut self, number: u64) {
        if let Some(connection) = self.streams.get_mut(&number) {
            let header = connection.header(Operation::Reset);
            self.replies.push_back(header);
        }
        self.close(number);
    }

    fn close(&mut self, number: u64) {
        if let Some(connection) = self.streams.remove(&number) {
            self.by_ports.remove(&connection.ports);
        }
    }

    /// A packet of the guest with its data.
    pub(super) fn take(&mut self, header: &Header, data: &[u8]) {
        if !header.is_from(self.cid) {
            self.refuse(header);
            return;
        }
        let number = self.by_ports.get(&header.ports).copied();
        let Some(number) = number else {
            match header.operation {
                Some(Operation::Request) => self.requested(header),
                // Resetting what is reset already would go on for ever.
                Some(Operation::Reset) => {}
                _ => self.refuse(header),
            }
            return;
        };
        let Some(connection) = self.streams.get_mut(&number) else {
            return;
        };
        connection.take_credit(header);
        match header.operation {
            Some(Operation::Response) if connection.state == State::Requested => {
                if connection.accepted().is_err() {
                    self.reset(number);
                }
            }
            Some(Operation::Data) if connection.state == State::Established => {
                let taken = connection.take_data(data);
                let outcome = match taken {
                    Ok(()) => connection.flush(),
                    Err(kind) => Err(kind.into()),
                };
                self.reply_or_close(number, outcome);
            }
            Some(Operation::CreditUpdate) => {}
            Some(Operation::CreditRequest) => {
                let update = connection.header(Operation::CreditUpdate);
                self.replies.push_back(update);
            }
            Some(Operation::Shutdown) => {
                let both = connection.shut(header.flags & (SHUTDOWN_RECEIVE | SHUTDOWN_SEND));
                let outcome = connection.flush();
                self.reply_or_close(number, outcome);
                if both {
                    self.finish(number);
                }
            }
            Some(Operation::Reset) => self.close(number),
            _ => self.reset(number),
        }
        self.mark_ready(number);
    }

    /// The guest is done with a stream. It stays until the host has taken what the guest sent before.
    fn finish(&mut self, number: u64) {
        match self.streams.get_mut(&number) {
            Some(connection) if connection.is_waiting() => {
                let header = connection.header(Operation::Reset);
                self.replies.push_back(header);
                self.by_ports.remove(&connection.ports);
                connection.finish();
            }
            _ => self.reset(number),
        }
    }

    /// The guest wants a stream to one of the host's ports.
    fn requested(&mut self, header: &Header) {
        if self.streams.len() >= MAX_CONNECTIONS {
            self.refuse(header);
            return;
        }
        let mut path = OsString::from(&self.path);
        path.push(format!("_{}", header.ports.host));
        let watched = connect(Path::new(&path)).and_then(|stream| {
            let connection = Connection::new(stream, State::Established, header.ports, self.cid);
            self.watch(connection)
        });
        match watched {
            Ok(number) => {
                self.by_ports.insert(header.ports, number);
                if let Some(connection) = self.streams.get_mut(&number) {
                    connection.take_credit(header);
                    let response = connection.header(Operation::Response);
                    self.replies.push_back(response);
                }
            }
            Err(_) => self.refuse(header),
        }
    }

    /// Answers a packet that belongs to no stream.
    fn refuse(&mut self, header: &Header) {
        let reset = Header::to_guest(self.cid, header.ports, Operation::Reset);
        self.replies.push_back(reset);
    }

    /// The next packet for the guest; its data is put into `buffer`.
    pub(super) fn next_packet(&mut self, buffer: &mut [u8]) -> Option<Header> {
        if let Some(reply) = self.replies.pop_front() {
            return Some(reply);
        }
        let limit = buffer.len().min(BUFFER_BYTES as usize);
        while let Some(number) = self.ready.pop_front() {
            let Some(connection) = self.streams.get_mut(&number) else {
                continue;
            };
            match connection.next_packet(&mut buffer[..limit]) {
                Ok(Some(header)) => {
                    // To the end, so that no stream holds up the others.
                    self.mark_ready(number);
                    return Some(header);
                }
                Ok(None) => {}
                Err(_) => {
                    self.reset(number);
                    return self.replies.pop_front();
                }
            }
        }
        None
    }

    /// Whether [`Self::next_packet`] may return something.
    pub(super) fn has_packet(&self) -> bool {
        !self.replies.is_empty() || !self.ready.is_empty()
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        // Whoever made the directory may have removed it already.
        std::fs::remove_file(&self.path).ok();
    }
}

/// Connects without ever waiting for whoever listens.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        None,
    )?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}
