//! File status in the very structs that guests get.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::layout::zeroed;
use crate::raw::{check, syscall};

/// newfstatat(2).
pub fn stat_at(directory: BorrowedFd<'_>, path: &CStr, flags: i32) -> Result<libc::stat, Errno> {
    let mut stat: libc::stat = zeroed();
    check(
        // SAFETY: the path is NUL-terminated, the struct is live.
        unsafe { libc::fstatat(directory.as_raw_fd(), path.as_ptr(), &raw mut stat, flags) }.into(),
    )?;
    Ok(stat)
}

/// Flags (`AT_*`) and mask (`STATX_*`) of statx(2).
#[derive(Clone, Copy, Debug)]
pub struct StatxRequest {
    pub flags: i32,
    pub mask: u32,
}

/// statx(2).
pub fn statx_at(
    directory: BorrowedFd<'_>,
    path: &CStr,
    request: StatxRequest,
) -> Result<libc::statx, Errno> {
    let mut stat: libc::statx = zeroed();
    // SAFETY: the path is NUL-terminated, the struct is live.
    unsafe {
        syscall!(
            libc::SYS_statx,
            directory.as_raw_fd(),
            path.as_ptr(),
            request.flags,
            request.mask,
            &raw mut stat
        )
    }?;
    Ok(stat)
}

/// fstatfs(2).
pub fn statfs_of(file: BorrowedFd<'_>) -> Result<libc::statfs, Errno> {
    let mut stat: libc::statfs = zeroed();
    // SAFETY: the struct is live.
    check(unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut stat) }.into())?;
    Ok(stat)
}

/// fchmodat2(2), Linux 6.6.
pub fn fchmodat2(
    directory: BorrowedFd<'_>,
    path: &CStr,
    mode: u32,
    flags: i32,
) -> Result<(), Errno> {
    const SYS_FCHMODAT2: libc::c_long = 452;
    // SAFETY: the path is NUL-terminated; the rest are integers.
    unsafe {
        syscall!(
            SYS_FCHMODAT2,
            directory.as_raw_fd(),
            path.as_ptr(),
            mode,
            flags
        )
    }?;
    Ok(())
}

/// Whether this thread may access a file as `mode` (`R_OK`, `W_OK`, `X_OK`) says, by its file system ids and
/// effective capabilities: faccessat2(2) with `AT_EACCESS` and these further `flags`.
pub fn access_at(
    directory: BorrowedFd<'_>,
    path: &CStr,
    mode: i32,
    flags: i32,
) -> Result<(), Errno> {
    let flags = flags | libc::AT_EACCESS;
    // SAFETY: the path is NUL-terminated; the rest are integers.
    unsafe {
        syscall!(
            libc::SYS_faccessat2,
            directory.as_raw_fd(),
            path.as_ptr(),
            mode,
            flags
        )
    }?;
    Ok(())
}

/// `MAX_HANDLE_SZ`, linux/exportfs.h: bytes.
pub const HANDLE_MAX: usize = 128;

/// What name_to_handle_at(2) says of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Handle {
    Whole {
        kind: u32,
        bytes: Vec<u8>,
        mount_id: u64,
    },
    /// There was no room for it.
    Longer { bytes_needed: u32, mount_id: u64 },
}

/// The handle of an open file in at most `room` bytes; `kind` are the `AT_HANDLE_*` flags. `EOPNOTSUPP` where the file
/// system has none.
pub fn handle_of(file: BorrowedFd<'_>, room: usize, kind: i32) -> Result<Handle, Errno> {
    /// `struct file_handle`, large enough for every handle.
    #[repr(C)]
    struct FileHandle {
        bytes: u32,
        kind: i32,
        handle: [u8; HANDLE_MAX],
    }
    let mut found = FileHandle {
        bytes: room.min(HANDLE_MAX) as u32,
        kind: 0,
        handle: [0; HANDLE_MAX],
    };
    // An int is written here, or 64 bits with AT_HANDLE_MNT_ID_UNIQUE.
    let mut mount_id = 0u64;
    // SAFETY: the path is NUL-terminated; the struct has room for the bytes that it names, and the mount id for both
    // of its sizes.
    let result = unsafe {
        syscall!(
            libc::SYS_name_to_handle_at,
            file.as_raw_fd(),
            c"".as_ptr(),
            &raw mut found,
            &raw mut mount_id,
            libc::AT_EMPTY_PATH | kind
        )
    };
    match result {
        Ok(_) => Ok(Handle::Whole {
            kind: found.kind as u32,
            bytes: found.handle[..(found.bytes as usize).min(HANDLE_MAX)].to_vec(),
            mount_id,
        }),
        Err(Errno::OVERFLOW) if found.bytes as usize > room => Ok(Handle::Longer {
            bytes_needed: found.bytes,
            mount_id,
        }),
        Err(error) => Err(error),
    }
}

/// truncate(2); a relative path starts at this thread's working directory.
pub fn truncate_path(path: &CStr, length: u64) -> Result<(), Errno> {
    let length = i64::try_from(length).map_err(|_| Errno::FBIG)?;
    // SAFETY: the path is NUL-terminated.
    check(unsafe { libc::truncate(path.as_ptr(), length) }.into())?;
    Ok(())
}

/// Whether anybody has the file of `file` open for writing. `file` is open for reading and of nobody else's opening,
/// because its lease is taken for a moment; who is just about to write is refused or waits that long. `EACCES` unless
/// the file is the caller's (fsuid) or it has CAP_LEASE; `EINVAL` where the file system has no leases.
pub fn is_being_written(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    /// linux/fcntl.h.
    const F_SETSIG: i32 = 10;
    let lease = |command: i32, argument: i32| {
        // SAFETY: these commands take integers.
        check(unsafe { libc::fcntl(file.as_raw_fd(), command, argument) }.into())
    };
    // Who breaks the lease has a signal sent to us: one that is ignored by default instead of SIGIO, which kills.
    lease(F_SETSIG, libc::SIGURG)?;
    match lease(libc::F_SETLEASE, libc::F_RDLCK) {
        Ok(_) => lease(libc::F_SETLEASE, libc::F_UNLCK).map(|_| false),
        Err(Errno::AGAIN) => Ok(true),
        Err(error) => Err(error),
    }
}

/// linux/fcntl.h.
const F_SET_RW_HINT: libc::c_int = 1036;

/// `F_SET_RW_HINT` of fcntl(2): how long what is written to the file will live, for the owner to say.
pub fn set_write_hint(file: BorrowedFd<'_>, hint: u64) -> Result<(), Errno> {
    // SAFETY: the command reads eight bytes at the pointer, which is a live u64.
    check(unsafe { libc::fcntl(file.as_raw_fd(), F_SET_RW_HINT, &raw const hint) }.into())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::is_being_written;

    #[test]
    fn a_writer_is_seen_while_it_has_the_file() {
        let path = std::env::temp_dir().join(format!("caisson-writer-{}", std::process::id()));
        let writer = std::fs::File::create(&path).expect("a new file");
        let reader = std::fs::File::open(&path).expect("the same file");
        std::fs::remove_file(&path).expect("the file");
        assert_eq!(is_being_written(reader.as_fd()), Ok(true));
        drop(writer);
        assert_eq!(is_being_written(reader.as_fd()), Ok(false));
        assert_eq!(is_being_written(reader.as_fd()), Ok(false));
    }
}
