//! Folders and files of the state.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Lock, State, StateError, check_id, io};

const STATE_FILE: &str = "state.json";
const LOCK_FILE: &str = "lock";
/// Where the app kernel listens.
const CONTROL_SOCKET: &str = "control.sock";

/// The folder of all containers, `--root`.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// The folder of one container.
#[derive(Clone, Debug)]
pub struct Entry {
    id: String,
    folder: PathBuf,
}

impl Store {
    pub fn new(root: PathBuf) -> Store {
        Store { root }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The entry of a valid id, whether or not it exists.
    pub fn entry(&self, id: &str) -> Result<Entry, StateError> {
        check_id(id)?;
        Ok(Entry {
            id: id.to_owned(),
            folder: self.root.join(id),
        })
    }

    /// Make the folder of a new container and lock it.
    pub fn create(&self, id: &str) -> Result<(Entry, Lock), StateError> {
        let entry = self.entry(id)?;
        let folder = |recursive| {
            let mut builder = std::fs::DirBuilder::new();
            builder.mode(0o711).recursive(recursive);
            builder
        };
        folder(true)
            .create(&self.root)
            .map_err(io(&self.root, "mkdir"))?;
        // Left by an earlier boot of the host: its cgroups, mounts and processes went with that.
        if entry.load().is_ok_and(|state| state.is_stale()) {
            entry.remove()?;
        }
        match folder(false).create(&entry.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(StateError::Exists { id: id.to_owned() });
            }
            other => other.map_err(io(&entry.folder, "mkdir"))?,
        }
        match entry.lock() {
            Ok(lock) => Ok((entry, lock)),
            Err(error) => {
                std::fs::remove_dir_all(&entry.folder).ok();
                Err(error)
            }
        }
    }

    /// Every container there is, by id; folders without a readable state are left out.
    pub fn list(&self) -> Result<Vec<State>, StateError> {
        let entries = match std::fs::read_dir(&self.root) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(io(&self.root, "read"))?,
        };
        let ids = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        let mut states: Vec<State> = ids
            .filter_map(|id| self.entry(&id).ok()?.load().ok())
            .collect();
        states.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(states)
    }
}

impl Entry {
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn control_socket(&self) -> PathBuf {
        self.folder.join(CONTROL_SOCKET)
    }

    /// A descriptor of the folder: sockets in it are reached through it, because their paths are limited to
    /// 108 bytes.
    pub fn open(&self) -> Result<OwnedFd, StateError> {
        Ok(File::open(&self.folder)
            .map_err(io(&self.folder, "open"))?
            .into())
    }

    pub fn exists(&self) -> bool {
        self.folder.is_dir()
    }

    /// Wait for and take the container's lock.
    pub fn lock(&self) -> Result<Lock, StateError> {
        let path = self.folder.join(LOCK_FILE);
        match File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
        {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(StateError::NotFound {
                    id: self.id.clone(),
                })
            }
            Err(error) => Err(io(&path, "open")(error)),
            Ok(file) => {
                let lock = Lock::take(file).map_err(io(&path, "lock"))?;
                // Deleted while we waited.
                if path.exists() {
                    Ok(lock)
                } else {
                    Err(StateError::NotFound {
                        id: self.id.clone(),
                    })
                }
            }
        }
    }

    pub fn load(&self) -> Result<State, StateError> {
        let path = self.folder.join(STATE_FILE);
        match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(StateError::NotFound {
                    id: self.id.clone(),
                })
            }
            Err(error) => Err(io(&path, "read")(error)),
            Ok(text) => serde_json::from_slice(&text)
                .map(State::settle)
                .map_err(|error| StateError::Corrupt {
                    path: path.display().to_string(),
                    reason: error.to_string(),
                }),
        }
    }

    /// Replace the state atomically: written aside, then renamed. Not synced: a state does not outlive the
    /// processes it names, and a crash of the machine ends those too.
    pub fn save(&self, state: &State) -> Result<(), StateError> {
        let path = self.folder.join(STATE_FILE);
        let aside = self
            .folder
            .join(format!(".{STATE_FILE}.{}", std::process::id()));
        let result = write_aside(&aside, state).and_then(|()| std::fs::rename(&aside, &path));
        if result.is_err() {
            std::fs::remove_file(&aside).ok();
        }
        result.map_err(io(&path, "write"))
    }

    /// Remove the folder with everything in it; it may be gone already.
    pub fn remove(&self) -> Result<(), StateError> {
        // What is usually there goes by name: listing a folder takes a descriptor, and having too few of those is one
        // of the reasons why a `create` is undone.
        for name in [CONTROL_SOCKET, STATE_FILE, LOCK_FILE] {
            std::fs::remove_file(self.folder.join(name)).ok();
        }
        if std::fs::remove_dir(&self.folder).is_ok() {
            return Ok(());
        }
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(io(&self.folder, "remove")(error))
            }
            _ => Ok(()),
        }
    }
}

