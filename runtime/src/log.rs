//! `--log`, `--log-format` and `--debug`: runc's log lines, which containerd and the shim read.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::RuntimeError;

#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    clap::ValueEnum,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Error,
    Warning,
    Debug,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Debug => "debug",
        }
    }
}

/// Where log lines go.
#[derive(Clone, Debug, Default)]
pub struct Log {
    pub file: Option<PathBuf>,
    pub format: Format,
    pub debug: bool,
}

impl Log {
    /// Write one line. With `--log` it goes to that file, and errors to stderr in plain words as well.
    pub fn write(&self, level: Level, message: &str) {
        if level == Level::Debug && !self.debug {
            return;
        }
        let line = self.line(level, message);
        match &self.file {
            None => complain(&line),
            Some(path) => {
                let written = open(path).and_then(|mut file| file.write_all(line.as_bytes()));
                if let Err(error) = written {
                    complain(&format!("caisson: --log: {}: {error}\n", path.display()));
                }
                if level == Level::Error {
                    complain(&format!("{message}\n"));
                }
            }
        }
    }

    /// For the sandbox's own messages, under `--debug`: the log file, or a copy of standard error.
    pub fn for_sandbox(&self) -> Result<Option<(File, Format)>, RuntimeError> {
        if !self.debug {
            return Ok(None);
        }
        let file = match &self.file {
            Some(path) => open(path).map_err(RuntimeError::file(path, "--log"))?,
            None => File::from(
                rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)
                    .map_err(RuntimeError::step("dup standard error"))?,
            ),
        };
        Ok(Some((file, self.format)))
    }

    pub(crate) fn line(&self, level: Level, message: &str) -> String {
        let time = crate::time::now();
        let level = level.word();
        match self.format {
            Format::Json => format!(
                "{}\n",
                json!({"level": level, "msg": message, "time": time})
            ),
            // A JSON string is a valid logfmt one.
            Format::Text => format!(
                "time={} level={level} msg={}\n",
                json!(time),
                json!(message)
            ),
        }
    }
}

/// Write to standard error. Where that is full or closed nobody is left to tell, and `eprint` would panic.
fn complain(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).ok();
}

fn open(path: &Path) -> std::io::Result<File> {
    File::options()
        .create(true)
        .append(true)
        .mode(0o644)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_lines_have_the_keys_containerd_reads() {
        let log = Log {
            format: Format::Json,
            ..Log::default()
        };
        let line: serde_json::Value =
            serde_json::from_str(&log.line(Level::Error, "a\nb \"c\"")).expect("json");
        assert_eq!(line["level"], "error");
        assert_eq!(line["msg"], "a\nb \"c\"");
        assert!(
            line["time"]
                .as_str()
                .is_some_and(|time| time.ends_with('Z'))
        );
    }

    #[test]
    fn a_message_never_breaks_a_text_line() {
        assert_eq!(
            Log::default()
                .line(Level::Error, "a\nb")
                .matches('\n')
                .count(),
            1
        );
    }
}
