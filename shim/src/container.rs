//! One container: its processes, its runtime, its bundle.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::bundle::Config;
use crate::cgroup::Cgroup;
use crate::error::ShimError;
use crate::options::Options;
use crate::process::Process;
use crate::runtime::Runtime;
use crate::sync::lock;

pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    pub(crate) runtime: Runtime,
    pub(crate) options: Options,
    pub(crate) config: Config,
    pub(crate) init: Arc<Process>,
    pub(crate) paused: AtomicBool,
    /// Serialises the calls that change the container's life: start, pause, resume, update, delete.
    /// Never taken by kill, state, wait, stats, exec and what belongs to an exec.
    pub(crate) lifecycle: Mutex<()>,
    /// Where its control groups are; found once the container exists.
    pub(crate) cgroup: Mutex<Option<Cgroup>>,
    execs: Mutex<HashMap<String, Arc<Process>>>,
    files: AtomicU64,
}

impl Container {
    pub(crate) fn new(
        bundle: PathBuf,
        runtime: Runtime,
        options: Options,
        config: Config,
        init: Process,
    ) -> Container {
        Container {
            id: init.container_id.clone(),
            bundle,
            runtime,
            options,
            config,
            init: Arc::new(init),
            paused: AtomicBool::new(false),
            lifecycle: Mutex::default(),
            cgroup: Mutex::default(),
            execs: Mutex::default(),
            files: AtomicU64::new(0),
        }
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.bundle.join("rootfs")
    }

    /// The process that a request names: the first one for an empty exec id.
    pub(crate) fn process(&self, exec_id: &str) -> Result<Arc<Process>, ShimError> {
        if exec_id.is_empty() {
            return Ok(Arc::clone(&self.init));
        }
        let found = lock(&self.execs).get(exec_id).cloned();
        found.ok_or_else(|| ShimError::NoSuchProcess {
            id: self.id.clone(),
            exec_id: exec_id.to_owned(),
        })
    }

    pub(crate) fn add_exec(&self, process: Process) -> Result<(), ShimError> {
        let mut execs = lock(&self.execs);
        if execs.contains_key(&process.exec_id) {
            return Err(ShimError::AlreadyExists {
                what: "exec",
                id: process.exec_id,
            });
        }
        execs.insert(process.exec_id.clone(), Arc::new(process));
        Ok(())
    }

    pub(crate) fn remove_exec(&self, exec_id: &str) {
        lock(&self.execs).remove(exec_id);
    }

    pub(crate) fn execs(&self) -> Vec<Arc<Process>> {
        lock(&self.execs).values().cloned().collect()
    }

    /// A file name in the bundle that no other call uses.
    pub(crate) fn scratch(&self, what: &str) -> Scratch {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        Scratch {
            path: self.bundle.join(format!("{what}-{number}")),
        }
    }

    /// The control groups that tell what the container uses; `pid` is its process.
    pub(crate) fn measured(&self, pid: u32) -> Option<Cgroup> {
        match self.runtime.guest_cgroup() {
            Some(folder) => Some(Cgroup::V2(folder)),
            None => Cgroup::find(&self.config.linux.cgroups_path, pid),
        }
    }

    /// The owner that containerd asks for the stdio pipes, or the root of the container's user namespace, which must be
    /// able to open them anew.
    pub(crate) fn stdio_owner(&self) -> Option<(u32, u32)> {
        let (uid, gid) = (self.options.io_uid, self.options.io_gid);
        if uid != 0 || gid != 0 {
            return Some((uid, gid));
        }
        self.config.mapped_root()
    }
}

/// A file of one call, removed with it.
pub(crate) struct Scratch {
    pub(crate) path: PathBuf,
}

impl Scratch {
    pub(crate) fn file_name(&self) -> String {
        self.path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), ShimError> {
        fs::write(&self.path, bytes).map_err(ShimError::io("write", &self.path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _never_written = fs::remove_file(&self.path);
    }
}
