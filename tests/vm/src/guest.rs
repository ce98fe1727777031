//! A guest under `caisson-vmm`, with the init of `guest/init.c`.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use caisson_nested::Archive;
use caisson_vmm::{Config, Jail, Serial, Vsock};
use serde_json::Value;
use tempfile::TempDir;

/// Anything that a guest does is done by then, also on a busy host.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The user that monitors become.
pub const JAILED: u32 = 64_321;

/// The port of the guest's shell.
const COMMAND_PORT: u32 = 1;

/// A running guest; dropping it kills its monitor.
pub struct Guest {
    directory: TempDir,
    monitor: Child,
}

/// A configuration with one processor, 128 MiB, a jail, vsock and the control socket in `directory`.
///
/// # Panics
/// If the initial ramdisk cannot be made.
#[must_use]
pub fn config(directory: &Path) -> Config {
    let initrd = directory.join("initrd");
    // Compiling takes seconds in the nested machine.
    static RAMDISK: OnceLock<Vec<u8>> = OnceLock::new();
    let ramdisk = RAMDISK.get_or_init(|| initial_ramdisk(directory, None));
    fs::write(&initrd, ramdisk).expect("the ramdisk is written");
    Config {
        kernel: kernel().expect("a guest kernel"),
        initrd: Some(initrd),
        cmdline: "console=ttyS0 quiet reboot=k panic=-1 noxsaves mitigations=off \
                  memhp_default_state=online memory_hotplug.online_policy=auto-movable"
            .to_owned(),
        memory_mib: 128,
        growth_mib: 0,
        vcpus: 1,
        disks: Vec::new(),
        vsock: Some(Vsock {
            cid: 3,
            socket: directory.join("vsock"),
        }),
        fs: None,
        taps: Vec::new(),
        serial: Serial::File(directory.join("serial")),
        control: Some(directory.join("control")),
        jail: Some(Jail {
            uid: JAILED,
            gid: JAILED,
        }),
    }
}

/// `$CAISSON_GUEST_KERNEL`, or the one that was built beside the binaries.
#[must_use]
pub fn kernel() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CAISSON_GUEST_KERNEL").filter(|path| !path.is_empty()) {
        return Some(PathBuf::from(path));
    }
    let built = monitor().with_file_name("caisson-guest").join("vmlinux");
    built.exists().then_some(built)
}

/// `caisson-vmm` beside the directory of this test program.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn monitor() -> PathBuf {
    let program = std::env::current_exe().expect("this program has a path");
    let directory = program.parent().and_then(Path::parent);
    let monitor = directory.expect("target/debug").join("caisson-vmm");
    assert!(
        monitor.exists(),
        "{} is missing: cargo build -p caisson-vmm",
        monitor.display()
    );
    monitor
}

/// What a C source of tests/vm/guest becomes, a program without libraries; made in `directory`.
///
/// # Panics
/// If it does not compile.
#[must_use]
pub fn compiled(name: &str, directory: &Path) -> PathBuf {
    let program = directory.join(name);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest");
    let status = Command::new("gcc")
        .args(["-O1", "-static", "-Wall", "-Werror", "-o"])
        .arg(&program)
        .arg(folder.join(format!("{name}.c")))
        .status()
        .expect("gcc runs");
    assert!(status.success(), "guest/{name}.c does not compile");
    program
}

/// An initial ramdisk with the init, busybox and perhaps a script that the init runs beside its shell. It is compiled
/// in `directory`.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn initial_ramdisk(directory: &Path, script: Option<&str>) -> Vec<u8> {
    let init = compiled("init", directory);
    let mut archive = Archive::default();
    for name in ["bin", "dev", "proc", "sys", "sbin", "tmp"] {
        archive.directory(name);
    }
    archive.file("init", &fs::read(init).expect("the compiled init"));
    let busybox = caisson_images::busybox().expect("the busybox image");
    let program = fs::read(busybox.rootfs.join("bin/busybox")).expect("busybox");
    archive.file("bin/busybox", &program);
    if let Some(script) = script {
        archive.file("bench", script.as_bytes());
    }
    archive.finish()
}

/// A directory for sockets and disks.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn scratch() -> TempDir {
    let directory = tempfile::Builder::new()
        .prefix("vm-")
        .tempdir()
        .expect("a scratch directory");
    // For the jailed monitor's connections to sockets in it.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
    directory
}

impl Guest {
    /// Boots a guest that `change` may have changed, and waits for its shell.
    ///
    /// # Panics
    /// If it does not come up.
    #[must_use]
    pub fn boot(change: impl FnOnce(&mut Config, &Path)) -> Guest {
        let directory = scratch();
        let mut config = config(directory.path());
        change(&mut config, directory.path());
        let mut guest = Guest {
            monitor: start(&config, directory.path()),
            directory,
        };
        guest.wait_for("init: ready");
        guest
    }

