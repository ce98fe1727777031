//! What the guest says of a container's control group, and what it is told of it.
//!
//! The files of that group are copied to a folder of the state, where they read as those of a container without a
//! virtual machine do: for `events`, and for whoever watches `memory.events` there for kills.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use caisson_wire::agent::{Question, Report, USAGE_FILES};
use rustix::fs::FlockOperation;

use super::files::{CONFIG, USAGE};
use super::resize::Resize;
use super::{pod, session, size};
use crate::RuntimeError;
use crate::cgroup::procs::Freezer;
use crate::cgroup::stats;
use crate::spec::SpecError;
use crate::spec::types::Resources;
use crate::state::Entry;

/// The counter of kills in the folder.
const KILLS: &str = "memory.events";

/// A folder without figures yet.
pub(super) fn prepare(container: &Path) -> Result<(), RuntimeError> {
    let folder = container.join(USAGE);
    std::fs::create_dir(&folder).map_err(RuntimeError::file(&folder, "create"))?;
    out_of_memory(container, 0)
}

/// Where it is.
pub(super) fn folder(entry: &Entry) -> PathBuf {
    entry.folder().join(USAGE)
}

/// Bring it up to date.
pub(super) fn refresh(entry: &Entry) -> Result<(), RuntimeError> {
    match session::ask(entry.folder(), entry.id(), Question::Usage)? {
        Report::Usage { files } => write_all(&folder(entry), &files),
        other => Err(session::nonsense(&other)),
    }
}

/// The agent has counted this many kills.
pub(super) fn out_of_memory(container: &Path, kills: u64) -> Result<(), RuntimeError> {
    count(&container.join(USAGE), &format!("oom_kill {kills}\n"))
}

/// How many there were.
pub(super) fn kills(entry: &Entry) -> u64 {
    let text = std::fs::read_to_string(folder(entry).join(KILLS));
    stats::oom_kills_in(&text.unwrap_or_default())
}

/// Write the counter, unless it counts fewer than it did: what the agent tells by itself can come before the answer to
/// a question that was put earlier.
fn count(folder: &Path, text: &str) -> Result<(), RuntimeError> {
    let path = folder.join(KILLS);
    let fail = || RuntimeError::file::<std::io::Error>(&path, "lock");
    let mut options = std::fs::File::options();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&path).map_err(fail())?;
    let lock = rustix::fs::flock(&file, FlockOperation::LockExclusive);
    lock.map_err(std::io::Error::from).map_err(fail())?;
    let mut before = String::new();
    file.read_to_string(&mut before).map_err(fail())?;
    if stats::oom_kills_in(text) < stats::oom_kills_in(&before) {
        return Ok(());
    }
    write(&path, text)
}

/// Only files that are known: their names are a guest's word.
fn write_all(folder: &Path, files: &BTreeMap<String, String>) -> Result<(), RuntimeError> {
    for name in USAGE_FILES {
        match files.get(name) {
            Some(text) if name == KILLS => count(folder, text)?,
            Some(text) => write(&folder.join(name), text)?,
            None => {}
        }
    }
    Ok(())
}

/// In place, and never without content: somebody may be watching the file.
fn write(path: &Path, text: &str) -> Result<(), RuntimeError> {
    let fail = || RuntimeError::file::<std::io::Error>(path, "write");
    let mut options = std::fs::File::options();
    options.write(true).create(true).truncate(false);
    let mut file = options.open(path).map_err(fail())?;
    file.write_all(text.as_bytes()).map_err(fail())?;
    file.set_len(text.len() as u64).map_err(fail())
}

/// Give the container's group in the guest these limits, and the guest the memory for them.
pub(super) fn limit(entry: &Entry, limits: &Resources) -> Result<(), RuntimeError> {
    let config = machine(entry)?;
    let files = size::in_guest(limits, config.vcpus);
    if files.is_empty() {
        return Ok(());
    }
    check_processors(&config, limits)?;
    let resize = Resize::of(entry, limits)?;
    if let Some(resize) = &resize {
        resize.grow()?;
    }
    order(entry, Question::Limits(files))?;
    match resize {
        Some(resize) => resize.shrink(limits),
        None => Ok(()),
    }
}

