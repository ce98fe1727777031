//! A private containerd: own root, state and socket in a temporary directory, ended and removed on drop.
//!
//! Must never touch the machine's own containerd, its images or its configuration.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use caisson_images::Image;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};

/// How long containerd may take to answer or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running containerd.
pub(crate) struct Containerd {
    daemon: Child,
    directory: tempfile::TempDir,
    address: PathBuf,
}

impl Containerd {
    /// Starts one that finds its shims in `binaries` first.
    pub(crate) fn start(binaries: &Path) -> Result<Containerd> {
        let directory = tempfile::Builder::new()
            .prefix("caisson-")
            .tempdir()
            .context("no temporary directory")?;
        let address = directory.path().join("containerd.sock");
        let configuration = directory.path().join("config.toml");
        fs::write(&configuration, configuration_text(directory.path()))
            .with_context(|| format!("cannot write {}", configuration.display()))?;
        let log_path = directory.path().join("containerd.log");
        let log = File::create(&log_path)
            .with_context(|| format!("cannot create {}", log_path.display()))?;
        let daemon = Command::new("containerd")
            .arg("--config")
            .arg(&configuration)
            .env("PATH", search_path(binaries)?)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // A Ctrl-C must not end it before its containers are gone.
            .process_group(0)
            .spawn()
            .context("cannot run containerd")?;
        let mut containerd = Containerd {
            daemon,
            directory,
            address,
        };
        containerd.await_answer()?;
        Ok(containerd)
    }

    fn await_answer(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self
                .ctr(&["version"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if answer.context("cannot run ctr")?.success() {
                return Ok(());
            }
            if let Some(status) = self.daemon.try_wait()? {
                bail!("containerd ended ({status}):\n{}", self.log());
            }
            if Instant::now() > deadline {
                bail!("containerd does not answer:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A `ctr` that talks to this containerd.
    pub(crate) fn ctr(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(&self.address).args(arguments);
        command
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.daemon.id()
    }

    /// The path of its socket.
    pub(crate) fn address(&self) -> &Path {
        &self.address
    }

    /// Makes the image known to containerd.
    pub(crate) fn import(&self, image: &Image) -> Result<()> {
        let output = self
            .ctr(&["images", "import"])
            .arg(&image.archive)
            .output()
            .context("cannot run ctr")?;
        ensure!(
            output.status.success(),
            "ctr images import {} failed: {}",
            image.archive.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// What containerd and its shims have logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("containerd.log")).unwrap_or_default()
    }

    /// Kills and removes whatever containers are left, so that no shim outlives the daemon.
    fn remove_containers(&self) {
        let list = self.ctr(&["containers", "list", "-q"]).output();
        let ids = list
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default();
        for id in ids.lines() {
            for arguments in [
                ["tasks", "delete", "--force", id].as_slice(),
                &["containers", "delete", id],
            ] {
                if let Err(error) = self
                    .ctr(arguments)
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status()
                {
                    eprintln!("cannot run ctr: {error}");
                }
            }
        }
    }

    fn end_daemon(&mut self) -> Result<()> {
        let pid = i32::try_from(self.daemon.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("no pid")?;
        kill_process(pid, Signal::TERM)?;
        let deadline = Instant::now() + PATIENCE;
        while self.daemon.try_wait()?.is_none() {
            if Instant::now() > deadline {
                self.daemon.kill()?;
                self.daemon.wait()?;
                bail!(
                    "containerd did not end within {} s and was killed",
                    PATIENCE.as_secs()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.remove_containers();
        if let Err(error) = self.end_daemon() {
            eprintln!("cannot end containerd: {error:#}");
        }
        unmount_below(self.directory.path());
    }
}

/// Detaches every mount under `directory`, innermost first.
fn unmount_below(directory: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for line in mounts.lines().rev() {
        let Some(point) = line.split(' ').nth(1).map(Path::new) else {
            continue;
        };
        if point.starts_with(directory)
            && let Err(errno) = unmount(point, UnmountFlags::DETACH)
        {
            eprintln!("cannot unmount {}: {errno}", point.display());
        }
    }
}

/// `PATH` with `binaries` in front.
pub(crate) fn search_path(binaries: &Path) -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = [binaries.to_owned()]
        .into_iter()
        .chain(std::env::split_paths(&path));
    std::env::join_paths(directories.chain(["/usr/sbin".into(), "/sbin".into()]))
        .context("PATH cannot hold this path")
}

fn configuration_text(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        r#"version = 2
root = "{directory}/root"
state = "{directory}/state"
temp = "{directory}/tmp"
# Nothing here speaks to a kubelet, and the CRI plugin wants a CNI configuration.
disabled_plugins = ["io.containerd.grpc.v1.cri"]

[grpc]
  address = "{directory}/containerd.sock"

[ttrpc]
  address = "{directory}/containerd.sock.ttrpc"

[debug]
  level = "warn"
"#
    )
}
