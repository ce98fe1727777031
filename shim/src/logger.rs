//! The shim's own log: the `log` fifo in the bundle, which containerd copies to its log.
//!
//! Must never block: when nobody reads the fifo, lines are dropped.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags, open};

struct Logger {
    sink: File,
    debug: bool,
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Open the `log` fifo of the current directory. Without one (a shim run by hand), lines go nowhere.
pub(crate) fn init(debug: bool) {
    // Opened for reading too, so that a restart of containerd, the reader, does not break the fifo.
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if let Ok(fd) = open("log", flags, Mode::empty()) {
        let _already_set = LOGGER.set(Logger {
            sink: File::from(fd),
            debug,
        });
    }
}

pub(crate) fn error(message: fmt::Arguments<'_>) {
    write("error", message);
}

pub(crate) fn info(message: fmt::Arguments<'_>) {
    write("info", message);
}

pub(crate) fn debug(message: fmt::Arguments<'_>) {
    if LOGGER.get().is_some_and(|logger| logger.debug) {
        write("debug", message);
    }
}

fn write(level: &str, message: fmt::Arguments<'_>) {
    let Some(logger) = LOGGER.get() else { return };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    // One write of less than PIPE_BUF is atomic; a full fifo drops the line whole.
    let line = format!(
        "level={level} time_unix={}.{:03} msg={:?}\n",
        now.as_secs(),
        now.subsec_millis(),
        message.to_string()
    );
    let _dropped_when_full = (&logger.sink).write_all(line.as_bytes());
}
