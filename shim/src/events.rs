//! Events for containerd, in order, sent again until containerd takes them.
//!
//! Key type: [`Publisher`]. Publishing never blocks: a thread of its own does the sending, and keeps
//! what cannot be sent while containerd restarts.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use containerd_shim_protos::events::task::{
    TaskCheckpointed, TaskCreate, TaskDelete, TaskExecAdded, TaskExecStarted, TaskExit, TaskOOM,
    TaskPaused, TaskResumed, TaskStart,
};
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::well_known_types::timestamp::Timestamp;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::shim::event::Envelope;
use containerd_shim_protos::shim::events::ForwardRequest;
use containerd_shim_protos::topics;

use crate::logger;
use crate::sync::lock;
use crate::ttrpc::client::{Client, ClientError};

/// Most events that wait for containerd to come back; then the oldest are dropped.
const MAX_WAITING: usize = 4096;
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// A message that containerd knows as an event.
pub(crate) trait Event: Message {
    const TOPIC: &'static str;
    const TYPE_URL: &'static str;
}

macro_rules! events {
    ($($message:ident $topic:ident;)*) => {$(
        impl Event for $message {
            const TOPIC: &'static str = topics::$topic;
            const TYPE_URL: &'static str = concat!("containerd.events.", stringify!($message));
        }
    )*};
}

events! {
    TaskCreate TASK_CREATE_EVENT_TOPIC;
    TaskStart TASK_START_EVENT_TOPIC;
    TaskOOM TASK_OOM_EVENT_TOPIC;
    TaskExit TASK_EXIT_EVENT_TOPIC;
    TaskDelete TASK_DELETE_EVENT_TOPIC;
    TaskExecAdded TASK_EXEC_ADDED_EVENT_TOPIC;
    TaskExecStarted TASK_EXEC_STARTED_EVENT_TOPIC;
    TaskPaused TASK_PAUSED_EVENT_TOPIC;
    TaskResumed TASK_RESUMED_EVENT_TOPIC;
    TaskCheckpointed TASK_CHECKPOINTED_EVENT_TOPIC;
}

pub(crate) fn timestamp(time: SystemTime) -> MessageField<Timestamp> {
    MessageField::some(time.into())
}

pub(crate) struct Publisher {
    namespace: String,
    waiting: Mutex<VecDeque<Envelope>>,
    changed: Condvar,
}

impl Publisher {
    /// Start the sending thread; `address` is containerd's ttrpc socket.
    pub(crate) fn start(namespace: &str, address: PathBuf) -> io::Result<Arc<Publisher>> {
        let publisher = Arc::new(Publisher {
            namespace: namespace.to_owned(),
            waiting: Mutex::default(),
            changed: Condvar::new(),
        });
        let sending = Arc::clone(&publisher);
        std::thread::Builder::new()
            .name("publisher".into())
            .spawn(move || sending.run(&address))?;
        Ok(publisher)
    }

    pub(crate) fn publish<E: Event>(&self, event: &E) {
        let value = match event.write_to_bytes() {
            Ok(value) => value,
            Err(error) => return logger::error(format_args!("event {}: {error}", E::TOPIC)),
        };
        let any = Any {
            type_url: E::TYPE_URL.into(),
            value,
            ..Any::default()
        };
        let envelope = Envelope {
            timestamp: timestamp(SystemTime::now()),
            namespace: self.namespace.clone(),
            topic: E::TOPIC.into(),
            event: MessageField::some(any),
            ..Envelope::default()
        };
        let mut waiting = lock(&self.waiting);
        if waiting.len() == MAX_WAITING {
            waiting.pop_front();
        }
        waiting.push_back(envelope);
        self.changed.notify_all();
    }

    /// Wait until all events are sent, but not longer than `limit`.
    pub(crate) fn flush(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut waiting = lock(&self.waiting);
        while !waiting.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return logger::error(format_args!("{} events were not sent", waiting.len()));
            }
            waiting = self
                .changed
                .wait_timeout(waiting, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn run(&self, address: &Path) {
        let mut client = None;
        let mut retry = FIRST_RETRY;
        loop {
            let envelope = self.first();
            match send(&mut client, address, &envelope) {
                Ok(()) => {}
                Err(ClientError::Socket(error)) => {
                    logger::debug(format_args!("events wait for containerd: {error}"));
                    client = None;
                    std::thread::sleep(retry);
                    retry = (retry * 2).min(LAST_RETRY);
                    continue;
                }
                Err(error) => {
                    // Sending it again would not help, and the events behind it must not suffer.
                    logger::error(format_args!("event {} dropped: {error}", envelope.topic));
                    client = None;
                }
            }
            retry = FIRST_RETRY;
            let mut waiting = lock(&self.waiting);
            if waiting.front() == Some(&envelope) {
                waiting.pop_front();
            }
            self.changed.notify_all();
        }
    }

    /// Wait for an event and leave it where it is until it is sent.
    fn first(&self) -> Envelope {
        let mut waiting = lock(&self.waiting);
        loop {
            match waiting.front() {
                Some(envelope) => return envelope.clone(),
                None => {
                    waiting = self
                        .changed
                        .wait(waiting)
                        .unwrap_or_else(PoisonError::into_inner)
                }
            }
        }
    }
}

fn send(
    client: &mut Option<Client>,
    address: &Path,
    envelope: &Envelope,
) -> Result<(), ClientError> {
    let connected = match client {
        Some(connected) => connected,
        None => client.insert(Client::connect(address)?),
    };
    let request = ForwardRequest {
        envelope: MessageField::some(envelope.clone()),
        ..ForwardRequest::default()
    };
    connected.call(
        "containerd.services.events.ttrpc.v1.Events",
        "Forward",
        &request,
    )
}
