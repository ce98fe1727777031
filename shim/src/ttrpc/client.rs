//! The calling side, blocking: for events to containerd.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use containerd_shim_protos::protobuf::{self, Message};
use containerd_shim_protos::ttrpc::{Code, Request, Response};
use thiserror::Error;

use super::frame::{FrameBuffer, FrameError, KIND_REQUEST, KIND_RESPONSE, encode};

/// Longest wait for containerd to take a request or to answer it.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Error)]
pub(crate) enum ClientError {
    /// the connection is broken: another one may do better
    #[error("socket: {0}")]
    Socket(#[from] io::Error),
    #[error("frame: {0}")]
    Frame(#[from] FrameError),
    #[error("message: {0}")]
    Message(#[from] protobuf::Error),
    /// the server understood and refused: again would not help
    #[error("refused with {code:?}: {message}")]
    Refused { code: Code, message: String },
}

pub(crate) struct Client {
    stream: UnixStream,
    next_stream_id: u32,
    input: FrameBuffer,
}

impl Client {
    pub(crate) fn connect(path: &Path) -> io::Result<Client> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Client {
            stream,
            next_stream_id: 1,
            input: FrameBuffer::default(),
        })
    }

    /// Call a method and drop its answer, which for events is empty.
    pub(crate) fn call(
        &mut self,
        service: &str,
        method: &str,
        message: &impl Message,
    ) -> Result<(), ClientError> {
        let mut request = Request::new();
        request.service = service.to_owned();
        request.method = method.to_owned();
        request.payload = message.write_to_bytes()?;
        let stream_id = self.next_stream_id;
        self.next_stream_id = self.next_stream_id.wrapping_add(2); // clients count in odd numbers
        self.stream.write_all(&encode(
            stream_id,
            KIND_REQUEST,
            &request.write_to_bytes()?,
        )?)?;
        loop {
            while let Some(frame) = self.input.next_frame()? {
                if frame.stream_id == stream_id && frame.kind == KIND_RESPONSE {
                    return check(&Response::parse_from_bytes(&frame.payload)?);
                }
            }
            let mut chunk = [0; 1024];
            let n = self.stream.read(&mut chunk)?;
            if n == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            self.input.extend(&chunk[..n]);
        }
    }
}

fn check(response: &Response) -> Result<(), ClientError> {
    match response.status.as_ref() {
        Some(status) if status.code() != Code::OK => Err(ClientError::Refused {
            code: status.code(),
            message: status.message.clone(),
        }),
        _ => Ok(()),
    }
}
