//! The memory of a machine that runs: how much it is to have for its containers' limits, and telling the monitor.
//!
//! The monitor may be a guest's by now: what it answers is short, a number, and waited for with a limit.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::files::CONTROL;
use super::{pod, size};
use crate::RuntimeError;
use crate::cgroup::stats;
use crate::spec::SpecError;
use crate::spec::types::Resources;
use crate::state::{Entry, State, Store};

/// How long the monitor may take for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// How long the guest may take to have its memory.
const GROWTH_LIMIT: Duration = Duration::from_secs(60);
/// How long the host may take to have back what a lower limit leaves.
const RETURN_LIMIT: Duration = Duration::from_secs(30);
/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(20);

/// MiB that a machine is to have, has, and could have at most.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Memory {
    target_mib: u64,
    actual_mib: u64,
    limit_mib: u64,
}

#[derive(Deserialize)]
struct Answer {
    error: Option<String>,
    memory: Option<Memory>,
}

/// A machine whose memory is to follow a change of limits.
pub(super) struct Resize {
    owner: Entry,
    /// Whether the limit is that of the container for which the machine was made.
    is_own: bool,
    wanted_mib: u64,
    /// The limit that is the reason.
    limit: i64,
}

impl Resize {
    /// None when no limit of memory changes, or none is left.
    pub(super) fn of(entry: &Entry, limits: &Resources) -> Result<Option<Resize>, RuntimeError> {
        let Some(limit) = limits.memory.limit.filter(|bytes| *bytes > 0) else {
            return Ok(None);
        };
        let owner = pod::owner_of(entry).unwrap_or_else(|| entry.clone());
        let mut all = limits.clone();
        let others = others(&owner, entry.id())?;
        let known = |state: &State| state.spec.linux.resources.memory.limit;
        let sum = others.iter().filter_map(known).filter(|bytes| *bytes > 0);
        all.memory.limit = Some(sum.fold(limit, i64::saturating_add));
        let mut wanted_mib = u64::from(size::memory_mib(&all));
        let unlimited = |state: &State| known(state).is_none_or(|bytes| bytes <= 0);
        if others.iter().any(unlimited) {
            wanted_mib = wanted_mib.max(memory(&owner)?.target_mib);
        }
        Ok(Some(Resize {
            is_own: owner.id() == entry.id(),
            owner,
            wanted_mib,
            limit,
        }))
    }

