//! open(2), openat(2), openat2(2), creat(2).
//!
//! The file is opened by the app kernel with the guest's rights and put into the guest.

mod fifo;
mod memory;
mod terminal;

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use caisson_sys::file::access_at;
use caisson_sys::notify::Cloexec;
use rustix::fs::{
    FileType, Mode, OFlags, ResolveFlags, fcntl_setfl, fstat, openat as host_openat,
    openat2 as host_openat2,
};
use rustix::io::Errno;

use crate::boot::{DeviceAccess, DeviceKind, device_allowed};
use crate::call::{Call, Start};
use crate::reply::Reply;
use crate::servant::Identity;

/// Majors of terminals in devpts, linux/major.h.
const TERMINALS: std::ops::RangeInclusive<u32> = 136..=143;

/// A parsed request.
#[derive(Clone, Debug)]
struct Request {
    directory: i32,
    path: CString,
    flags: OFlags,
    mode: u32,
    resolve: ResolveFlags,
}

pub fn open(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let path = call.path(0)?;
    open_path(call, libc::AT_FDCWD, path, call.uint(1), call.uint(2))
}

pub fn creat(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let path = call.path(0)?;
    let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
    open_path(call, libc::AT_FDCWD, path, flags as u32, call.uint(1))
}

pub fn openat(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let path = call.path(1)?;
    open_path(call, call.int(0), path, call.uint(2), call.uint(3))
}

/// Unknown flags are ignored, as open(2) does.
fn open_path(
    call: &mut Call<'_>,
    directory: i32,
    path: CString,
    flags: u32,
    mode: u32,
) -> Result<Reply, Errno> {
    let flags = OFlags::from_bits_retain(flags & KNOWN_FLAGS);
    let creates = flags.contains(OFlags::CREATE) || flags.contains(OFlags::TMPFILE);
    let mode = if creates { mode & 0o7777 } else { 0 };
    run(
        call,
        Request {
            directory,
            path,
            flags,
            mode,
            resolve: ResolveFlags::empty(),
        },
    )
}

/// `VALID_OPEN_FLAGS`, include/linux/fcntl.h.
const KNOWN_FLAGS: u32 = (libc::O_ACCMODE
    | libc::O_CREAT
    | libc::O_EXCL
    | libc::O_NOCTTY
    | libc::O_TRUNC
    | libc::O_APPEND
    | libc::O_NONBLOCK
    | libc::O_SYNC
    | libc::O_DSYNC
    | libc::O_ASYNC
    | libc::O_DIRECT
    | 0o100000 // O_LARGEFILE
    | libc::O_DIRECTORY
    | libc::O_NOFOLLOW
    | libc::O_NOATIME
    | libc::O_CLOEXEC
    | libc::O_PATH
    | libc::O_TMPFILE) as u32;

/// The flags of an open file that F_SETFL changes, `SETFL_MASK` of fs/fcntl.c. It leaves all others.
const SETTABLE: OFlags = OFlags::from_bits_retain(
    (libc::O_APPEND | libc::O_NONBLOCK | libc::O_ASYNC | libc::O_DIRECT | libc::O_NOATIME) as u32,
);
/// `O_PATH_FLAGS`, include/linux/fcntl.h: what openat2(2) allows beside `O_PATH`, and open(2) looks at.
const PATH_FLAGS: u32 =
    (libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_PATH | libc::O_CLOEXEC) as u32;

