//! `--transport`, `--strace` and the annotation `dev.caisson.strace`: how a sandbox is looked into.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use caisson_wire::{TraceScope, TransportKind};

use crate::RuntimeError;
use crate::spec::{Spec, SpecError};
use crate::state::Store;
use crate::transport;

/// Which calls to log: `served`, `all` or `none`. It cannot name a file: an annotation may come from whoever may
/// start pods, and they are not to write to files of the host.
const ANNOTATION: &str = "dev.caisson.strace";

/// Options of the command line.
#[derive(Clone, Debug, Default)]
pub struct Debugging {
    pub transport: Option<TransportKind>,
    pub strace: Option<TraceScope>,
    pub strace_log: Option<PathBuf>,
}

impl Debugging {
    /// The transport of a new container: the one asked for, or the best that the host has.
    pub fn transport(&self) -> Result<TransportKind, RuntimeError> {
        match self.transport {
            Some(kind) if transport::available(kind) => Ok(kind),
            Some(kind) => Err(RuntimeError::option(
                "--transport",
                kind.name(),
                "this host does not support it, see `caisson check`",
            )),
            None => Ok(transport::best()),
        }
    }

    /// What to log, by the option or else by the annotation.
    pub fn strace(&self, spec: &Spec) -> Result<Option<TraceScope>, SpecError> {
        let Some(value) = spec.annotations.get(ANNOTATION) else {
            return Ok(self.strace);
        };
        let wanted = match value.as_str() {
            "served" | "true" => Some(TraceScope::Served),
            "all" => Some(TraceScope::All),
            "none" | "false" => None,
            other => {
                let field = format!("annotations[{ANNOTATION}]");
                let reason = "must be served, all or none";
                return Err(SpecError::invalid(field, other, reason));
            }
        };
        Ok(self.strace.or(wanted))
    }

    /// The log of calls of container `id`, emptied.
    pub fn open_log(&self, store: &Store, id: &str) -> Result<File, RuntimeError> {
        let path = self
            .strace_log
            .clone()
            .unwrap_or_else(|| store.root().join(format!("{id}.strace.log")));
        File::options()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(RuntimeError::file(&path, "--strace-log"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotated(value: &str) -> Spec {
        let mut spec = crate::spec::default::spec();
        spec.annotations.insert(ANNOTATION.into(), value.into());
        spec
    }

    #[test]
    fn the_annotation_chooses_what_to_log_and_the_option_wins() {
        let none = Debugging::default();
        assert_eq!(
            none.strace(&annotated("all")).expect("all"),
            Some(TraceScope::All)
        );
        assert_eq!(none.strace(&annotated("none")).expect("none"), None);
        let option = Debugging {
            strace: Some(TraceScope::Served),
            ..Debugging::default()
        };
        assert_eq!(
            option.strace(&annotated("all")).expect("served"),
            Some(TraceScope::Served)
        );
        let error = none.strace(&annotated("/etc/passwd")).expect_err("a path");
        let text = error.to_string();
        assert!(
            text.contains(ANNOTATION) && text.contains("/etc/passwd"),
            "{text}"
        );
    }
}