/// A quota is worth no more than the processors that the machine was made with.
pub(super) fn check_processors(
    config: &caisson_vmm::Config,
    limits: &Resources,
) -> Result<(), RuntimeError> {
    let Some(quota) = limits.cpu.quota.filter(|quota| *quota > 0) else {
        return Ok(());
    };
    let needed = size::vcpus(limits);
    if needed <= config.vcpus {
        return Ok(());
    }
    let reason = format!(
        "is worth {needed} processors, and the virtual machine was made with {}",
        config.vcpus
    );
    Err(SpecError::unsupported("linux.resources.cpu.quota", quota, reason).into())
}

/// Freeze or thaw the container's processes in the guest, where others run on.
pub(super) fn freeze(entry: &Entry, freezer: Freezer) -> Result<(), RuntimeError> {
    let value = if freezer == Freezer::Frozen { "1" } else { "0" };
    let file = ("cgroup.freeze".to_owned(), value.to_owned());
    order(entry, Question::Limits(vec![file]))
}

/// What the machine was made with that a container runs in.
fn machine(entry: &Entry) -> Result<caisson_vmm::Config, RuntimeError> {
    let owner = pod::owner_of(entry);
    machine_in(owner.as_ref().unwrap_or(entry).folder())
}

/// The same by its owner's folder in the state.
pub(super) fn machine_in(folder: &Path) -> Result<caisson_vmm::Config, RuntimeError> {
    let path = folder.join(CONFIG);
    let text = std::fs::read(&path).map_err(RuntimeError::file(&path, "read"))?;
    serde_json::from_slice(&text)
        .map_err(std::io::Error::from)
        .map_err(RuntimeError::file(&path, "read"))
}

pub(super) fn signal_all(entry: &Entry, signal: i32) -> Result<(), RuntimeError> {
    order(entry, Question::SignalAll(signal))
}

/// The machine runs again.
pub(super) fn awake(entry: &Entry) -> Result<(), RuntimeError> {
    let mut entropy = vec![0; 32];
    let length = rustix::rand::getrandom(&mut entropy[..], rustix::rand::GetRandomFlags::empty())
        .map_err(RuntimeError::step("getrandom"))?;
    entropy.truncate(length);
    let time_ns = now_ns();
    order(entry, Question::Awake { time_ns, entropy })
}

/// The host's time, since 1970.
pub(super) fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_nanos() as u64)
}

fn order(entry: &Entry, question: Question) -> Result<(), RuntimeError> {
    match session::ask(entry.folder(), entry.id(), question)? {
        Report::Done => Ok(()),
        other => Err(session::nonsense(&other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_not_taken_back() {
        let folder = std::env::temp_dir().join(format!("caisson-kills-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let counted = |text: &str| {
            count(&folder, text).expect("written");
            let text = std::fs::read_to_string(folder.join(KILLS)).expect("text");
            stats::oom_kills_in(&text)
        };
        let seen = [
            counted("oom_kill 0\n"),
            counted("oom_kill 2\n"),
            counted("low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\n"),
            counted("low 0\nhigh 0\nmax 9\noom 3\noom_kill 3\n"),
        ];
        std::fs::remove_dir_all(&folder).expect("removed");
        assert_eq!(seen, [0, 2, 2, 3]);
    }

    #[test]
    fn only_known_files_are_written_and_each_is_as_long_as_its_text() {
        let folder = std::env::temp_dir().join(format!("caisson-usage-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let files = |text: &str| {
            BTreeMap::from([
                ("memory.current".to_owned(), text.to_owned()),
                ("../memory.current".to_owned(), text.to_owned()),
            ])
        };
        write_all(&folder, &files("100\n")).expect("written");
        write_all(&folder, &files("7\n")).expect("written again");
        let names: Vec<_> = std::fs::read_dir(&folder)
            .expect("the folder")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        let text = std::fs::read_to_string(folder.join("memory.current")).expect("text");
        std::fs::remove_dir_all(&folder).expect("removed");
        assert_eq!((names, text), (vec!["memory.current".into()], "7\n".into()));
    }
}
