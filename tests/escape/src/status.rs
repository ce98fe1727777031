//! What /proc says of a process.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use crate::sandbox::namespace;

/// `/proc/PID/status` and the links beside it.
#[derive(Debug)]
pub struct Status {
    pid: i32,
    fields: HashMap<String, String>,
}

impl Status {
    /// # Panics
    /// If the process is gone.
    #[must_use]
    pub fn of(pid: i32) -> Status {
        let path = format!("/proc/{pid}/status");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let split = |line: &str| {
            line.split_once(':')
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        };
        Status {
            pid,
            fields: text.lines().filter_map(split).collect(),
        }
    }

    /// A field, or the empty string.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// Identity of the process's namespace of a kind.
    #[must_use]
    pub fn namespace(&self, kind: &str) -> Option<PathBuf> {
        namespace(self.pid, kind)
    }

    /// The names in the process's root directory, as the host kernel sees that directory.
    ///
    /// # Panics
    /// If it cannot be listed.
    #[must_use]
    pub fn root_entries(&self) -> Vec<String> {
        let path = format!("/proc/{}/root/", self.pid);
        let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect()
    }
}
