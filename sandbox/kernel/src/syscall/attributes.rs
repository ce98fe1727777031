//! Changing what is known of a file: chmod(2), chown(2), utimensat(2), truncate(2).

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};

use caisson_sys::file::{access_at, stat_at, truncate_path};
use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_NOW, Uid, chmodat, chownat,
    fchmod as host_fchmod, fchown as host_fchown, fstat, futimens, utimensat as host_utimensat,
};
use rustix::io::Errno;

use crate::call::Call;
use crate::reply::Reply;
use crate::task::Capability;

pub fn chmod(call: &mut Call<'_>) -> Result<Reply, Errno> {
    change_mode(call, libc::AT_FDCWD, 0, 0)
}

pub fn fchmodat(call: &mut Call<'_>) -> Result<Reply, Errno> {
    change_mode(call, call.int(0), 1, 0)
}

pub fn fchmodat2(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let flags = call.int(3);
    if flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0 {
        return Err(Errno::INVAL);
    }
    change_mode(call, call.int(0), 1, flags)
}

fn change_mode(
    call: &mut Call<'_>,
    directory: i32,
    path: usize,
    flags: i32,
) -> Result<Reply, Errno> {
    let mode = Mode::from_raw_mode(call.uint(path + 1) & 0o7777);
    let path = call.path(path)?;
    if path.is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
        return on_empty_path(call, directory, |fd| {
            caisson_sys::file::fchmodat2(fd, c"", mode.as_raw_mode(), libc::AT_EMPTY_PATH)
        });
    }
    if flags & libc::AT_SYMLINK_NOFOLLOW != 0 {
        call.on_path(directory, &path, |at, path| {
            caisson_sys::file::fchmodat2(at, path, mode.as_raw_mode(), libc::AT_SYMLINK_NOFOLLOW)
        })?;
    } else {
        call.on_path(directory, &path, |at, path| {
            chmodat(at, path, mode, AtFlags::empty())
        })?;
    }
    Ok(Reply::ZERO)
}

pub fn fchmod(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let mode = Mode::from_raw_mode(call.uint(1) & 0o7777);
    on_descriptor(call, call.int(0), |fd| host_fchmod(fd, mode))
}

fn on_descriptor(
    call: &mut Call<'_>,
    number: i32,
    operation: impl FnOnce(BorrowedFd<'_>) -> Result<(), Errno>,
) -> Result<Reply, Errno> {
    let fd = call.fd(number)?;
    call.assume()?;
    if made_natively(call, fd.as_fd())? {
        // To the host all guests are one user; who has the descriptor is taken for the owner.
        call.servant.assume_self()?;
    }
    operation(fd.as_fd())?;
    Ok(Reply::ZERO)
}

/// `AT_EMPTY_PATH`: as [`on_descriptor`], or on the working directory. The descriptor may be one of `O_PATH`.
fn on_empty_path(
    call: &mut Call<'_>,
    number: i32,
    operation: impl FnOnce(BorrowedFd<'_>) -> Result<(), Errno>,
) -> Result<Reply, Errno> {
    if number != libc::AT_FDCWD {
        return on_descriptor(call, number, operation);
    }
    let cwd = call.thread.cwd();
    call.assume()?;
    operation(cwd.as_fd())?;
    Ok(Reply::ZERO)
}

/// Whether a guest made the file behind a descriptor without the app kernel: a memfd, a pipe, a socket. Then it belongs
/// to the host user that is behind all guests.
fn made_natively(call: &Call<'_>, fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    Ok(fstat(fd)?.st_uid == call.kernel.ids.host_uid())
}

pub fn chown(call: &mut Call<'_>) -> Result<Reply, Errno> {
    change_owner(call, libc::AT_FDCWD, 0, 0)
}

pub fn lchown(call: &mut Call<'_>) -> Result<Reply, Errno> {
    change_owner(call, libc::AT_FDCWD, 0, libc::AT_SYMLINK_NOFOLLOW)
}

pub fn fchownat(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let flags = call.int(4);
    if flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0 {
        return Err(Errno::INVAL);
    }
    change_owner(call, call.int(0), 1, flags)
}

/// New owner and group; -1 leaves one as it is. `EINVAL` for ids that the container does not have.
fn owner(call: &Call<'_>, first: usize) -> Result<(Option<Uid>, Option<Gid>), Errno> {
    let id = |index: usize| Some(call.uint(index)).filter(|id| *id != u32::MAX);
    let (uid, gid) = (id(first), id(first + 1));
    let own = &call.kernel.ids;
    if uid.is_some_and(|uid| !own.has_uid(uid)) || gid.is_some_and(|gid| !own.has_gid(gid)) {
        return Err(Errno::INVAL);
    }
    Ok((uid.map(Uid::from_raw), gid.map(Gid::from_raw)))
}

fn change_owner(
    call: &mut Call<'_>,
    directory: i32,
    path: usize,
    flags: i32,
) -> Result<Reply, Errno> {
    let (uid, gid) = owner(call, path + 1)?;
    let path = call.path(path)?;
    if path.is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
        return on_empty_path(call, directory, |fd| {
            chownat(fd, c"", uid, gid, AtFlags::EMPTY_PATH)
        });
    }
    let flags = AtFlags::from_bits_retain((flags & libc::AT_SYMLINK_NOFOLLOW) as u32);
    call.on_path(directory, &path, |at, path| {
        chownat(at, path, uid, gid, flags)
    })?;
    Ok(Reply::ZERO)
}

pub fn fchown(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let (uid, gid) = owner(call, 1)?;
    let credentials = call.credentials();
    let may_keep = credentials.can(Capability::Chown)
        || (uid.is_none_or(|uid| uid.as_raw() == credentials.fsuid)
            && gid.is_none_or(|gid| credentials.in_group(gid.as_raw())));
    if !may_keep && made_natively(call, call.fd(call.int(0))?.as_fd())? {
        return Err(Errno::PERM);
    }
    on_descriptor(call, call.int(0), |fd| host_fchown(fd, uid, gid))
}

pub fn truncate(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let length = u64::try_from(call.arg(1) as i64).map_err(|_| Errno::INVAL)?;
    let path = call.path(0)?;
    let (limit, _) = caisson_sys::limit::get(call.process().pid, libc::RLIMIT_FSIZE)?;
    let (pid, tid) = (call.process().pid, call.incoming.tid);
    let kernel = call.kernel;
    call.on_path(libc::AT_FDCWD, &path, |at, path| {
        if kernel.running.has_name(path.to_bytes()) {
            let stat = stat_at(at, path, 0)?;
            if kernel.is_executed(stat.st_dev, stat.st_ino) {
                access_at(at, path, libc::W_OK, 0)?;
                return Err(Errno::TXTBSY);
            }
        }
        if length > limit && stat_at(at, path, 0)?.st_size < length as i64 {
            // The limit is the guest's, and so is the signal: setrlimit(2).
            caisson_sys::signal::send_to_thread(pid, tid, libc::SIGXFSZ)?;
            return Err(Errno::FBIG);
        }
        // Not through a descriptor: watchers would see it being closed.
        if path.to_bytes().first() != Some(&b'/') {
            caisson_sys::path::set_cwd(at)?;
        }
        truncate_path(path, length)
    })?;
    Ok(Reply::ZERO)
}

const NOW: Timestamps = Timestamps {
    last_access: Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW as _,
    },
    last_modification: Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW as _,
    },
};

