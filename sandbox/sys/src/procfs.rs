//! A procfs instance of a guest's pid namespace, without a place in any mount tree.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::raw::syscall;

/// Turn a configured file system context (`fsopen("proc")` and `FSCONFIG_CMD_CREATE` done by a process
/// of that pid namespace) into a detached mount, fsmount(2).
pub fn mount_context(context: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    const FSMOUNT_CLOEXEC: u32 = 1;
    const MOUNT_ATTR_NOSUID: u32 = 2;
    const MOUNT_ATTR_NODEV: u32 = 4;
    const MOUNT_ATTR_NOEXEC: u32 = 8;
    let attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    // SAFETY: takes integers; the descriptor returned is new and ours alone.
    unsafe {
        syscall!(
            libc::SYS_fsmount,
            context.as_raw_fd(),
            FSMOUNT_CLOEXEC,
            attributes
        )
        .map(|fd| OwnedFd::from_raw_fd(fd as i32))
    }
}

/// A configured procfs context of the pid namespace in which this thread's later children are born (setns(2) or
/// unshare(2) went before). Needs CAP_SYS_ADMIN over that namespace.
pub fn context_for_children() -> Result<OwnedFd, Errno> {
    let (answer, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // What the child opens is ours: it shares our descriptors.
    let flags = (libc::CLONE_FILES | libc::SIGCHLD) as u64;
    // SAFETY: without CLONE_VM this is fork(2); the child makes raw system calls only and ends.
    let pid = unsafe { syscall!(libc::SYS_clone, flags, 0, 0, 0, 0) }? as i32;
    if pid == 0 {
        make_context(theirs.as_raw_fd());
    }
    crate::guest::wait(pid)?;
    let mut value = [0u8; 4];
    if rustix::io::read(&answer, &mut value)? != value.len() {
        return Err(Errno::IO);
    }
    match i32::from_ne_bytes(value) {
        // SAFETY: the child has opened this descriptor in our table and nothing else knows of it.
        fd if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        errno => Err(Errno::from_raw_os_error(-errno)),
    }
}

/// In a child: answers with a descriptor, or a negated errno.
fn make_context(answer: i32) -> ! {
    const FSOPEN_CLOEXEC: u32 = 1;
    const FSCONFIG_CMD_CREATE: u32 = 6;
    // SAFETY: a static string, a live integer, and integers; FSCONFIG_CMD_CREATE takes neither key nor value.
    unsafe {
        let fd = libc::syscall(libc::SYS_fsopen, c"proc".as_ptr(), FSOPEN_CLOEXEC) as i32;
        let create = FSCONFIG_CMD_CREATE;
        let made = fd >= 0 && libc::syscall(libc::SYS_fsconfig, fd, create, 0usize, 0usize, 0) == 0;
        let value = if made { fd } else { -*libc::__errno_location() };
        libc::write(answer, (&raw const value).cast(), size_of::<i32>());
        libc::_exit(0)
    }
}
