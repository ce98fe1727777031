//! Threads that a serving thread starts.

use std::io;
use std::thread::{Builder, JoinHandle};

use caisson_sys::affinity;

/// Start a thread that may run on any processor: who starts it may keep to one just then.
pub fn start<T: Send + 'static>(
    name: &str,
    stack_bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let bound = affinity::bound();
    Builder::new()
        .name(name.into())
        .stack_size(stack_bytes)
        .spawn(move || {
            if let Some(processors) = bound {
                affinity::roam_on(processors);
            }
            work()
        })
}