pub fn utimensat(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let flags = call.int(3);
    if flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0 {
        return Err(Errno::INVAL);
    }
    let times = match call.arg(2) {
        0 => NOW,
        address => {
            let [access, modification]: [[i64; 2]; 2] = call.read(address)?;
            let spec = |[tv_sec, tv_nsec]: [i64; 2]| Timespec { tv_sec, tv_nsec };
            Timestamps {
                last_access: spec(access),
                last_modification: spec(modification),
            }
        }
    };
    if call.arg(1) == 0 && call.int(0) != libc::AT_FDCWD {
        // futimens(3): the file behind the descriptor.
        return on_descriptor(call, call.int(0), |fd| futimens(fd, &times));
    }
    let path = call.path(1)?;
    set_times(call, call.int(0), &path, &times, flags)
}

fn set_times(
    call: &mut Call<'_>,
    directory: i32,
    path: &CString,
    times: &Timestamps,
    flags: i32,
) -> Result<Reply, Errno> {
    if path.is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
        return on_empty_path(call, directory, |fd| {
            host_utimensat(fd, c"", times, AtFlags::EMPTY_PATH)
        });
    }
    let flags = AtFlags::from_bits_retain((flags & libc::AT_SYMLINK_NOFOLLOW) as u32);
    call.on_path(directory, path, |at, path: &CStr| {
        host_utimensat(at, path, times, flags)
    })?;
    Ok(Reply::ZERO)
}

/// Microseconds to the form of utimensat(2), `EINVAL` outside of 0..1000000.
fn from_micros(times: [[i64; 2]; 2]) -> Result<Timestamps, Errno> {
    let spec = |[tv_sec, micros]: [i64; 2]| {
        if (0..1_000_000).contains(&micros) {
            Ok(Timespec {
                tv_sec,
                tv_nsec: micros * 1000,
            })
        } else {
            Err(Errno::INVAL)
        }
    };
    Ok(Timestamps {
        last_access: spec(times[0])?,
        last_modification: spec(times[1])?,
    })
}

fn micros_at(call: &Call<'_>, address: u64) -> Result<Timestamps, Errno> {
    if address == 0 {
        Ok(NOW)
    } else {
        from_micros(call.read(address)?)
    }
}

pub fn utimes(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let times = micros_at(call, call.arg(1))?;
    let path = call.path(0)?;
    set_times(call, libc::AT_FDCWD, &path, &times, 0)
}

pub fn futimesat(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let times = micros_at(call, call.arg(2))?;
    if call.arg(1) == 0 && call.int(0) != libc::AT_FDCWD {
        return on_descriptor(call, call.int(0), |fd| futimens(fd, &times));
    }
    let path = call.path(1)?;
    set_times(call, call.int(0), &path, &times, 0)
}

pub fn utime(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let times = match call.arg(1) {
        0 => NOW,
        address => {
            let [access, modification]: [i64; 2] = call.read(address)?;
            from_micros([[access, 0], [modification, 0]])?
        }
    };
    let path = call.path(0)?;
    set_times(call, libc::AT_FDCWD, &path, &times, 0)
}
