//! Making the guest init and waiting for its end.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use caisson_sys::guest::Guest;
use caisson_sys::procfs;
use caisson_wire::{BootReply, ProcessSpec, TraceScope};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::console::{self, Console};
use super::{Boot, BootError, Prepared, Termination, limits, spawn};
use crate::control::{self, Gate};
use crate::exec;
use crate::facts;
use crate::kernel::Kernel;
use crate::mounts::Mounts;
use crate::proc::SystemFacts;
use crate::strace::Strace;
use crate::system::Names;
use crate::task::{Capability, Directory, Fs, Table};
use crate::transport::Gateway;
use crate::watch::Watch;

/// How long the init process may take from its birth to its first exec.
const FIRST_EXEC: Duration = Duration::from_secs(30);

/// Run the sandbox: returns when its init process has ended. Must be called on the main thread, after the
/// pivot into the container's tree, with the guest's standard input, output and error as its own.
pub fn run(prepared: Prepared, boot: Boot) -> Result<Termination, BootError> {
    let socket = boot
        .boot
        .try_clone()
        .map_err(|error| BootError::Wire(wire_io(&error)))?;
    match stand_up(prepared, boot) {
        Ok(sandbox) => {
            let fds: Vec<BorrowedFd<'_>> =
                sandbox.console.iter().map(|c| c.master.as_fd()).collect();
            caisson_wire::send(
                socket.as_fd(),
                &BootReply::Created {
                    init_pid: sandbox.init.pid,
                },
                &fds,
            )?;
            drop((fds, socket));
            let Sandbox {
                kernel,
                init,
                control,
                console,
                process,
            } = sandbox;
            drop(console);
            control::serve_until_end(&kernel, &control, &init, &process)
        }
        Err(error) => {
            caisson_wire::send(
                socket.as_fd(),
                &BootReply::Failed {
                    message: error.to_string(),
                },
                &[],
            )?;
            Err(error)
        }
    }
}

fn wire_io(error: &std::io::Error) -> caisson_wire::WireError {
    caisson_wire::WireError::Socket(nix::errno::Errno::from_raw(
        error.raw_os_error().unwrap_or(libc::EIO),
    ))
}

struct Sandbox {
    kernel: Arc<Kernel>,
    init: Guest,
    control: OwnedFd,
    console: Option<Console>,
    process: ProcessSpec,
}

fn stand_up(mut prepared: Prepared, mut boot: Boot) -> Result<Sandbox, BootError> {
    let mut prepared_mounts = prepared.host_mounts.take();
    caisson_sys::signal::prepare_wake();
    rustix::process::umask(Mode::empty());
    let view = prepared.view.clone();
    let kernel = Arc::new(make_kernel(prepared, &mut boot)?);
    view.connect(&kernel);
    super::mounts::confine_mounts(kernel.host_proc()).map_err(BootError::host(
        "confine devices to /dev and links to the container",
    ))?;
    let wants_mounts = boot.process.capabilities.bounding & Capability::SysAdmin.bit() != 0;
    let mounts = Mounts::new(wants_mounts, &kernel.root, kernel.host_proc(), &boot.covers)
        .map_err(BootError::host("look at the container's mounts"))?;
    let may_mount = mounts.enabled();
    kernel.mounts.get_or_init(|| mounts);
    check_user(&kernel, &boot.process)?;
    let cwd = working_directory(&boot.process)?;
    let console = boot
        .console
        .map(|size| -> Result<Console, Errno> {
            let console = console::open(&kernel, size, boot.process.uid)?;
            console::mount_as_dev_console(&kernel, &console)?;
            Ok(console)
        })
        .transpose()
        .map_err(BootError::host("open a terminal in /dev/pts"))?;
    take_own_null_device().map_err(BootError::host("replace the host's /dev/null"))?;
    give_stdio_to(boot.process.uid);
    let (init, mut boot, console) = spawn::init(&kernel, boot, console)?;
    // They are the guest's now; an end of a pipe must not stay open here.
    boot.preserved.clear();
    let kill_on_error = KillOnDrop(Some(init.pidfd.as_fd()));
    limits::apply(&kernel, init.pid, &boot.process)?;
    if let Some(context) = &init.proc_context {
        let mount = match prepared_mounts.take() {
            Some(place) => procfs::mount_context_in(place.as_fd(), context.as_fd()),
            None => procfs::mount_context(context.as_fd()),
        };
        let mount = mount.map_err(BootError::host("fsmount of the guest's procfs"))?;
        kernel.guest_proc.get_or_init(|| Arc::new(mount));
    }
    let fs = Fs {
        root: kernel.root.clone(),
        cwd,
        umask: boot.process.umask,
        mounts: None,
    };
    control::enter(&kernel, init.pid, &boot.process, Arc::new(Mutex::new(fs)))
        .map_err(BootError::host("read the init process' status"))?;
    kernel.gate.expect(init.pid);
    let listener = init
        .listener
        .as_ref()
        .map(OwnedFd::try_clone)
        .transpose()
        .map_err(BootError::Thread)?;
    control::take_in(&kernel, init.pid, listener)?;
    kernel
        .gate
        .wait(init.pid, FIRST_EXEC)
        .ok_or(BootError::Stuck(FIRST_EXEC.as_secs()))?;
    let checked = kernel.gate.with_waiting(&kernel, init.pid, |call| {
        let path = exec::find_in_path(call, &boot.process.args[0], &boot.process.env)?;
        exec::open_program(call, libc::AT_FDCWD, &path, false)
    });
    if let Err(errno) = checked {
        return Err(BootError::Program {
            program: boot.process.args[0].clone(),
            errno,
        });
    }
    view.settle_servers().map_err(BootError::Thread)?;
    crate::confine::confine(may_mount).map_err(BootError::host(
        "install the app kernel's own seccomp filter",
    ))?;
    kill_on_error.forget();
    Ok(Sandbox {
        kernel,
        init,
        control: boot.control,
        console,
        process: boot.process,
    })
}

