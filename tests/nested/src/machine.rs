//! Runs QEMU and the file servers around it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::cpio::Archive;
use crate::image::{self, BootFiles};
use crate::serial::Serial;
use crate::{Hierarchy, Job, NestedError};

const QEMU: &str = "qemu-system-x86_64";
const VIRTIOFSD: &[&str] = &["/usr/lib/qemu/virtiofsd"];

/// From QEMU's start to the command's; a few seconds unless the host is busy.
const BOOT_LIMIT: Duration = Duration::from_secs(180);

/// What reporting the status and resetting may take beyond the command's own limit.
const END_LIMIT: Duration = Duration::from_secs(30);

/// Runs `job` in a machine of its own; `output` gets each line that it prints, and the result is its exit status
/// (128 and the signal's number when a signal ended it).
///
/// A machine that does not say how its command ended is tried once more. Setting `cancel` ends it.
pub fn run(
    job: &Job,
    cancel: &AtomicBool,
    output: &mut dyn FnMut(&str),
) -> Result<i32, NestedError> {
    let files = image::boot_files()?;
    match attempt(job, &files, cancel, output) {
        Err(NestedError::NoStatus { what, .. }) => {
            output(&format!("caisson-nested: the machine {what}: once more"));
            attempt(job, &files, cancel, output)
        }
        outcome => outcome,
    }
}

/// One boot.
fn attempt(
    job: &Job,
    files: &BootFiles,
    cancel: &AtomicBool,
    output: &mut dyn FnMut(&str),
) -> Result<i32, NestedError> {
    let scratch = tempfile::Builder::new()
        .prefix("caisson-nested-")
        .tempdir()
        .map_err(NestedError::io(
            "create a directory in",
            std::env::temp_dir(),
        ))?;
    let initrd = scratch.path().join("initrd");
    write_initrd(&initrd, &files.initrd, job)?;

    let mut shares = vec![Share::start("host", Path::new("/"), scratch.path())?];
    if let Some(results) = &job.results {
        shares.push(Share::start("results", results, scratch.path())?);
    }
    let marker = format!(
        "nested-{}-{}",
        std::process::id(),
        caisson_sys::tsc::ticks()
    );
    let mut command = qemu(job, files, &initrd, &shares, &marker);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut machine = Process::start(QEMU, &mut command)?;
    let lines = machine.lines();
    let mut serial = Serial::new(&marker);
    let outcome = follow(&lines, &mut serial, job.limit, cancel, output);
    // QEMU leaves by itself after the machine's reset; it is not waited for.
    drop(machine);
    match (serial.status, outcome?) {
        (Some(status), _) => Ok(status),
        (None, what) => Err(NestedError::NoStatus {
            what: what.to_owned(),
            output: serial.tail().to_owned(),
        }),
    }
}

