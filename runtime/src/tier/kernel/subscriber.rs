//! Where the app kernel's own messages go under `--debug`: the runtime's log, or standard error.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::log::{Format, Level, Log};

/// Writes each event as one line; spans are not used.
struct Lines {
    file: File,
    log: Log,
}

/// From now on. To be called once.
pub(super) fn install(file: File, format: Format) {
    let log = Log {
        file: None,
        format,
        debug: true,
    };
    // It fails only when there is one already.
    tracing::subscriber::set_global_default(Lines { file, log }).ok();
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut words = Words::default();
        event.record(&mut words);
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warning,
            _ => Level::Debug,
        };
        let line = self
            .log
            .line(level, &format!("{}{}", words.message, words.fields));
        // A full disk is no reason to stop a guest.
        (&self.file).write_all(line.as_bytes()).ok();
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, ", {}: {value:?}", field.name())
        };
    }
}
