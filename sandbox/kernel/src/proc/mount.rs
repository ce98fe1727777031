//! Mounts a synthetic tree and starts the threads that serve it.
//!
//! The mount is a FUSE mount without any helper program: /dev/fuse is opened, mount(2) is called, and two small
//! threads answer. When this process dies the descriptor closes and every pending and later request fails.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use caisson_sys::descriptor;
use nix::mount::{MntFlags, MsFlags};

use super::procfs::ProcTree;
use super::server::{Server, Worker};
use super::sysfs::SysTree;
use super::tree::Tree;
use super::view::Guests;

/// Serving needs little stack and the whole app kernel is meant to stay within a few MiB.
const STACK_BYTES: usize = 128 << 10;

const LONGEST_SETTLING: Duration = Duration::from_secs(5);

/// Which tree to mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Proc,
    Sys(Protection),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    ReadOnly,
    Writable,
}

/// The threads behind a mount. Dropping it changes nothing: they end when the mount and every file of it are gone.
#[derive(Debug)]
pub struct ServerHandle {
    threads: Vec<(JoinHandle<()>, Arc<Worker>)>,
}

impl ServerHandle {
    /// Unmounts, for callers that outlive the mount.
    pub fn unmount(&self, target: &Path) -> io::Result<()> {
        Ok(nix::mount::umount2(target, MntFlags::MNT_DETACH)?)
    }

    /// Lets every thread enter the namespaces of the guest. To be called once the guest init exists and before
    /// setns(2) is taken from this process; `caisson_sys::signal::prepare_wake` must have been called.
    pub fn settle(&self) -> io::Result<()> {
        let deadline = Instant::now() + LONGEST_SETTLING;
        for (_, worker) in &self.threads {
            while !worker.is_settled() {
                if Instant::now() > deadline {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                // Again and again: the thread may be just about to wait.
                worker.wake();
                thread::sleep(Duration::from_micros(50));
            }
        }
        Ok(())
    }

    /// Have the threads ended?
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(|(thread, _)| thread.is_finished())
    }
}

/// Mounts the tree of `kind` at the directory `target` and serves it from threads of this process, through `device`
/// if /dev/fuse has been opened for it already.
pub fn mount(
    target: &Path,
    kind: Kind,
    device: Option<OwnedFd>,
    guests: Arc<dyn Guests>,
) -> io::Result<ServerHandle> {
    match kind {
        // Its contents can depend on a second reader, see `server`; those of /sys never touch guest memory.
        Kind::Proc => {
            let tree = ProcTree::new(Arc::clone(&guests));
            let how = How {
                name: "proc",
                flags: MsFlags::empty(),
                threads: 2,
                device,
            };
            start(target, how, guests, tree)
        }
        Kind::Sys(protection) => {
            let flags = match protection {
                Protection::ReadOnly => MsFlags::MS_RDONLY,
                Protection::Writable => MsFlags::empty(),
            };
            let tree = SysTree::new(Arc::clone(&guests));
            let how = How {
                name: "sysfs",
                flags,
                threads: 1,
                device,
            };
            start(target, how, guests, tree)
        }
    }
}

struct How {
    name: &'static str,
    flags: MsFlags,
    threads: usize,
    device: Option<OwnedFd>,
}

/// The mount is made by its first serving thread, in a descriptor table that only its servers share. A thread of
/// this process that is killed while it waits for an answer holds the other table open, and with it would hold the
/// device: the connection would never end, and neither would the wait.
fn start<T: Tree>(
    target: &Path,
    how: How,
    guests: Arc<dyn Guests>,
    tree: T,
) -> io::Result<ServerHandle> {
    let (name, threads) = (how.name, how.threads);
    // Its descriptors are those of the other table: no server may be the last to let go of it.
    std::mem::forget(Arc::clone(&guests));
    let (tell, told) = mpsc::sync_channel(1);
    let target = target.to_owned();
    let worker = Arc::<Worker>::default();
    let own = Arc::clone(&worker);
    let first = builder(name).spawn(move || {
        let stand_up = || -> io::Result<_> {
            let given = how.device.as_ref().map(AsFd::as_fd);
            let keep: Vec<BorrowedFd<'_>> = given.into_iter().chain([guests.host_proc()]).collect();
            descriptor::own_table(&keep)?;
            let device = match how.device {
                Some(device) => device,
                None => open_device()?,
            };
            mount_device(&target, name, how.flags, &device)?;
            let server = Server::new(device, tree);
            let others = (1..threads)
                .map(|_| another(name, &server))
                .collect::<io::Result<Vec<_>>>();
            if others.is_err() {
                let _ = nix::mount::umount2(&target, MntFlags::MNT_DETACH);
            }
            Ok((server, others?))
        };
        match stand_up() {
            Ok((server, others)) => {
                // The one who waits for this cannot be gone.
                let _ = tell.send(Ok(others));
                server.run(&own);
            }
            Err(error) => {
                let _ = tell.send(Err(error));
            }
        }
    })?;
    let mut all = told
        .recv()
        .map_err(|_| io::Error::other("a serving thread ended at once"))??;
    all.push((first, worker));
    Ok(ServerHandle { threads: all })
}

fn builder(name: &str) -> thread::Builder {
    thread::Builder::new()
        .name(format!("caisson-{name}"))
        .stack_size(STACK_BYTES)
}

fn another<T: Tree>(
    name: &str,
    server: &Arc<Server<T>>,
) -> io::Result<(JoinHandle<()>, Arc<Worker>)> {
    let (server, worker) = (Arc::clone(server), Arc::<Worker>::default());
    let own = Arc::clone(&worker);
    builder(name)
        .spawn(move || server.run(&own))
        .map(|thread| (thread, worker))
}

/// Its mount has to be made in the user namespace that has opened it.
pub fn open_device() -> io::Result<OwnedFd> {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .map_err(|error| io::Error::new(error.kind(), format!("/dev/fuse: {error}")))?;
    Ok(device.into())
}

fn mount_device(target: &Path, name: &str, flags: MsFlags, device: &OwnedFd) -> io::Result<()> {
    let flags = flags | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let options = format!(
        "fd={},rootmode=40555,user_id=0,group_id=0,default_permissions,allow_other",
        device.as_raw_fd()
    );
    nix::mount::mount(
        Some(name),
        target,
        Some(format!("fuse.{name}").as_str()),
        flags,
        Some(options.as_str()),
    )?;
    Ok(())
}
