//! What `kubectl exec` and `kubectl port-forward` speak with containerd's streaming server: RFC 6455 with
//! Kubernetes' channels, whose number is the first byte of every message.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::SOON;

const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;

pub struct WebSocket {
    stream: BufReader<TcpStream>,
}

impl WebSocket {
    /// Connect to `url` in the network namespace of process `pid`.
    ///
    /// # Panics
    /// If the server does not agree.
    #[must_use]
    pub fn connect(url: &str, pid: u32) -> WebSocket {
        let rest = url.strip_prefix("http://").expect("an http:// address");
        let (host, path) = rest.split_once('/').expect("a path");
        let stream = connect_in(host.to_owned(), pid);
        stream
            .set_read_timeout(Some(SOON))
            .expect("a limit of time");
        let mut stream = BufReader::new(stream);
        write!(
            stream.get_mut(),
            "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n"
        )
        .expect("ask for a WebSocket");
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let n = stream.read_line(&mut head).expect("the answer");
            assert_ne!(n, 0, "the answer ends: {head}");
        }
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        WebSocket { stream }
    }

    /// Send bytes on a channel.
    ///
    /// # Panics
    /// If the connection is gone.
    pub fn send(&mut self, channel: u8, bytes: &[u8]) {
        let mut payload = vec![channel];
        payload.extend_from_slice(bytes);
        self.send_frame(BINARY, &payload);
    }

    fn send_frame(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | opcode];
        // A client must mask; a mask of zeros changes nothing.
        match u16::try_from(payload.len()).expect("a short message") {
            length if length < 126 => frame.push(0x80 | length as u8),
            length => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&length.to_be_bytes());
            }
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        self.stream.get_mut().write_all(&frame).expect("send");
    }

    /// The next message: its channel and its bytes; none at the end.
    pub fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            let mut head = [0; 2];
            self.stream.read_exact(&mut head).ok()?;
            let length = match head[1] & 0x7f {
                126 => u64::from(u16::from_be_bytes(self.array()?)),
                127 => u64::from_be_bytes(self.array()?),
                short => u64::from(short),
            };
            let mut payload = vec![0; usize::try_from(length).ok()?];
            self.stream.read_exact(&mut payload).ok()?;
            match head[0] & 0xf {
                CLOSE => return None,
                PING => self.send_frame(PING + 1, &payload),
                _ if payload.is_empty() => {}
                _ => return Some((payload[0], payload[1..].to_vec())),
            }
        }
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Everything that still comes on `channel`.
    pub fn collect(&mut self, channel: u8) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some((from, bytes)) = self.receive() {
            if from == channel {
                all.extend(bytes);
            }
        }
        all
    }
}

/// A socket belongs to the namespace that it was made in, so only the making needs a thread there.
fn connect_in(host: String, pid: u32) -> TcpStream {
    let connecting = std::thread::spawn(move || {
        let namespace = File::open(format!("/proc/{pid}/ns/net")).expect("the namespace");
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("enter the network namespace");
        let address = host.parse().expect("address and port");
        TcpStream::connect_timeout(&address, Duration::from_secs(10)).expect("connect")
    });
    connecting.join().expect("the connection")
}