    /// Its directory: `serial`, `vsock`, `control`, and what the test put there.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What the guest's serial line has said so far.
    #[must_use]
    pub fn serial(&self) -> String {
        fs::read(self.directory().join("serial")).map_or(String::new(), |bytes| {
            String::from_utf8_lossy(&bytes).into_owned()
        })
    }

    /// # Panics
    /// If the serial line does not say it in time, or the monitor ends before.
    pub fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.serial().contains(text) {
            let ended = self.monitor.try_wait().expect("the monitor is our child");
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "no {text:?} (monitor: {ended:?}); the serial line says:\n{}",
                self.serial()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// A stream to a port of the guest.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(&self, port: u32) -> io::Result<UnixStream> {
        let mut stream = UnixStream::connect(self.directory().join("vsock"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        writeln!(stream, "CONNECT {port}")?;
        let mut line = Vec::new();
        let mut byte = [0];
        while line.last() != Some(&b'\n') {
            if stream.read(&mut byte)? == 0 {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            line.push(byte[0]);
        }
        if line.starts_with(b"OK ") {
            Ok(stream)
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }

    /// Starts a command of the guest's shell, which has the stream as its input and outputs.
    ///
    /// # Panics
    /// If the guest does not take it.
    #[must_use]
    pub fn spawn(&self, command: &str) -> UnixStream {
        let mut stream = self.connect(COMMAND_PORT).expect("the guest's shell");
        writeln!(stream, "{command}").expect("the guest takes the command");
        stream
    }

    /// Asks for a command as [`Self::spawn`] does, without waiting for the guest.
    ///
    /// # Panics
    /// If the monitor does not take it.
    #[must_use]
    pub fn spawn_unanswered(&self, command: &str) -> UnixStream {
        let mut stream = UnixStream::connect(self.directory().join("vsock")).expect("the socket");
        write!(stream, "CONNECT {COMMAND_PORT}\n{command}\n").expect("the monitor reads");
        stream
    }

    /// Runs a command without input and returns what it prints.
    ///
    /// # Panics
    /// If it does not end in time.
    #[must_use]
    pub fn run(&self, command: &str) -> String {
        let mut stream = self.spawn(command);
        stream.shutdown(Shutdown::Write).expect("a live stream");
        let mut output = Vec::new();
        stream
            .read_to_end(&mut output)
            .unwrap_or_else(|error| panic!("{command}: {error}; serial:\n{}", self.serial()));
        String::from_utf8_lossy(&output).into_owned()
    }

    /// One request on the control socket.
    ///
    /// # Panics
    /// If it is not answered.
    #[must_use]
    pub fn control(&self, operation: &str) -> Value {
        self.request(&format!("{{\"op\": \"{operation}\"}}"))
    }

    /// One request on the control socket, in JSON.
    ///
    /// # Panics
    /// If it is not answered.
    #[must_use]
    pub fn request(&self, request: &str) -> Value {
        let mut stream =
            UnixStream::connect(self.directory().join("control")).expect("the control socket");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time limit");
        writeln!(stream, "{request}").expect("the monitor reads");
        let mut answer = String::new();
        BufReader::new(stream)
            .read_line(&mut answer)
            .expect("the monitor answers");
        serde_json::from_str(&answer).expect("an answer in JSON")
    }

    /// How the monitor ended, when it has; what it printed comes to the test's own error output.
    ///
    /// # Panics
    /// If it does not end in time.
    #[must_use]
    pub fn wait(&mut self) -> ExitStatus {
        wait(&mut self.monitor).unwrap_or_else(|| panic!("no end; serial:\n{}", self.serial()))
    }

    /// Whether the guest's kernel lets its init write to the monitor's port.
    #[must_use]
    pub fn has_port(&self) -> bool {
        self.run("test -c /dev/port && echo yes") == "yes\n"
    }

    /// The monitor's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.monitor.id()
    }
}

fn wait(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("our child") {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(10));
    }
    None
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        self.monitor.kill().ok();
        self.monitor.wait().ok();
    }
}

fn write_config(config: &Config, directory: &Path) -> PathBuf {
    let path = directory.join("config.json");
    let text = serde_json::to_vec(config).expect("a configuration is JSON");
    fs::write(&path, text).expect("the configuration is written");
    path
}

fn start(config: &Config, directory: &Path) -> Child {
    Command::new(monitor())
        .arg(write_config(config, directory))
        .stdin(Stdio::null())
        .spawn()
        .expect("caisson-vmm runs")
}

/// Starts a monitor that is expected to refuse; returns its status and its message.
///
/// # Panics
/// If it does not end in time.
#[must_use]
pub fn refused(config: &Config, directory: &Path) -> (Option<i32>, String) {
    let mut child = Command::new(monitor())
        .arg(write_config(config, directory))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("caisson-vmm runs");
    let status = wait(&mut child);
    child.kill().ok();
    let mut message = String::new();
    if let Some(mut errors) = child.stderr.take() {
        errors.read_to_string(&mut message).expect("text");
    }
    child.wait().expect("our child");
    (status.and_then(|status| status.code()), message)
}
