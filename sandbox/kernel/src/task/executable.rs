//! The programs that guests run: what `/proc/PID/exe` stands for, and which files must not be written meanwhile.
//!
//! The host does not know that a guest executes a file, because the loader maps it. So that `ETXTBSY` is told as
//! on Linux, [`Running`] counts the files of living processes.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::lock;

/// Device and inode.
type Identity = (u64, u64);

/// The files that are being executed, by identity and by the last component of the name they were executed by.
#[derive(Debug, Default)]
pub struct Running(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    files: HashMap<Identity, usize>,
    names: HashMap<Vec<u8>, usize>,
}

impl Running {
    /// Whether a running program is this file.
    pub fn is(&self, device: u64, inode: u64) -> bool {
        lock(&self.0).files.contains_key(&(device, inode))
    }

    /// Whether a running program has this name: a hint that spares all other files a look.
    pub fn has_name(&self, path: &[u8]) -> bool {
        lock(&self.0).names.contains_key(last_component(path))
    }
}

/// An executed file, held open as long as a process runs it.
#[derive(Debug)]
pub struct Executable {
    file: OwnedFd,
    identity: Identity,
    name: Vec<u8>,
    running: Arc<Running>,
}

impl Executable {
    /// `path` is where the guest sees the file now.
    pub fn new(
        running: &Arc<Running>,
        file: OwnedFd,
        path: &[u8],
    ) -> Result<Arc<Executable>, Errno> {
        let stat = rustix::fs::fstat(&file)?;
        let executable = Executable {
            file,
            identity: (stat.st_dev, stat.st_ino),
            name: last_component(path).to_vec(),
            running: running.clone(),
        };
        let mut entries = lock(&running.0);
        *entries.files.entry(executable.identity).or_default() += 1;
        *entries.names.entry(executable.name.clone()).or_default() += 1;
        drop(entries);
        Ok(Arc::new(executable))
    }
}

impl Executable {
    /// Whether it is this file.
    pub fn is(&self, device: u64, inode: u64) -> bool {
        self.identity == (device, inode)
    }
}

impl Drop for Executable {
    fn drop(&mut self) {
        let mut entries = lock(&self.running.0);
        leave(&mut entries.files, &self.identity);
        leave(&mut entries.names, &self.name);
    }
}

impl AsFd for Executable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn leave<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

fn last_component(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Executable, Running};

    #[test]
    fn a_file_is_busy_until_its_last_process_ends() {
        let running = Arc::new(Running::default());
        let path = std::env::current_exe().expect("this program");
        let stat = rustix::fs::stat(&path).expect("its file");
        let run = || {
            let file = std::fs::File::open(&path).expect("this program's file");
            Executable::new(&running, file.into(), b"/bin/this").expect("an open file")
        };
        let (first, second) = (run(), run());
        drop(first);
        assert!(running.is(stat.st_dev, stat.st_ino));
        assert!(running.has_name(b"elsewhere/this") && !running.has_name(b"that"));
        drop(second);
        assert!(!running.is(stat.st_dev, stat.st_ino) && !running.has_name(b"this"));
    }
}