fn make_kernel(prepared: Prepared, boot: &mut Boot) -> Result<Kernel, BootError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root =
        open(c"/", flags, Mode::empty()).map_err(BootError::host("open the container's /"))?;
    let mut secret = [0u8; 8];
    rustix::rand::getrandom(&mut secret, rustix::rand::GetRandomFlags::empty())
        .map_err(BootError::host("getrandom"))?;
    let identity =
        rustix::fs::fstat(&prepared.loader).map_err(BootError::host("fstat of the loader"))?;
    let host_proc = prepared
        .view
        .host_proc()
        .try_clone_to_owned()
        .map_err(BootError::Thread)?;
    let facts: SystemFacts = facts::collect(boot, prepared.ids.clone())
        .map_err(BootError::host("read facts of the host"))?;
    let strace = boot.strace.take();
    Ok(Kernel {
        id: boot.id.clone(),
        root: Directory::new(root),
        host_proc,
        ids: prepared.ids,
        guest_pids: OnceLock::new(),
        guest_proc: OnceLock::new(),
        births: Default::default(),
        table: Table::default(),
        mounts: OnceLock::new(),
        running: Default::default(),
        walkers: Default::default(),
        outside: Default::default(),
        namespaces: Default::default(),
        names: Arc::new(Mutex::new(Names {
            host: boot.hostname.clone(),
            domain: boot.domainname.clone(),
        })),
        loader: prepared.loader,
        loader_identity: (identity.st_dev, identity.st_ino),
        secret: u64::from_ne_bytes(secret),
        gateway: Gateway::new(boot.transport),
        all_calls: matches!(strace, Some((_, TraceScope::All))),
        strace: strace.map(|(log, _)| Strace::new(log.into())),
        shortfalls: Default::default(),
        devices: boot.devices.clone(),
        machine: machine(boot.personality),
        credentials_wanted: false.into(),
        personalities_differ: false.into(),
        ipc: Default::default(),
        aio: Default::default(),
        load: Default::default(),
        thread_names: Default::default(),
        gate: Gate::default(),
        parked: Default::default(),
        tracer: Default::default(),
        facts,
        synthetic: synthetic_devices(),
        watch: Watch::new().map_err(BootError::host("epoll_create1"))?,
    })
}

/// What uname(2) says under an execution domain.
fn machine(personality: Option<u32>) -> &'static str {
    const PER_LINUX32: u32 = 8;
    const PER_MASK: u32 = 0xff;
    match personality {
        Some(value) if value & PER_MASK == PER_LINUX32 => "i686",
        _ => "x86_64",
    }
}

