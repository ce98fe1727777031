//! The control socket: one JSON object a line, one answer a line.
//!
//! `{"op": "pause"}`, `"resume"`, `"stop"` and `"stats"`; `{"op": "balloon", "mib": N}` asks the guest for memory,
//! `{"op": "memory", "mib": N}` asks it to have that much in all. The answer has `"ok": true`, or `"error"`; that of `stats`
//! also `paused`, `entered_us` (when the guest's first instruction was about to run, in microseconds since the
//! monitor's start), `marks` (number and microseconds since the monitor's start) and `devices` (virtio kind,
//! how often its driver broke it, and how first), `balloon` (MiB wanted and given, bytes given back to
//! the host in all) and `memory` (MiB wanted, there, and possible).

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use serde::Deserialize;
use serde_json::{Value, json};
use virtio_bindings::virtio_ids::{VIRTIO_ID_BALLOON, VIRTIO_ID_MEM};

use crate::VmmError;
use crate::bus::lock;
use crate::shared::{End, Shared};
use crate::sizes::Sizes;
use crate::threads::VcpuThreads;
use crate::virtio::mmio::Transport;

/// No request is longer.
const MAX_LINE: usize = 4096;

/// The listening socket's event; the others are descriptors.
const LISTENER: u32 = 0;

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    Pause,
    Resume,
    Stop,
    Stats,
    Balloon { mib: u32 },
    Memory { mib: u32 },
}

struct Client {
    stream: UnixStream,
    line: Vec<u8>,
}

pub(crate) struct Control {
    path: PathBuf,
    listener: UnixListener,
    clients: HashMap<RawFd, Client>,
    shared: Arc<Shared>,
    threads: Arc<Mutex<VcpuThreads>>,
    transports: Vec<Arc<Mutex<Transport>>>,
    sizes: Sizes,
}

impl Control {
    pub(crate) fn new(
        path: &Path,
        shared: Arc<Shared>,
        threads: Arc<Mutex<VcpuThreads>>,
        transports: Vec<Arc<Mutex<Transport>>>,
        sizes: Sizes,
    ) -> Result<Control, VmmError> {
        let listener = UnixListener::bind(path).map_err(VmmError::io("make the socket", path))?;
        let control = Control {
            path: path.to_owned(),
            listener,
            clients: HashMap::new(),
            shared,
            threads,
            transports,
            sizes,
        };
        control
            .listener
            .set_nonblocking(true)
            .map_err(VmmError::step("control socket"))?;
        Ok(control)
    }

    fn accept(&mut self, ops: &mut EventOps<'_>) {
        while let Ok((stream, _)) = self.listener.accept() {
            let descriptor = stream.as_raw_fd();
            let watched = stream.set_nonblocking(true).is_ok()
                && ops
                    .add(Events::with_data(&stream, descriptor as u32, EventSet::IN))
                    .is_ok();
            if watched {
                let line = Vec::new();
                self.clients.insert(descriptor, Client { stream, line });
            }
        }
    }

    /// Reads what a client has written and answers the lines that are complete.
    fn serve(&self, client: &mut Client) -> io::Result<()> {
        let mut buffer = [0; 512];
        loop {
            match client.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => client.line.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            while let Some(end) = client.line.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = client.line.drain(..=end).collect();
                let answer = format!("{}\n", self.answer(&line));
                client.stream.write_all(answer.as_bytes())?;
            }
            if client.line.len() > MAX_LINE {
                return Err(ErrorKind::InvalidData.into());
            }
        }
        Ok(())
    }

    fn answer(&self, line: &[u8]) -> Value {
        match serde_json::from_slice(line) {
            Ok(Request::Pause) => lock(&self.threads).pause(&self.shared),
            Ok(Request::Resume) => lock(&self.threads).resume(&self.shared),
            Ok(Request::Stop) => self.shared.end(Ok(End::Stopped)),
            Ok(Request::Balloon { mib }) => {
                self.sizes.inflate(mib);
                self.tell(VIRTIO_ID_BALLOON);
            }
            Ok(Request::Memory { mib }) => match self.sizes.grow(mib) {
                Ok(()) => self.tell(VIRTIO_ID_MEM),
                Err(error) => return json!({"error": error}),
            },
            Ok(Request::Stats) => return self.stats(),
            Err(error) => return json!({"error": error.to_string()}),
        }
        json!({"ok": true})
    }

    /// Has a driver read its device's configuration.
    fn tell(&self, kind: u32) {
        for transport in &self.transports {
            let transport = lock(transport);
            if transport.kind() == kind {
                transport.interrupt().configuration();
            }
        }
    }

    fn stats(&self) -> Value {
        let marks: Vec<Value> = self
            .shared
            .marks()
            .into_iter()
            .map(|(number, time)| json!({"number": number, "us": time.as_micros() as u64}))
            .collect();
        let devices: Vec<Value> = self
            .transports
            .iter()
            .map(|transport| {
                let transport = lock(transport);
                let (errors, first) = transport.errors();
                json!({"kind": transport.kind(), "errors": errors, "first_error": first})
            })
            .collect();
        json!({
            "ok": true,
            "paused": self.shared.is_paused(),
            "entered_us": self.shared.entered().map(|time| time.as_micros() as u64),
            "marks": marks,
            "devices": devices,
            "balloon": self.sizes.balloon_stats(),
            "memory": self.sizes.memory_stats(),
        })
    }
}

impl MutEventSubscriber for Control {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        let events = Events::with_data(&self.listener, LISTENER, EventSet::IN);
        if let Err(error) = ops.add(events) {
            eprintln!("caisson-vmm: control socket: {error}");
        }
    }

    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        if events.data() == LISTENER {
            self.accept(ops);
            return;
        }
        let descriptor = events.fd();
        let Some(mut client) = self.clients.remove(&descriptor) else {
            return;
        };
        if self.serve(&mut client).is_ok() {
            self.clients.insert(descriptor, client);
        } else {
            ops.remove(Events::empty(&client.stream)).ok();
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Whoever made the directory may have removed it already.
        std::fs::remove_file(&self.path).ok();
    }
}
