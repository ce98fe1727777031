//! Mount namespaces that guests make, mount_namespaces(7).
//!
//! Each is one of the host's, a copy of that which its maker was in, and is kept by a thread of its own. The walk does not
//! depend on who is in which namespace: it follows from the directories that a process stands on, and these are
//! in the copy. Only calls on mounts are made by the keeper ([`within`]). With the last process in it the namespace goes.
//!
//! Must never: let what the container started with be taken off in a copy. A mount that a guest made is a guest's in the copy
//! as well where it can be seen there; all others count as the container's.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use caisson_sys::namespace::{Namespaces, unshare};
use caisson_sys::path::set_cwd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;

use super::succession::Succession;
use super::{MountId, clone_of, of};
use crate::call::Call;
use crate::kernel::Kernel;
use crate::namespaces::File;
use crate::servant::Servant;
use crate::task::{Directory, Fs, Thread, lock};
use crate::threads;
use crate::transport::{Incoming, Transport};

/// How many a container may have at a time: each copies all mounts.
pub(super) const MOST: usize = 256;

/// `sandbox/kernel/src/park.rs` has as much for calls.
const KEEPER_STACK_BYTES: usize = 128 << 10;

/// A namespace other than the container's own.
#[derive(Debug)]
pub struct Namespace {
    /// Not the host's number; the container's own is 0.
    pub number: u64,
    /// Host thread id of the keeper.
    pub keeper: i32,
    /// Where paths of mounts begin: the root of whoever made it, or what was pivoted to.
    root: Mutex<Arc<Directory>>,
    /// That of the host's namespace in /proc/PID/ns.
    pub file: File,
    /// How often its mounts have changed.
    pub events: AtomicU64,
    /// It stands for the container's own.
    pub succession: Option<Succession>,
    jobs: SyncSender<Job>,
}

struct Job {
    transport: Arc<dyn Transport>,
    thread: Arc<Thread>,
    incoming: Incoming,
    /// It sends what comes of it to whoever waits for that.
    work: Box<dyn FnOnce(&mut Call<'_>) + Send>,
}

/// Where a process stands in a namespace that was made for it.
struct Place {
    keeper: i32,
    file: File,
    root: Arc<Directory>,
    cwd: Arc<Directory>,
}

impl Namespace {
    pub fn root(&self) -> Arc<Directory> {
        lock(&self.root).clone()
    }

    pub fn set_root(&self, root: Arc<Directory>) {
        *lock(&self.root) = root;
    }

    /// Have the keeper do this: a handler, or part of one.
    pub(super) fn run<R: Send + 'static>(
        &self,
        call: &Call<'_>,
        work: impl FnOnce(&mut Call<'_>) -> Result<R, Errno> + Send + 'static,
    ) -> Result<R, Errno> {
        let (answer, answered) = sync_channel(1);
        let job = Job {
            transport: call.transport.clone(),
            thread: call.thread.clone(),
            incoming: call.incoming,
            work: Box::new(move |call| drop(answer.send(work(call)))),
        };
        self.jobs.send(job).map_err(|_| Errno::IO)?;
        answered.recv().map_err(|_| Errno::IO)?
    }
}

/// A thread in the container's own namespace, which copies mounts of it for keepers: nobody else may.
#[derive(Debug)]
pub(super) struct Copier(SyncSender<(OwnedFd, SyncSender<Result<OwnedFd, Errno>>)>);

impl Copier {
    /// To be started by a thread of that namespace.
    fn start(kernel: &Arc<Kernel>) -> Result<Copier, Errno> {
        let kernel = kernel.clone();
        let (asked, wanted) = sync_channel::<(OwnedFd, SyncSender<_>)>(0);
        threads::start("caisson-copier", KEEPER_STACK_BYTES, move || {
            let mut servant = Servant::enlist(&kernel);
            for (mount, answer) in wanted {
                let copied = match &mut servant {
                    Ok(servant) => servant
                        .assume_self()
                        .and_then(|()| clone_of(mount.as_fd(), OpenTreeFlags::AT_RECURSIVE)),
                    Err(error) => Err(*error),
                };
                // Whoever asked waits for it.
                let _ = answer.send(copied);
            }
        })
        .map_err(|_| Errno::AGAIN)?;
        Ok(Copier(asked))
    }

