//! Changes of mounts that exist, and their end.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use caisson_sys::mount_attributes::{self, Attributes, Reach};
use caisson_sys::path::set_cwd;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount_change, mount_remount};

use super::Request;
use super::attach::TMPFS_OPTIONS;
use crate::call::Call;
use crate::mounts;
use crate::mounts::table::{self, Row};
use crate::reply::Reply;
use crate::task::{Directory, Fs, lock};

/// The attributes that flags of mount(2) stand for. As there, access times are relative if nothing else is said.
pub(super) fn attributes(flags: u64) -> Attributes {
    let mut all = Attributes::NONE;
    for (flag, attribute) in [
        (libc::MS_RDONLY, Attributes::RDONLY),
        (libc::MS_NOSUID, Attributes::NOSUID),
        (libc::MS_NODEV, Attributes::NODEV),
        (libc::MS_NOEXEC, Attributes::NOEXEC),
        (libc::MS_NODIRATIME, Attributes::NODIRATIME),
        (libc::MS_NOATIME, Attributes::NOATIME),
        (1 << 8, Attributes::NOSYMFOLLOW),
    ] {
        if flags & flag != 0 {
            all = all.with(attribute);
        }
    }
    if flags & libc::MS_STRICTATIME != 0 && flags & libc::MS_NOATIME == 0 {
        all = all.with(Attributes::STRICTATIME);
    }
    all
}

/// `MS_REMOUNT`: of one mount (with `MS_BIND`), or of a file system that a guest made.
pub(super) fn remount(call: &mut Call<'_>, request: &Request) -> Result<Reply, Errno> {
    let target = request.target.as_fd();
    let mounted = mounts::of(target)?;
    if !mounted.is_root {
        return Err(Errno::INVAL);
    }
    let made = call.kernel.mounts().made(mounted.id);
    if request.flags & libc::MS_BIND == 0 {
        let own = made.is_some_and(|made| made.own);
        return if own {
            reconfigure(call, request)
        } else {
            Err(Errno::PERM)
        };
    }
    let locked = call.kernel.mounts().locked(target)?;
    let wanted = attributes(request.flags);
    // Whether devices count is never for a guest to say.
    if !wanted.with(Attributes::NODEV).contains(locked) {
        return Err(Errno::PERM);
    }
    call.servant.assume_self()?;
    mount_attributes::change(target, Reach::Mount, wanted, Attributes::ALL_BUT_NODEV)?;
    Ok(Reply::ZERO)
}

/// Options of a tmpfs: its size, and whether it can be written.
fn reconfigure(call: &mut Call<'_>, request: &Request) -> Result<Reply, Errno> {
    let data = request.data.to_str().map_err(|_| Errno::INVAL)?;
    let sound = data
        .split(',')
        .filter(|option| !option.is_empty())
        .all(|option| {
            let key = option.split('=').next().unwrap_or(option);
            TMPFS_OPTIONS.contains(&key)
        });
    if !sound {
        return Err(Errno::INVAL);
    }
    call.servant.assume_self()?;
    let link = link_of(call, request.target.as_fd())?;
    let kept = libc::MS_RDONLY
        | libc::MS_NOSUID
        | libc::MS_NOEXEC
        | libc::MS_NOATIME
        | libc::MS_NODIRATIME
        | libc::MS_RELATIME
        | libc::MS_STRICTATIME;
    let flags = MountFlags::from_bits_truncate((request.flags & kept) as u32) | MountFlags::NODEV;
    mount_remount(link, flags, &request.data)?;
    Ok(Reply::ZERO)
}

/// `MS_SHARED` and its like. Nothing of it leaves the app kernel's mount namespace.
pub(super) fn propagation(call: &mut Call<'_>, request: &Request) -> Result<Reply, Errno> {
    let kinds = libc::MS_SHARED | libc::MS_PRIVATE | libc::MS_SLAVE | libc::MS_UNBINDABLE;
    let kind = request.flags & !(libc::MS_REC | libc::MS_SILENT);
    if kind & !kinds != 0 || !kind.is_power_of_two() || !mounts::of(request.target.as_fd())?.is_root
    {
        return Err(Errno::INVAL);
    }
    call.servant.assume_self()?;
    let link = link_of(call, request.target.as_fd())?;
    let bits = (request.flags & (kinds | libc::MS_REC)) as u32;
    mount_change(link, MountPropagationFlags::from_bits_retain(bits))?;
    Ok(Reply::ZERO)
}

/// Our own descriptor's link, below the working directory.
fn link_of(call: &Call<'_>, fd: BorrowedFd<'_>) -> Result<String, Errno> {
    set_cwd(call.kernel.host_proc())?;
    Ok(format!("thread-self/fd/{}", fd.as_raw_fd()))
}