/// Passes output on until the status is known or there is no use in waiting; says which.
fn follow(
    lines: &Receiver<String>,
    serial: &mut Serial,
    limit: Duration,
    cancel: &AtomicBool,
    output: &mut dyn FnMut(&str),
) -> Result<&'static str, NestedError> {
    let mut deadline = Instant::now() + BOOT_LIMIT;
    while serial.status.is_none() {
        match lines.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => {
                let started = serial.started;
                if let Some(line) = serial.line(&line) {
                    output(&line);
                }
                if serial.started && !started {
                    deadline = Instant::now() + limit + END_LIMIT;
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Ok("ended without reporting a status"),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if cancel.load(Ordering::Relaxed) {
            return Err(NestedError::Cancelled);
        }
        if Instant::now() > deadline {
            return Ok(if serial.started {
                "did not report a status in time"
            } else {
                "did not boot in time"
            });
        }
    }
    Ok("reported its status")
}

/// The cached ramdisk followed by one with the job in it.
fn write_initrd(path: &Path, cached: &Path, job: &Job) -> Result<(), NestedError> {
    let mut bytes = fs::read(cached).map_err(NestedError::io("read", cached))?;
    let mut archive = Archive::default();
    archive.file("job", &job.script());
    bytes.extend_from_slice(&archive.finish());
    fs::write(path, bytes).map_err(NestedError::io("write", path))
}

/// QEMU's command line. Without `tsc_early_khz` KVM in the machine spins for ever in every KVM_RUN.
fn qemu(job: &Job, files: &BootFiles, initrd: &Path, shares: &[Share], marker: &str) -> Command {
    let khz = caisson_sys::tsc::frequency_khz(Duration::from_millis(100));
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let append = format!(
        "console=ttyS0 quiet loglevel=3 reboot=t panic=-1 mitigations=off random.trust_cpu=on tsc_early_khz={khz} \
         nested.limit={} nested.time={now} nested.marker={marker}{}",
        job.limit.as_secs().max(1),
        job.systemd.map_or("", systemd_options)
    );
    let memory = format!("{}M", job.memory_mib);
    let mut command = Process::command(QEMU);
    command
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        .args(["-no-reboot", "-serial", "stdio", "-accel", "tcg"])
        .args(["-M", "microvm,acpi=on,memory-backend=memory"])
        .args(["-cpu", "EPYC,+svm,+npt", "-smp", "1", "-m", &memory])
        .arg("-object")
        .arg(format!(
            "memory-backend-memfd,id=memory,size={memory},share=on"
        ))
        .args(["-global", "virtio-mmio.force-legacy=false"])
        .args(["-append", &append])
        .arg("-kernel")
        .arg(&files.kernel)
        .arg("-initrd")
        .arg(initrd);
    for share in shares {
        let tag = share.tag;
        command
            .arg("-chardev")
            .arg(format!("socket,id={tag},path={}", share.socket.display()))
            .arg("-device")
            .arg(format!("vhost-user-fs-device,chardev={tag},tag={tag}"));
    }
    command
}

/// What the kernel's command line says to the machine's init and to systemd.
fn systemd_options(hierarchy: Hierarchy) -> &'static str {
    match hierarchy {
        Hierarchy::Unified => " nested.init=systemd systemd.unified_cgroup_hierarchy=1",
        Hierarchy::Legacy => {
            " nested.init=systemd systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1"
        }
    }
}

/// A virtiofsd that serves one directory of the host.
struct Share {
    tag: &'static str,
    socket: PathBuf,
    _server: Process,
}

impl Share {
    fn start(tag: &'static str, source: &Path, scratch: &Path) -> Result<Share, NestedError> {
        let program = VIRTIOFSD
            .iter()
            .find(|path| Path::new(path).exists())
            .ok_or_else(|| NestedError::NoVirtiofsd {
                candidates: VIRTIOFSD.to_vec(),
            })?;
        let socket = scratch.join(format!("{tag}.socket"));
        let mut source_option = std::ffi::OsString::from("source=");
        source_option.push(source);
        let mut command = Process::command(program);
        command
            .arg(format!("--socket-path={}", socket.display()))
            .arg("-o")
            .arg(source_option)
            .args(["-o", "sandbox=chroot", "-o", "no_posix_lock", "-f"])
            .args([
                "-o",
                if tag == "host" {
                    "cache=always"
                } else {
                    "cache=auto"
                },
            ])
            .stdout(Stdio::null());
        let server = Process::start(program, command.stderr(Stdio::null()))?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while !socket.exists() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        Ok(Share {
            tag,
            socket,
            _server: server,
        })
    }
}

/// A program that ends with this value, and with the thread that started it.
struct Process(Child);

impl Process {
    /// The command line to which arguments of `program` are added.
    fn command(program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", program]);
        command.stdin(Stdio::null());
        command
    }

    fn start(program: &str, command: &mut Command) -> Result<Process, NestedError> {
        let child = command.spawn().map_err(|source| NestedError::Spawn {
            program: program.to_owned(),
            source,
        })?;
        Ok(Process(child))
    }

    /// What it prints on both of its outputs, which must be pipes.
    fn lines(&mut self) -> Receiver<String> {
        let (sender, lines) = mpsc::channel();
        if let Some(output) = self.0.stdout.take() {
            let sender = sender.clone();
            thread::spawn(move || forward(output, &sender));
        }
        if let Some(errors) = self.0.stderr.take() {
            thread::spawn(move || forward(errors, &sender));
        }
        lines
    }
}

fn forward(from: impl Read, to: &Sender<String>) {
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        if to
            .send(String::from_utf8_lossy(&line).into_owned())
            .is_err()
        {
            break;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a process that was waited for, which nobody else does.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