pub fn openat2(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let (how, size) = (call.arg(2), call.arg(3));
    let known = size_of::<libc::open_how>() as u64;
    if size < known {
        return Err(Errno::INVAL);
    }
    if size > 4096 {
        return Err(Errno::TOOBIG);
    }
    let mut extra = vec![0u8; (size - known) as usize];
    call.read_bytes(how + known, &mut extra)?;
    if extra.iter().any(|byte| *byte != 0) {
        return Err(Errno::TOOBIG);
    }
    let how: libc::open_how = call.read(how)?;
    let path = call.path(1)?;
    let creates = how.flags & (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as u64 != 0;
    let path_only = how.flags & libc::O_PATH as u64 != 0;
    let sound = how.flags & !u64::from(if path_only { PATH_FLAGS } else { KNOWN_FLAGS }) == 0
        && (creates || how.mode == 0)
        && how.mode & !0o7777 == 0;
    let scopes = ResolveFlags::BENEATH | ResolveFlags::IN_ROOT;
    let resolve = ResolveFlags::from_bits(how.resolve)
        .filter(|resolve| sound && !resolve.contains(scopes))
        .ok_or(Errno::INVAL)?;
    let flags = OFlags::from_bits_retain(how.flags as u32);
    run(
        call,
        Request {
            directory: call.int(0),
            path,
            flags,
            mode: how.mode as u32,
            resolve,
        },
    )
}

fn run(call: &mut Call<'_>, request: Request) -> Result<Reply, Errno> {
    if request.path.is_empty() {
        return Err(Errno::NOENT);
    }
    if writes(request.flags) {
        refuse_running(call, &request)?;
    }
    match attempt(call, &request, Blocking::No) {
        Ok(file) => give(call, &request, file),
        // The writing end of a fifo that nobody reads: open(2) waits for a reader.
        Err(Errno::NXIO) if !request.flags.contains(OFlags::NONBLOCK) => {
            no_such_device(call, request)
        }
        Err(error) => Err(error),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blocking {
    No,
    Yes,
}

fn attempt(call: &mut Call<'_>, request: &Request, blocking: Blocking) -> Result<OwnedFd, Errno> {
    let mut flags = request.flags | OFlags::CLOEXEC;
    if request.flags.contains(OFlags::PATH) {
        // It overrides the others, and openat2(2) would refuse them.
        flags &= OFlags::from_bits_retain(PATH_FLAGS);
    } else {
        flags |= OFlags::NOCTTY;
        if blocking == Blocking::No {
            flags |= OFlags::NONBLOCK;
        }
    }
    let creates = flags.intersects(OFlags::CREATE | OFlags::TMPFILE);
    if creates {
        call.assume_mask();
    }
    let mode = Mode::from_raw_mode(if creates { request.mode } else { 0 });
    let resolve = request.resolve;
    let path = &request.path;
    let open = |at: BorrowedFd<'_>, path: &CStr| open_one(at, path, flags, mode, resolve);
    if resolve.contains(ResolveFlags::IN_ROOT) && request.directory != libc::AT_FDCWD {
        let start = Start::Fd(call.fd(request.directory)?);
        call.on_path_from(Identity::Filesystem, start, path, open)
    } else {
        call.on_path(request.directory, path, open)
    }
}

/// So many walks that others interfered with are begun again.
const RACES: usize = 128;

fn open_one(
    at: BorrowedFd<'_>,
    path: &CStr,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    if resolve.is_empty() {
        return host_openat(at, path, flags, mode);
    }
    let mut opened = host_openat2(at, path, flags, mode, resolve);
    // Linux gives up where something was renamed or mounted during a walk with "..", anywhere on the host: openat2(2). What
    // happens outside of the sandbox is nothing that a guest should have to reckon with.
    for _ in 0..RACES {
        if opened.as_ref().err() != Some(&Errno::AGAIN) || resolve.contains(ResolveFlags::CACHED) {
            break;
        }
        opened = host_openat2(at, path, flags, mode, resolve);
    }
    match opened {
        // A magic link was met, which is not to be followed, or would lead away: `nd_jump_link` of fs/namei.c.
        Err(Errno::REMOTE) if resolve.contains(ResolveFlags::NO_MAGICLINKS) => Err(Errno::LOOP),
        Err(Errno::REMOTE) if resolve.intersects(BOUNDS) => Err(Errno::XDEV),
        opened => opened,
    }
}

/// What a magic link breaks out of.
const BOUNDS: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::IN_ROOT)
    .union(ResolveFlags::NO_XDEV);

/// Check what was opened and hand it over.
fn give(call: &mut Call<'_>, request: &Request, file: OwnedFd) -> Result<Reply, Errno> {
    let cloexec = if request.flags.contains(OFlags::CLOEXEC) {
        Cloexec::Yes
    } else {
        Cloexec::No
    };
    if request.flags.contains(OFlags::PATH) {
        return give_path(call, file, cloexec);
    }
    let stat = fstat(&file)?;
    if call.kernel.synthetic_magic(stat.st_dev) == Some(libc::PROC_SUPER_MAGIC)
        && let Some(node) = crate::proc::memory_of_node(stat.st_ino)
    {
        return memory::open(call, node, request.flags).map(|file| Reply::Fd(file, cloexec));
    }
    call.kernel.namespaces.keep(stat.st_dev, stat.st_ino);
    let kind = FileType::from_raw_mode(stat.st_mode);
    let wants_nonblock = request.flags.contains(OFlags::NONBLOCK);
    match kind {
        FileType::CharacterDevice => {
            allowed(call, DeviceKind::Character, stat.st_rdev, request.flags)?
        }
        FileType::BlockDevice => allowed(call, DeviceKind::Block, stat.st_rdev, request.flags)?,
        FileType::RegularFile
            if writes(request.flags) && call.kernel.is_executed(stat.st_dev, stat.st_ino) =>
        {
            return Err(Errno::TXTBSY);
        }
        // The writing end opens without waiting only where there is a reader: then open(2) waits no longer.
        FileType::Fifo if !wants_nonblock && is_read_only(request.flags) => {
            return fifo::wait_for_writer(call, request.clone(), file);
        }
        _ => {}
    }
    // Otherwise sendfile(2) reads synthetic files through the page cache, where they are empty.
    let uncached = kind == FileType::RegularFile && call.kernel.is_synthetic(stat.st_dev);
    if !wants_nonblock || uncached {
        let mut status = request.flags & SETTABLE;
        status.set(OFlags::DIRECT, uncached || status.contains(OFlags::DIRECT));
        fcntl_setfl(&file, status)?;
    }
    if kind == FileType::CharacterDevice && TERMINALS.contains(&rustix::fs::major(stat.st_rdev)) {
        return give_terminal(call, file, request.flags, cloexec);
    }
    Ok(Reply::Fd(file, cloexec))
}

/// Hand over a terminal, which becomes the controlling one of a session leader that has none, unless the flags say
/// `O_NOCTTY`.
pub(super) fn give_terminal(
    call: &Call<'_>,
    file: OwnedFd,
    flags: OFlags,
    cloexec: Cloexec,
) -> Result<Reply, Errno> {
    if !flags.contains(OFlags::NOCTTY) && terminal::may_acquire(call)? {
        terminal::give(call, file, cloexec)
    } else {
        Ok(Reply::Fd(file, cloexec))
    }
}

/// A place in the tree, which is no way to what is there: any kind of file will do.
fn give_path(call: &mut Call<'_>, file: OwnedFd, cloexec: Cloexec) -> Result<Reply, Errno> {
    if call.kernel.all_calls {
        // What the guest is made to do for that is delivered too, to the thread that this one is.
        return call.park(move |_| Ok(Reply::Path(file, cloexec)));
    }
    Ok(Reply::Path(file, cloexec))
}

/// `ETXTBSY` for a program that runs, before opening it could cut it off or copy it up. Programs run by another name
/// are noticed once they are open.
fn refuse_running(call: &mut Call<'_>, request: &Request) -> Result<(), Errno> {
    let fresh = request.flags.contains(OFlags::CREATE | OFlags::EXCL);
    if fresh || !call.kernel.running.has_name(request.path.as_bytes()) {
        return Ok(());
    }
    let look = OFlags::PATH | OFlags::CLOEXEC | (request.flags & OFlags::NOFOLLOW);
    let resolve = request.resolve;
    let found = call.on_path(request.directory, &request.path, |at, path| {
        let found = open_one(at, path, look, Mode::empty(), resolve)?;
        access_at(found.as_fd(), c"", libc::W_OK, libc::AT_EMPTY_PATH)?;
        fstat(found)
    });
    let Ok(stat) = found else {
        // The opening itself will tell.
        return Ok(());
    };
    if call.kernel.is_executed(stat.st_dev, stat.st_ino) {
        return Err(Errno::TXTBSY);
    }
    Ok(())
}

/// Whether the flags ask for a change of the content. `O_PATH` overrides them.
fn writes(flags: OFlags) -> bool {
    !flags.contains(OFlags::PATH) && (!is_read_only(flags) || flags.contains(OFlags::TRUNC))
}

fn is_read_only(flags: OFlags) -> bool {
    flags.bits() & libc::O_ACCMODE as u32 == libc::O_RDONLY as u32
}

fn is_both_ways(flags: OFlags) -> bool {
    flags.bits() & libc::O_ACCMODE as u32 == libc::O_RDWR as u32
}

/// How the flags use a device.
fn access(flags: OFlags) -> DeviceAccess {
    if is_both_ways(flags) {
        DeviceAccess::READ | DeviceAccess::WRITE
    } else if is_read_only(flags) {
        DeviceAccess::READ
    } else {
        DeviceAccess::WRITE
    }
}

fn allowed(call: &Call<'_>, kind: DeviceKind, device: u64, flags: OFlags) -> Result<(), Errno> {
    // Terminals of the container's own devpts are its own.
    let own_terminal =
        kind == DeviceKind::Character && TERMINALS.contains(&rustix::fs::major(device));
    if own_terminal || device_allowed(&call.kernel.devices, kind, device, access(flags)) {
        Ok(())
    } else {
        Err(Errno::PERM)
    }
}

/// `ENXIO`: a fifo without a reader, /dev/tty without a terminal (ours), or a socket.
fn no_such_device(call: &mut Call<'_>, request: Request) -> Result<Reply, Errno> {
    let look = OFlags::PATH | OFlags::CLOEXEC | (request.flags & OFlags::NOFOLLOW);
    let resolve = request.resolve;
    let found = call.on_path(request.directory, &request.path, |at, path| {
        open_one(at, path, look, Mode::empty(), resolve)
    })?;
    let stat = fstat(&found)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => call.park(move |call| {
            let file = attempt(call, &request, Blocking::Yes)?;
            let cloexec = if request.flags.contains(OFlags::CLOEXEC) {
                Cloexec::Yes
            } else {
                Cloexec::No
            };
            Ok(Reply::Fd(file, cloexec))
        }),
        FileType::CharacterDevice if stat.st_rdev == rustix::fs::makedev(5, 0) => {
            let path = terminal::controlling(call)?;
            let request = Request {
                directory: libc::AT_FDCWD,
                path,
                resolve: ResolveFlags::empty(),
                ..request
            };
            let file = attempt(call, &request, Blocking::No)?;
            give(call, &request, file)
        }
        _ => Err(Errno::NXIO),
    }
}
