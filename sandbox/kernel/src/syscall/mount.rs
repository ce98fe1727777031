//! mount(2), umount2(2), pivot_root(2), statmount(2), listmount(2), and what `CLONE_NEWNS` makes.
//!
//! A guest with CAP_SYS_ADMIN, in a container whose configuration has it, changes the container's tree: what it
//! makes is real in the app kernel's mount namespace ([`crate::mounts`]) and nowhere else. To everybody else the
//! tree is fixed.

mod attach;
mod change;
mod listing;
mod pivot;

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use crate::call::Call;
use crate::mounts;
use crate::reply::Reply;
use crate::task::{Capability, Directory, Fs};

/// Longest filesystem type, source and options, a page each in Linux.
const STRING_MAX: usize = 4096;

/// What mount(2) was given.
#[derive(Debug)]
struct Request {
    source: Option<CString>,
    kind: Option<CString>,
    flags: u64,
    data: CString,
    /// Opened for its path alone.
    target: OwnedFd,
}

pub fn mount(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let done = mounts::within(call, mount_here)?;
    changed(call);
    Ok(done)
}

pub fn umount2(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let done = mounts::within(call, unmount_here)?;
    changed(call);
    Ok(done)
}

pub fn pivot_root(call: &mut Call<'_>) -> Result<Reply, Errno> {
    require_right(call)?;
    let done = pivot::pivot(call)?;
    changed(call);
    Ok(done)
}

pub fn statmount(call: &mut Call<'_>) -> Result<Reply, Errno> {
    mounts::within(call, listing::stat)
}

pub fn listmount(call: &mut Call<'_>) -> Result<Reply, Errno> {
    mounts::within(call, listing::list)
}

/// Tell those who poll the list of mounts.
fn changed(call: &Call<'_>) {
    let namespace = call.thread.with_fs(|fs| fs.mounts.clone());
    call.kernel.mounts().changed(namespace.as_deref());
}

/// `CLONE_NEWNS`: where the caller, or a child of its, stands in a copy of its namespace.
pub fn copy_namespace(call: &mut Call<'_>) -> Result<Fs, Errno> {
    require_right(call)?;
    mounts::within(call, mounts::copy_namespace)
}

/// Arguments are read in Linux's order, so that a wrong pointer is `EFAULT` here as there.
fn mount_here(call: &mut Call<'_>) -> Result<Reply, Errno> {
    const MAGIC: u64 = 0xc0ed_0000;
    const MAGIC_MASK: u64 = 0xffff_0000;
    let [source, _, kind, flags, data, _] = call.incoming.args;
    let kind = optional(call, kind)?;
    let source = optional(call, source)?;
    let data = match data {
        0 => CString::default(),
        address => text(call, address)?,
    };
    let target = call.path(1)?;
    let target = open_path(call, &target, OFlags::empty())?;
    require_right(call)?;
    // Old programs mark the flags; the mark means nothing.
    let flags = if flags & MAGIC_MASK == MAGIC {
        flags & !MAGIC_MASK
    } else {
        flags
    };
    let request = Request {
        source,
        kind,
        flags,
        data,
        target,
    };
    let has = |flag: libc::c_ulong| flags & flag != 0;
    if has(libc::MS_REMOUNT) {
        return change::remount(call, &request);
    }
    if has(libc::MS_BIND) {
        return attach::bind(call, &request);
    }
    if has(libc::MS_SHARED | libc::MS_PRIVATE | libc::MS_SLAVE | libc::MS_UNBINDABLE) {
        return change::propagation(call, &request);
    }
    if has(libc::MS_MOVE) {
        return attach::move_here(call, &request);
    }
    attach::new(call, &request)
}

fn unmount_here(call: &mut Call<'_>) -> Result<Reply, Errno> {
    const KNOWN: i32 =
        libc::MNT_FORCE | libc::MNT_DETACH | libc::MNT_EXPIRE | libc::UMOUNT_NOFOLLOW;
    let flags = call.int(1);
    if flags & !KNOWN != 0 {
        return Err(Errno::INVAL);
    }
    let follow = if flags & libc::UMOUNT_NOFOLLOW == 0 {
        OFlags::empty()
    } else {
        OFlags::NOFOLLOW
    };
    let path = call.path(0)?;
    let mut target = open_path(call, &path, follow)?;
    require_right(call)?;
    if is_here(&path) {
        target = uppermost(call, target)?;
    }
    let mounted = mounts::of(target.as_fd())?;
    if !mounted.is_root || call.kernel.mounts().made(mounted.id).is_none() {
        // Not a mount, or a locked one.
        return Err(Errno::INVAL);
    }
    let expire = libc::MNT_EXPIRE;
    if flags & expire != 0 && flags & (libc::MNT_FORCE | libc::MNT_DETACH) != 0 {
        return Err(Errno::INVAL);
    }
    change::unmount(call, target, UnmountFlags::from_bits_retain(flags as u32))
}

/// The working directory by no name: Linux means what is mounted over it, where a walk ends below.
fn is_here(path: &CStr) -> bool {
    let mut parts = path.to_bytes().split(|byte| *byte == b'/');
    !path.to_bytes().starts_with(b"/") && parts.all(|part| part.is_empty() || part == b".")
}

/// What there is in the place of a directory, mounted over it or itself. As it is where it has no place any more, and the root
/// of the namespace, over which there is what was its root before.
fn uppermost(call: &mut Call<'_>, directory: OwnedFd) -> Result<OwnedFd, Errno> {
    call.servant.assume_self()?;
    let (root, _) = namespace(call);
    call.servant.stand_in(&root)?;
    let path = call.kernel.path_of(directory.as_fd())?;
    let below = path.strip_prefix(b"/").filter(|below| !below.is_empty());
    let Some(below) = below else {
        return Ok(directory);
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let found = openat2(
        root.as_fd(),
        below,
        flags,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS,
    );
    Ok(found.unwrap_or(directory))
}

fn optional(call: &Call<'_>, address: u64) -> Result<Option<CString>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    call.string(address, STRING_MAX)
        .map(Some)
        .map_err(|e| if e == Errno::TOOBIG { Errno::INVAL } else { e })
}

/// Options: a page of which Linux takes as much as can be read.
fn text(call: &Call<'_>, address: u64) -> Result<CString, Errno> {
    let mut page = vec![0; STRING_MAX];
    let got = caisson_sys::memory::read(call.incoming.tid, address, &mut page)?;
    page.truncate(got);
    let end = page.iter().position(|byte| *byte == 0);
    page.truncate(end.unwrap_or(got));
    CString::new(page).map_err(|_| Errno::INVAL)
}

/// A path that does not exist is reported before the missing right, as in Linux.
fn open_path(call: &mut Call<'_>, path: &CString, how: OFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | how;
    call.on_path(libc::AT_FDCWD, path, |at, path: &CStr| {
        openat(at, path, flags, Mode::empty())
    })
}

/// Where the mounts of the caller's namespace begin, and its number.
fn namespace(call: &Call<'_>) -> (Arc<Directory>, u64) {
    match call.thread.with_fs(|fs| fs.mounts.clone()) {
        Some(namespace) => (namespace.root(), namespace.number),
        None => (call.kernel.root.clone(), 0),
    }
}

fn require_right(call: &Call<'_>) -> Result<(), Errno> {
    if call.kernel.mounts().enabled() && call.credentials().can(Capability::SysAdmin) {
        Ok(())
    } else {
        Err(Errno::PERM)
    }
}
