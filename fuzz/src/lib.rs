//! What targets have in common.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{SigHandler, Signal, signal};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Files end at so many bytes from now on: writing more is an error, and does not end the process.
///
/// # Panics
/// When the limit cannot be set.
#[expect(unsafe_code, reason = "a signal is ignored")]
pub fn limit_files(bytes: u64) {
    let limit = Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    setrlimit(Resource::Fsize, limit).expect("a limit");
    // SAFETY: no handler is installed, the signal is ignored.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.expect("a signal that can be ignored");
}

/// An empty folder, deleted with this.
pub struct Scratch(PathBuf);

impl Scratch {
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Scratch {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // In memory, where hosts have it: each case makes one.
        let shared = Path::new("/dev/shm");
        let home = if shared.is_dir() {
            shared.to_owned()
        } else {
            std::env::temp_dir()
        };
        let path = home.join(format!(
            "caisson-fuzz-{name}-{}-{number}",
            std::process::id()
        ));
        std::fs::create_dir(&path).expect("a folder");
        Scratch(path)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