    pub(super) fn copy(&self, mount: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
        let mount = mount.try_clone_to_owned().map_err(|_| Errno::NFILE)?;
        let (answer, copied) = sync_channel(1);
        self.0.send((mount, answer)).map_err(|_| Errno::IO)?;
        copied.recv().map_err(|_| Errno::IO)?
    }
}

/// Run a handler in the mount namespace of the caller.
pub fn within<R: Send + 'static>(
    call: &mut Call<'_>,
    work: fn(&mut Call<'_>) -> Result<R, Errno>,
) -> Result<R, Errno> {
    if let Some(successor) = call.kernel.mounts().successor() {
        super::succession::follow(call, &successor);
    }
    match call.thread.with_fs(|fs| fs.mounts.clone()) {
        None => work(call),
        Some(namespace) => namespace.run(call, work),
    }
}

/// A copy of the namespace that this thread is in, and where the calling process stands in it. `ENOSPC` when there are
/// too many.
pub fn copy(call: &mut Call<'_>) -> Result<Fs, Errno> {
    let stand = call.thread.with_fs(|fs| (fs.root.clone(), fs.cwd.clone()));
    let (namespace, cwd) = establish(call, stand, |_| None)?;
    call.kernel.namespaces.add_mounts(&namespace)?;
    Ok(Fs {
        root: namespace.root(),
        cwd,
        umask: call.thread.with_fs(|fs| fs.umask),
        mounts: Some(namespace),
    })
}

/// A copy of the container's own, to stand for it. This thread must be in that.
pub(super) fn successor(call: &Call<'_>) -> Result<Arc<Namespace>, Errno> {
    let root = call.kernel.root.clone();
    let (namespace, _) = establish(call, (root.clone(), root), |root| {
        Some(Succession::of(root))
    })?;
    let events = call.kernel.mounts().events(None);
    namespace.events.store(events, Ordering::Release);
    Ok(namespace)
}

/// A copy of the namespace that this thread is in, whose root is that of `stand`, and the place of the other directory there.
fn establish(
    call: &Call<'_>,
    stand: (Arc<Directory>, Arc<Directory>),
    succession: fn(&Arc<Directory>) -> Option<Succession>,
) -> Result<(Arc<Namespace>, Arc<Directory>), Errno> {
    if call.thread.with_fs(|fs| fs.mounts.is_none()) && call.kernel.mounts().copier.get().is_none()
    {
        let copier = Copier::start(call.kernel)?;
        // Another thread may have been faster; its copier does.
        let _ = call.kernel.mounts().copier.set(copier);
    }
    let number = admit(call.kernel)?;
    let place = found(call, number, stand);
    if place.is_err() {
        call.kernel.mounts().forget_namespace(number);
    }
    let (place, jobs) = place?;
    let namespace = Arc::new(Namespace {
        number,
        keeper: place.keeper,
        succession: succession(&place.root),
        root: Mutex::new(place.root),
        file: place.file,
        events: AtomicU64::default(),
        jobs,
    });
    Ok((namespace, place.cwd))
}

/// A number for one more.
fn admit(kernel: &Kernel) -> Result<u64, Errno> {
    /// With so many, a look at who is in them is worth it.
    const MANY: usize = 32;
    const PAUSE: Duration = Duration::from_millis(10);
    const PAUSES: usize = 10;
    if kernel.mounts().namespaces() >= MANY {
        kernel.forget_the_unborn();
    }
    let mut admitted = kernel.mounts().admit_namespace();
    for _ in 0..PAUSES {
        if admitted.is_ok() {
            break;
        }
        // Keepers end a moment later.
        std::thread::sleep(PAUSE);
        admitted = kernel.mounts().admit_namespace();
    }
    admitted
}

/// Start the keeper, which begins in the namespace of the thread that makes it.
fn found(
    call: &Call<'_>,
    number: u64,
    (root, cwd): (Arc<Directory>, Arc<Directory>),
) -> Result<(Place, SyncSender<Job>), Errno> {
    let kernel = call.kernel.clone();
    let (jobs, received) = sync_channel(0);
    let (ready, place) = sync_channel(1);
    threads::start("caisson-mounts", KEEPER_STACK_BYTES, move || {
        caisson_sys::signal::block_wake(false);
        let mut servant = match Servant::enlist(&kernel) {
            Ok(servant) => servant,
            Err(error) => return drop(ready.send(Err(error))),
        };
        let place = enter_copy(&kernel, &mut servant, number, &root, &cwd);
        let entered = place.is_ok();
        // Nobody but the keeper may hold these, or the copied namespace would outlive its processes.
        drop((root, cwd));
        let told = ready.send(place).is_ok();
        if entered && told {
            keep(&kernel, servant, &received);
            kernel.mounts().forget_namespace(number);
        }
    })
    .map_err(|_| Errno::AGAIN)?;
    let place = place.recv().map_err(|_| Errno::AGAIN)??;
    Ok((place, jobs))
}

/// Serve until the last process is gone.
fn keep(kernel: &Arc<Kernel>, mut servant: Servant, jobs: &Receiver<Job>) {
    for job in jobs {
        let mut call = Call {
            kernel,
            transport: &job.transport,
            thread: job.thread,
            servant: &mut servant,
            incoming: job.incoming,
            line: None,
        };
        (job.work)(&mut call);
    }
    let tid = rustix::thread::gettid().as_raw_nonzero().get();
    kernel.walkers.unregister(tid as u32);
}

/// unshare(2): the host kernel puts this thread's root and working directory into the copy.
fn enter_copy(
    kernel: &Kernel,
    servant: &mut Servant,
    number: u64,
    root: &Arc<Directory>,
    cwd: &Arc<Directory>,
) -> Result<Place, Errno> {
    servant.assume_self()?;
    servant.stand_in(root)?;
    let before = visible(kernel)?;
    set_cwd(cwd.as_fd())?;
    unshare(Namespaces::MOUNT)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |path| rustix::fs::open(path, flags, Mode::empty()).map(Directory::new);
    let (root, cwd) = (open(c"/")?, open(c".")?);
    servant.stand_in(&root)?;
    kernel
        .mounts()
        .inherit(number, &before, &visible(kernel)?)?;
    Ok(Place {
        keeper: rustix::thread::gettid().as_raw_nonzero().get(),
        file: File::of_thread(kernel, "mnt")?,
        root,
        cwd,
    })
}

/// The mounts that can be reached from this thread's root, by where they are; not those that others cover.
fn visible(kernel: &Kernel) -> Result<HashMap<Vec<u8>, MountId>, Errno> {
    let table = crate::task::read_proc(kernel.host_proc(), "thread-self/mountinfo")?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let look = |line: &str| {
        let point = crate::boot::unescape(line.split(' ').nth(4)?);
        let path = CString::new(point.clone()).ok()?;
        let fd = rustix::fs::open(path, flags, Mode::empty()).ok()?;
        let mounted = of(fd.as_fd()).ok()?;
        mounted.is_root.then_some((point, mounted.id))
    };
    Ok(table.lines().filter_map(look).collect())
}