/// With a tree goes what is mounted in it, and where that is shared, what its peers have there: copies of what the container
/// started with must take nothing of that with them. So a tree that has any is shared with nobody at its end.
fn keep_at_home(call: &Call<'_>, target: BorrowedFd<'_>, path: &[u8]) -> Result<(), Errno> {
    let rows = table::rows(call.kernel.host_proc(), "thread-self")?;
    let is_first = |row: &Row| row.is_below(path) && call.kernel.mounts().is_first(row);
    if !rows.iter().any(is_first) {
        return Ok(());
    }
    let link = link_of(call, target)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change(link, private)
}

/// Whether a guest has mounted anything in this tree, which it would not find without what came with it, or stands there.
fn has_use(call: &Call<'_>, path: &[u8]) -> Result<bool, Errno> {
    let rows = table::rows(call.kernel.host_proc(), "thread-self")?;
    let inside = |row: &&Row| row.is_below(path) || row.point == path;
    let inside: Vec<&Row> = rows.iter().filter(inside).collect();
    let mounts = call.kernel.mounts();
    if inside.iter().any(|row| !mounts.is_first(row)) {
        return Ok(true);
    }
    let stands = |directory: &Directory| {
        let mount = mounts::row_id(directory.as_fd());
        mount.is_ok_and(|mount| inside.iter().any(|row| row.id == mount))
    };
    let all = call.kernel.table.stands();
    Ok(all.iter().any(|fs| {
        let Fs { root, cwd, .. } = lock(fs).clone();
        stands(&root) || stands(&cwd)
    }))
}

/// Unmount what a guest made.
pub(super) fn unmount(
    call: &mut Call<'_>,
    target: OwnedFd,
    flags: UnmountFlags,
) -> Result<Reply, Errno> {
    let mounted = mounts::of(target.as_fd())?;
    call.servant.assume_self()?;
    let (own_root, _) = super::namespace(call);
    call.servant.stand_in(&own_root)?;
    let path = call.kernel.path_of(target.as_fd())?;
    if flags.contains(UnmountFlags::DETACH) {
        keep_at_home(call, target.as_fd(), &path)?;
    }
    let namespace = call.thread.with_fs(|fs| fs.mounts.clone());
    if let Some(succession) = namespace.as_ref().and_then(|one| one.succession.as_ref()) {
        succession.release(mounted.id);
    }
    if path == b"/" {
        // Over the root: what was root before pivot_root(".", ".").
        set_cwd(target.as_fd())?;
        drop(target);
        rustix::mount::unmount(c".", flags)?;
    } else {
        drop(target);
        take_off(call, (&own_root, &path), mounted.id, flags)?;
    }
    call.kernel.mounts().forget(mounted.id);
    Ok(Reply::ZERO)
}

/// So often processes that have ended are looked for where a mount is busy.
const LOOKS: usize = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

/// A process that has ended may hold the mount here a moment longer than for its parent, which has waited for it.
fn unmount_once_free(call: &Call<'_>, name: &[u8], flags: UnmountFlags) -> Result<(), Errno> {
    for _ in 0..LOOKS {
        match rustix::mount::unmount(name, flags) {
            Err(Errno::BUSY) => call.kernel.forget_the_dead(),
            result => return result,
        }
        match rustix::mount::unmount(name, flags) {
            // Another thread may be looking after it.
            Err(Errno::BUSY) => std::thread::sleep(BETWEEN_LOOKS),
            result => return result,
        }
    }
    Err(Errno::BUSY)
}

/// Unmount what is at a path. The mount is named by its directory's parent, because an open descriptor of it makes it
/// busy; a directory that something is mounted on cannot be renamed meanwhile, and other mounts wait.
fn take_off(
    call: &mut Call<'_>,
    (root, path): (&Directory, &[u8]),
    id: u64,
    flags: UnmountFlags,
) -> Result<(), Errno> {
    let at = path
        .iter()
        .rposition(|byte| *byte == b'/')
        .ok_or(Errno::INVAL)?;
    let (parent, name) = (&path[1..at.max(1)], &path[at + 1..]);
    let place = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let how = ResolveFlags::NO_SYMLINKS;
    let parent = if parent.is_empty() {
        openat(root.as_fd(), c".", place, Mode::empty())?
    } else {
        openat2(root.as_fd(), parent, place, Mode::empty(), how)?
    };
    let look = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let now = mounts::of(openat(&parent, name, look, Mode::empty())?.as_fd())?;
    if now.id != id {
        return Err(Errno::INVAL);
    }
    set_cwd(parent.as_fd())?;
    let plain = UnmountFlags::NOFOLLOW;
    let done = unmount_once_free(call, name, flags | plain);
    let made = call.kernel.mounts().made(id);
    let covered = made.is_some_and(|made| made.covered);
    if done != Err(Errno::BUSY) || !covered || flags | plain != plain || has_use(call, path)? {
        return done;
    }
    // Nothing but what came with it keeps it busy.
    set_cwd(parent.as_fd())?;
    rustix::mount::unmount(name, plain | UnmountFlags::DETACH)
}