    /// Have the guest get what it lacks, and wait for it: before containers are told that they may use it.
    pub(super) fn grow(&self) -> Result<(), RuntimeError> {
        let now = memory(&self.owner)?;
        if self.wanted_mib <= now.actual_mib {
            return Ok(());
        }
        if self.wanted_mib > now.limit_mib {
            let reason = format!("the virtual machine can have {} MiB", now.limit_mib);
            return Err(self.refused(reason));
        }
        self.ask()?;
        let deadline = Instant::now() + GROWTH_LIMIT;
        loop {
            let now = memory(&self.owner)?;
            if now.actual_mib >= self.wanted_mib {
                return Ok(());
            }
            if Instant::now() > deadline {
                let reason = format!(
                    "the guest's kernel has {} of {} MiB after {} s (needs CONFIG_VIRTIO_MEM)",
                    now.actual_mib,
                    self.wanted_mib,
                    GROWTH_LIMIT.as_secs()
                );
                return Err(self.refused(reason));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Have the guest give back what it does not need any more, as far as it can, and wait until the host has what its new
    /// limit for the machine leaves: that would be enforced by killing the monitor. The guest reports what is free after
    /// seconds only.
    pub(super) fn shrink(&self, limits: &Resources) -> Result<(), RuntimeError> {
        if self.wanted_mib < memory(&self.owner)?.target_mib {
            self.ask()?;
        }
        let Some(limit) = size::on_host(limits).memory.limit.filter(|_| self.is_own) else {
            return Ok(());
        };
        let cgroup = self.owner.load()?.cgroup;
        let deadline = Instant::now() + RETURN_LIMIT;
        loop {
            let used = stats::read(&cgroup)["memory"]["usage"]["usage"].as_i64();
            match used {
                Some(used) if used > limit => {}
                _ => return Ok(()),
            }
            if Instant::now() > deadline {
                let reason = format!("the virtual machine still uses {} bytes", used.unwrap_or(0));
                return Err(self.refused(reason));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn ask(&self) -> Result<(), RuntimeError> {
        let request = format!(r#"{{"op": "memory", "mib": {}}}"#, self.wanted_mib);
        tell(self.owner.folder(), &request).map(drop)
    }

    fn refused(&self, reason: String) -> RuntimeError {
        SpecError::unsupported("linux.resources.memory.limit", self.limit, reason).into()
    }
}

/// The other containers of the machine.
fn others(owner: &Entry, id: &str) -> Result<Vec<State>, RuntimeError> {
    let Some(root) = owner.folder().parent() else {
        return Ok(Vec::new());
    };
    let store = Store::new(root.to_owned());
    let mut states = store.list()?;
    states.retain(|state| {
        let is_owner = state.id == owner.id();
        let owner_of = || store.entry(&state.id).ok().as_ref().and_then(pod::owner_of);
        state.id != id && (is_owner || owner_of().is_some_and(|other| other.id() == owner.id()))
    });
    Ok(states)
}

fn memory(owner: &Entry) -> Result<Memory, RuntimeError> {
    let answer = tell(owner.folder(), r#"{"op": "stats"}"#)?;
    answer
        .memory
        .ok_or_else(|| failed("says nothing of memory"))
}

/// One request to the monitor, whose socket is in that folder.
fn tell(folder: &Path, request: &str) -> Result<Answer, RuntimeError> {
    let folder = File::open(folder).map_err(RuntimeError::file(folder, "open"))?;
    let line = exchange(&folder, request).map_err(|error| failed(&error.to_string()))?;
    let answer: Answer =
        serde_json::from_slice(&line).map_err(|error| failed(&error.to_string()))?;
    match answer.error {
        Some(error) => Err(failed(&error)),
        None => Ok(answer),
    }
}

fn exchange(folder: &File, request: &str) -> io::Result<Vec<u8>> {
    const LONGEST: u64 = 1 << 16;
    // Socket addresses are limited to 108 bytes, state folders are not.
    let path = format!("/proc/self/fd/{}/{CONTROL}", folder.as_raw_fd());
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut line = Vec::new();
    BufReader::new(stream.take(LONGEST)).read_until(b'\n', &mut line)?;
    Ok(line)
}

fn failed(problem: &str) -> RuntimeError {
    const LIMIT: usize = 300;
    let problem: String = problem.chars().take(LIMIT).collect();
    RuntimeError::Sandbox {
        message: format!("caisson-vmm: {}", problem.escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// What is made of this answer.
    fn told(name: &str, answer: Vec<u8>) -> Result<Answer, String> {
        let folder = std::env::temp_dir().join(format!("caisson-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let listener = UnixListener::bind(folder.join(CONTROL)).expect("a socket");
        let monitor = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a caller");
            let mut line = String::new();
            BufReader::new(&stream)
                .read_line(&mut line)
                .expect("a line");
            // Whoever has read enough hangs up.
            stream.write_all(&answer).ok();
            line
        });
        let told = tell(&folder, r#"{"op": "stats"}"#);
        std::fs::remove_dir_all(&folder).expect("removed");
        assert_eq!(monitor.join().expect("no panic"), "{\"op\": \"stats\"}\n");
        told.map_err(|error| error.to_string())
    }

    #[test]
    fn a_monitor_that_says_anything_is_not_believed() {
        let answer =
            br#"{"memory": {"target_mib": 1, "actual_mib": 2, "limit_mib": 3, "more": 4}}"#;
        let memory = told("sound", answer.to_vec()).expect("an answer").memory;
        assert_eq!(memory.map(|memory| memory.limit_mib), Some(3));
        let error = told("refusal", b"{\"error\": \"no\\u001b\"}\n".to_vec());
        assert!(error.is_err_and(|words| words.contains("no\\u{1b}")));
        for (name, answer) in [
            ("nothing", Vec::new()),
            ("negative", br#"{"memory": {"target_mib": -1}}"#.to_vec()),
            ("long", vec![b'x'; 1 << 20]),
        ] {
            let error = told(name, answer).err().expect(name);
            assert!(
                error.contains("caisson-vmm") && error.len() < 500,
                "{error}"
            );
        }
    }
}