/// The file systems that this process serves itself, where the configuration has them mounted.
fn synthetic_devices() -> Vec<(u64, i64)> {
    const FUSE_SUPER_MAGIC: i64 = 0x6573_5546;
    const PROC_SUPER_MAGIC: i64 = 0x9fa0;
    const SYSFS_MAGIC: i64 = 0x6265_6572;
    [(c"/proc", PROC_SUPER_MAGIC), (c"/sys", SYSFS_MAGIC)]
        .iter()
        .filter(|(path, _)| {
            rustix::fs::statfs(*path).is_ok_and(|stat| stat.f_type == FUSE_SUPER_MAGIC)
        })
        .filter_map(|(path, magic)| Some((rustix::fs::stat(*path).ok()?.st_dev, *magic)))
        .collect()
}

/// Every id of a process must be one of the container's user namespace.
pub(crate) fn check_user(kernel: &Kernel, process: &ProcessSpec) -> Result<(), BootError> {
    let own = &kernel.ids;
    let unmapped = |field, id| BootError::User { field, id };
    if !own.has_uid(process.uid) {
        return Err(unmapped("uid", process.uid));
    }
    if !own.has_gid(process.gid) {
        return Err(unmapped("gid", process.gid));
    }
    let wrong = |gid: &&u32| !own.setgroups() || !own.has_gid(**gid);
    match process.additional_gids.iter().find(wrong) {
        Some(gid) => Err(unmapped("additionalGids", *gid)),
        None => Ok(()),
    }
}

/// Like runc, make the working directory when the image has none.
fn working_directory(process: &ProcessSpec) -> Result<Arc<Directory>, BootError> {
    let path = &process.cwd;
    let failed = |errno| BootError::Cwd {
        path: path.clone(),
        errno,
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match open(path.as_str(), flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            use std::os::unix::fs::DirBuilderExt;
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(path)
                .map_err(|error| {
                    failed(
                        error
                            .raw_os_error()
                            .map_or(Errno::IO, Errno::from_raw_os_error),
                    )
                })?;
            open(path.as_str(), flags, Mode::empty())
                .map(Directory::new)
                .map_err(failed)
        }
        result => result.map(Directory::new).map_err(failed),
    }
}

/// Standard streams that are the host's null device become the container's own, where it has one: a guest that may
/// change the mode or owner of its standard input must not change the host's /dev/null with it. As runc does.
fn take_own_null_device() -> Result<(), Errno> {
    let is_null = |fd: BorrowedFd<'_>| {
        rustix::fs::fstat(fd).is_ok_and(|stat| {
            rustix::fs::FileType::from_raw_mode(stat.st_mode).is_char_device()
                && stat.st_rdev == rustix::fs::makedev(1, 3)
        })
    };
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let Ok(own) = open(c"/dev/null", flags, Mode::empty()) else {
        return Ok(());
    };
    if !is_null(own.as_fd()) {
        return Ok(());
    }
    rustix::fs::fcntl_setfl(&own, OFlags::RDWR)?;
    if is_null(rustix::stdio::stdin()) {
        rustix::stdio::dup2_stdin(&own)?;
    }
    if is_null(rustix::stdio::stdout()) {
        rustix::stdio::dup2_stdout(&own)?;
    }
    if is_null(rustix::stdio::stderr()) {
        rustix::stdio::dup2_stderr(&own)?;
    }
    Ok(())
}

/// A process that is not root must be able to reopen its own standard streams (`/dev/stdout`). As runc does,
/// except for /dev/null.
fn give_stdio_to(uid: u32) {
    for stream in [
        rustix::stdio::stdin(),
        rustix::stdio::stdout(),
        rustix::stdio::stderr(),
    ] {
        let Ok(stat) = rustix::fs::fstat(stream) else {
            continue;
        };
        if stat.st_uid != uid && stat.st_rdev != rustix::fs::makedev(1, 3) {
            // Some streams (a read-only file system) cannot be given away; the guest then cannot reopen them.
            rustix::fs::fchown(stream, Some(rustix::fs::Uid::from_raw(uid)), None).ok();
        }
    }
}

/// Ends the init process when the sandbox cannot be completed; with it goes its pid namespace.
struct KillOnDrop<'a>(Option<BorrowedFd<'a>>);

impl KillOnDrop<'_> {
    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for KillOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(pidfd) = self.0 {
            // It may have died by itself, which is just as well.
            caisson_sys::descriptor::pidfd_send_signal(pidfd, libc::SIGKILL).ok();
            tracing::debug!(
                pidfd = pidfd.as_raw_fd(),
                "ended the init process of an incomplete sandbox"
            );
        }
    }
}