fn write_aside(path: &Path, state: &State) -> std::io::Result<()> {
    let text = serde_json::to_vec(state)?;
    let mut file = File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::{Cgroup, Version};
    use crate::process::ProcessId;
    use crate::state::{Phase, Status};

    fn store(name: &str) -> Store {
        Store::new(
            std::env::temp_dir().join(format!("caisson-state-{name}-{}", std::process::id())),
        )
    }

    fn state(id: &str, creator: ProcessId) -> State {
        State {
            id: id.into(),
            tier: "kernel".into(),
            bundle: "/b".into(),
            created: crate::time::now(),
            phase: Phase::Creating,
            boot_id: crate::state::boot_id(),
            creator,
            sandbox: None,
            init: None,
            cgroup: Cgroup {
                version: Version::V1,
                name: "/x".into(),
                groups: vec![],
                scope: None,
            },
            transport: Default::default(),
            spec: crate::spec::default::spec(),
        }
    }

    #[test]
    fn a_state_survives_the_round_trip_and_a_dead_creator_means_stopped() {
        let store = store("trip");
        let (entry, lock) = store.create("c1").expect("create");
        let me = ProcessId::current().expect("self");
        let written = state("c1", me);
        entry.save(&written).expect("save");
        assert_eq!(entry.load().expect("load"), written);
        assert_eq!(written.status(), Status::Creating);
        let orphan = state(
            "c1",
            ProcessId {
                start_ticks: 0,
                ..me
            },
        );
        assert_eq!(orphan.status(), Status::Stopped);
        assert!(matches!(store.create("c1"), Err(StateError::Exists { .. })));
        assert_eq!(store.list().expect("list").len(), 1);
        drop(lock);
        entry.remove().expect("remove");
        assert!(matches!(entry.load(), Err(StateError::NotFound { .. })));
        assert!(matches!(entry.lock(), Err(StateError::NotFound { .. })));
        std::fs::remove_dir_all(store.root()).expect("clean up");
    }

    #[test]
    fn what_an_earlier_boot_left_is_stopped_and_makes_room() {
        let store = store("boot");
        let (entry, lock) = store.create("c1").expect("create");
        let me = ProcessId::current().expect("self");
        let mut written = state("c1", me);
        (written.phase, written.sandbox) = (Phase::Started, Some(me));
        entry.save(&written).expect("save");
        assert_ne!(entry.load().expect("load").status(), Status::Stopped);
        written.boot_id = "another".into();
        entry.save(&written).expect("save");
        let loaded = entry.load().expect("load");
        assert_eq!((loaded.status(), loaded.pid()), (Status::Stopped, 0));
        drop(lock);
        store.create("c1").expect("room for a new one");
        std::fs::remove_dir_all(store.root()).expect("clean up");
    }

    #[test]
    fn a_torn_file_is_named() {
        let store = store("torn");
        let (entry, _lock) = store.create("c1").expect("create");
        std::fs::write(entry.folder().join(STATE_FILE), "{\"id\":").expect("write");
        let message = entry.load().expect_err("torn").to_string();
        assert!(message.contains("c1/state.json"), "{message}");
        std::fs::remove_dir_all(store.root()).expect("clean up");
    }
}
