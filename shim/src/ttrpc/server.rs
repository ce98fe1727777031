//! The serving side: connections that are read by the poller and answered from any thread.
//!
//! Key types: [`Connection`] and [`Reply`]. Must never block on a peer that does not read.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::ttrpc::{Code, Request, Response, Status};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::frame::{FrameBuffer, FrameError, KIND_REQUEST, KIND_RESPONSE, encode};
use crate::error::ShimError;
use crate::logger;
use crate::poller::{Next, Poller, Source, Token};
use crate::sync::lock;

/// Most bytes of answers that wait for one peer to read them, before it is given up.
const MAX_UNSENT_BYTES: usize = 16 << 20;

/// How long to leave a connection alone that cannot be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What takes the requests.
pub(crate) trait Handler: Send + Sync {
    /// Must not block: slow work belongs on a thread.
    fn call(&self, service: &str, method: &str, payload: Vec<u8>, reply: Reply);
}

/// Accepts connections.
pub(crate) struct Acceptor {
    listener: UnixListener,
    handler: Arc<dyn Handler>,
}

impl Acceptor {
    pub(crate) fn new(listener: UnixListener, handler: Arc<dyn Handler>) -> io::Result<Acceptor> {
        listener.set_nonblocking(true)?;
        Ok(Acceptor { listener, handler })
    }

    pub(crate) fn register(self, poller: &Arc<Poller>) -> io::Result<()> {
        let fd = self.listener.as_fd().try_clone_to_owned()?;
        poller.add(&fd, EventFlags::IN, Arc::new(self))?;
        Ok(())
    }
}

impl Source for Acceptor {
    fn ready(&self, poller: &Arc<Poller>, _token: Token) -> Next {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Next::Keep,
                Err(error) => {
                    // Out of descriptors, most likely: the peer waits, and we do not spin meanwhile.
                    logger::error(format_args!("accept: {error}"));
                    std::thread::sleep(ACCEPT_PAUSE);
                    return Next::Keep;
                }
            };
            let connection = Arc::new(Connection {
                stream,
                poller: Arc::clone(poller),
                handler: Arc::clone(&self.handler),
                input: Mutex::default(),
                output: Mutex::default(),
            });
            let registered = poller.add(
                &connection.stream,
                EventFlags::IN,
                Arc::clone(&connection) as _,
            );
            match registered {
                Ok(token) => lock(&connection.output).token = Some(token),
                Err(error) => logger::error(format_args!("connection dropped: {error}")),
            }
        }
    }
}

#[derive(Default)]
struct Output {
    /// Bytes that the socket did not take yet.
    unsent: Vec<u8>,
    token: Option<Token>,
    closed: bool,
}

pub(crate) struct Connection {
    stream: UnixStream,
    poller: Arc<Poller>,
    handler: Arc<dyn Handler>,
    input: Mutex<FrameBuffer>,
    output: Mutex<Output>,
}

impl Connection {
    fn send(&self, bytes: Vec<u8>) {
        let mut output = lock(&self.output);
        if output.closed {
            return;
        }
        if output.unsent.len() + bytes.len() > MAX_UNSENT_BYTES {
            logger::error(format_args!(
                "connection closed: the peer does not read its answers"
            ));
            output.closed = true;
            let _already_gone = self.stream.shutdown(std::net::Shutdown::Both);
            return;
        }
        output.unsent.extend(bytes);
        self.flush(&mut output);
    }

    /// Write what the socket takes; ask to be called again for the rest.
    fn flush(&self, output: &mut Output) {
        let mut sent = 0;
        while sent < output.unsent.len() {
            match send(
                &self.stream,
                &output.unsent[sent..],
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            ) {
                Ok(n) => sent += n,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    output.closed = true;
                    sent = output.unsent.len();
                }
            }
        }
        output.unsent.drain(..sent);
        let wanted = if output.unsent.is_empty() {
            output.unsent = Vec::new();
            EventFlags::IN
        } else {
            EventFlags::IN | EventFlags::OUT
        };
        if let Some(token) = output.token {
            self.poller.rearm(&self.stream, wanted, token);
        }
    }

    /// Read what is there; false when the peer is gone or talks nonsense.
    fn receive(self: &Arc<Self>) -> bool {
        let mut chunk = [0; 4096];
        loop {
            match recv(&self.stream, &mut chunk, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return false,
                Ok((_, n)) => lock(&self.input).extend(&chunk[..n.min(chunk.len())]),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            }
            if let Err(error) = self.dispatch() {
                logger::error(format_args!("connection closed: {error}"));
                return false;
            }
        }
    }

    fn dispatch(self: &Arc<Self>) -> Result<(), FrameError> {
        loop {
            let Some(frame) = lock(&self.input).next_frame()? else {
                return Ok(());
            };
            if frame.kind != KIND_REQUEST {
                continue; // data of streams, which no method here has
            }
            let reply = Reply {
                connection: Some(Arc::clone(self)),
                stream_id: frame.stream_id,
            };
            match Request::parse_from_bytes(&frame.payload) {
                Ok(request) => {
                    self.handler
                        .call(&request.service, &request.method, request.payload, reply)
                }
                Err(error) => reply.fail(&ShimError::Decode(error)),
            }
        }
    }
}

impl Source for Connection {
    fn ready(&self, poller: &Arc<Poller>, token: Token) -> Next {
        let Some(this) = poller.source::<Connection>(token) else {
            return Next::Remove;
        };
        let alive = this.receive();
        let mut output = lock(&self.output);
        if alive && !output.closed {
            self.flush(&mut output);
            return Next::Keep;
        }
        output.closed = true;
        Next::Remove
    }
}

/// The right and the duty to answer one call. Dropped without an answer, it answers "internal".
pub(crate) struct Reply {
    connection: Option<Arc<Connection>>,
    stream_id: u32,
}

impl Reply {
    pub(crate) fn send<M: Message>(self, result: Result<M, ShimError>) {
        match result {
            Ok(message) => self.succeed(&message),
            Err(error) => self.fail(&error),
        }
    }

    pub(crate) fn succeed<M: Message>(mut self, message: &M) {
        let mut response = Response::new();
        match message.write_to_bytes() {
            Ok(payload) => response.payload = payload,
            Err(error) => return self.fail(&ShimError::Decode(error)),
        }
        self.answer(&response);
    }

    pub(crate) fn fail(mut self, error: &ShimError) {
        logger::debug(format_args!("call failed: {error}"));
        self.answer(&failure(error));
    }

    fn answer(&mut self, response: &Response) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let frame = response
            .write_to_bytes()
            .ok()
            .and_then(|bytes| encode(self.stream_id, KIND_RESPONSE, &bytes).ok());
        match frame {
            Some(frame) => connection.send(frame),
            None => logger::error(format_args!("an answer is too long for ttrpc")),
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.connection.is_some() {
            self.answer(&failure(&ShimError::Unanswered));
        }
    }
}

fn failure(error: &ShimError) -> Response {
    let mut status = Status::new();
    status.set_code(error.code());
    debug_assert_ne!(error.code(), Code::OK);
    status.message = error.to_string();
    let mut response = Response::new();
    response.set_status(status);
    response
}

/// The listening socket, which `start` hands to the serving shim as its standard input.
pub(crate) fn listener_from_stdin() -> io::Result<UnixListener> {
    let fd: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(UnixListener::from(fd))
}
