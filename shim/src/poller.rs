//! The main loop: one epoll instance that serves connections, stdio and OOM notices.
//!
//! Key types: [`Poller`] and [`Source`]. A source must never block in [`Source::ready`].

use std::any::Any;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use crate::sync::lock;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Token(u64);

/// The token that only wakes the loop.
const WAKE: u64 = 0;

pub(crate) enum Next {
    Keep,
    /// Forget the source; its descriptors leave the epoll instance when they are closed.
    Remove,
}

pub(crate) trait Source: Any + Send + Sync {
    /// One of the source's descriptors is ready. Called on the main thread only.
    fn ready(&self, poller: &Arc<Poller>, token: Token) -> Next;
}

pub(crate) struct Poller {
    epoll: OwnedFd,
    wake: OwnedFd,
    stop: AtomicBool,
    next_token: AtomicU64,
    sources: Mutex<HashMap<Token, Arc<dyn Source>>>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Poller> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, EventData::new_u64(WAKE), EventFlags::IN)?;
        Ok(Poller {
            epoll,
            wake,
            stop: AtomicBool::new(false),
            next_token: AtomicU64::new(WAKE + 1),
            sources: Mutex::default(),
        })
    }

    /// Call `source` when `fd` is ready for one of `flags`.
    pub(crate) fn add(
        &self,
        fd: &impl AsFd,
        flags: EventFlags,
        source: Arc<dyn Source>,
    ) -> io::Result<Token> {
        let token = self.insert(source);
        if let Err(error) = self.watch(fd, flags, token) {
            self.remove(token);
            return Err(error);
        }
        Ok(token)
    }

    /// Know `source` without any descriptor yet.
    pub(crate) fn insert(&self, source: Arc<dyn Source>) -> Token {
        let token = Token(self.next_token.fetch_add(1, Ordering::Relaxed));
        lock(&self.sources).insert(token, source);
        token
    }

    /// Watch one more descriptor for the source behind `token`.
    pub(crate) fn watch(&self, fd: &impl AsFd, flags: EventFlags, token: Token) -> io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            fd,
            EventData::new_u64(token.0),
            flags,
        )?)
    }

    /// Watch `fd` for something else from now on. A descriptor that cannot be polled (a file) or is
    /// gone needs no notice, so there is no error.
    pub(crate) fn rearm(&self, fd: &impl AsFd, flags: EventFlags, token: Token) {
        let _not_watched = epoll::modify(&self.epoll, fd, EventData::new_u64(token.0), flags);
    }

    pub(crate) fn unwatch(&self, fd: &impl AsFd) {
        let _not_watched = epoll::delete(&self.epoll, fd);
    }

    pub(crate) fn remove(&self, token: Token) {
        let removed = lock(&self.sources).remove(&token);
        drop(removed); // after the lock: dropping a source may close or lock other things
    }

    /// The source behind `token`, if it is a `T`.
    pub(crate) fn source<T: Source>(&self, token: Token) -> Option<Arc<T>> {
        let source: Arc<dyn Any + Send + Sync> = Arc::clone(lock(&self.sources).get(&token)?) as _;
        source.downcast().ok()
    }

    /// Make [`Poller::run`] return.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        let _full_is_awake_too = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Serve all sources until [`Poller::stop`].
    pub(crate) fn run(self: &Arc<Self>) -> io::Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(16);
        while !self.stop.load(Ordering::SeqCst) {
            events.clear();
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                None,
            ) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let token = Token(event.data.u64());
                let Some(source) = lock(&self.sources).get(&token).map(Arc::clone) else {
                    continue;
                };
                if let Next::Remove = source.ready(self, token) {
                    self.remove(token);
                }
            }
        }
        Ok(())
    }
}
