//! Namespaces, namespaces(7).

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use crate::raw::{check, syscall};

bitflags::bitflags! {
    /// Kinds of namespaces, with clone(2)'s bits.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Namespaces: u32 {
        const MOUNT = libc::CLONE_NEWNS as u32;
        const CGROUP = libc::CLONE_NEWCGROUP as u32;
        const UTS = libc::CLONE_NEWUTS as u32;
        const IPC = libc::CLONE_NEWIPC as u32;
        const USER = libc::CLONE_NEWUSER as u32;
        const PID = libc::CLONE_NEWPID as u32;
        const NET = libc::CLONE_NEWNET as u32;
    }
}

/// Enter the namespaces `kinds` of what `fd` names: a pidfd, or one namespace file.
pub fn enter(fd: BorrowedFd<'_>, kinds: Namespaces) -> Result<(), Errno> {
    // SAFETY: setns takes integers; it changes what this thread sees of the system, no memory.
    unsafe { syscall!(libc::SYS_setns, fd.as_raw_fd(), kinds.bits()) }?;
    Ok(())
}

/// Which kind of namespace a file of /proc/PID/ns stands for, with clone(2)'s bit. `ENOTTY` for other files.
pub fn kind_of(namespace: BorrowedFd<'_>) -> Result<i32, Errno> {
    /// linux/nsfs.h.
    const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
    // SAFETY: the request takes no argument.
    check(unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_NSTYPE) }.into())
        .map(|kind| kind as i32)
}

/// Make new namespaces for this thread (for PID: for its future children), unshare(2).
pub fn unshare(kinds: Namespaces) -> Result<(), Errno> {
    // SAFETY: only namespace bits can be in `kinds`; no memory or descriptor table is affected.
    unsafe { syscall!(libc::SYS_unshare, kinds.bits()) }?;
    Ok(())
}

/// The pid namespace of guests, which translates their ids.
#[derive(Debug)]
pub struct PidNamespace(OwnedFd);

/// What a thread is called outside and inside of a pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadIds {
    /// Process id in the caller's namespace.
    pub tgid: i32,
    pub inner_tgid: i32,
    pub inner_tid: i32,
}

impl PidNamespace {
    /// That of the thread `tid`, by the procfs `proc`. An error where Linux cannot translate (before 6.11).
    pub fn of(proc: BorrowedFd<'_>, tid: i32) -> Result<PidNamespace, Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let namespace = PidNamespace(openat(proc, format!("{tid}/ns/pid"), flags, Mode::empty())?);
        namespace.ids(tid)?;
        Ok(namespace)
    }

    /// Of the thread that has the id `tid` in the caller's namespace. `ESRCH` for one that is not in this one.
    pub fn ids(&self, tid: i32) -> Result<ThreadIds, Errno> {
        // linux/nsfs.h, ioctl_nsfs(2).
        const NS_GET_TGID_FROM_PIDNS: libc::c_ulong = 0x8004_b707;
        const NS_GET_PID_IN_PIDNS: libc::c_ulong = 0x8004_b708;
        const NS_GET_TGID_IN_PIDNS: libc::c_ulong = 0x8004_b709;
        let translate = |request, id: i32| {
            // SAFETY: these requests take an id by value and return one; no memory is touched.
            check(unsafe { libc::ioctl(self.0.as_raw_fd(), request, id) }.into())
                .map(|id| id as i32)
        };
        let inner_tgid = translate(NS_GET_TGID_IN_PIDNS, tid)?;
        Ok(ThreadIds {
            tgid: translate(NS_GET_TGID_FROM_PIDNS, inner_tgid)?,
            inner_tgid,
            inner_tid: translate(NS_GET_PID_IN_PIDNS, tid)?,
        })
    }
}

/// As clone(2) spells it. Not one of [`Namespaces`]: among clone's flags this bit is part of the exit signal.
const TIME: i32 = 0x80;

/// Later children of this process are born into a new time namespace, time_namespaces(7), whose clocks are set
/// through /proc/self/timens_offsets until the first of them is.
pub fn unshare_time() -> Result<(), Errno> {
    // SAFETY: changes where this thread's children are born, no memory.
    unsafe { syscall!(libc::SYS_unshare, TIME) }?;
    Ok(())
}

/// Enter the time namespace of what `fd` names: a pidfd, or a namespace file. The caller must be single-threaded.
pub fn enter_time(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: takes integers; changes what this process reads from clocks, no memory.
    unsafe { syscall!(libc::SYS_setns, fd.as_raw_fd(), TIME) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::PidNamespace;

    #[test]
    fn ids_of_a_thread_are_its_process_and_itself() {
        let proc = std::fs::File::open("/proc").expect("procfs");
        let pid = std::process::id() as i32;
        let Ok(namespace) = PidNamespace::of(proc.as_fd(), pid) else {
            // Linux before 6.11.
            return;
        };
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        let ids = namespace.ids(tid).expect("this thread's ids");
        assert_eq!((ids.tgid, ids.inner_tgid, ids.inner_tid), (pid, pid, tid));
        assert!(namespace.ids(i32::MAX).is_err());
    }
}
