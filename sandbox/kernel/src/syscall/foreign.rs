//! Looking into other processes of the container: process_vm_readv(2), process_vm_writev(2), kcmp(2),
//! pidfd_getfd(2), get_robust_list(2). Who may is decided by guest credentials, `__ptrace_may_access` of kernel/ptrace.c.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use caisson_sys::memory;
use caisson_sys::notify::Cloexec;
use rustix::io::Errno;

use super::iovec::{Cursor, MOST_BYTES, Part, Whose, parts, total};
use crate::call::Call;
use crate::reply::Reply;
use crate::task::{Capability, Credentials, Process, Thread};

/// Copied at a time.
const BLOCK: usize = 64 << 10;
/// More than this is copied on a thread of its own.
const SHORT: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    FromRemote,
    ToRemote,
}

pub fn process_vm_readv(call: &mut Call<'_>) -> Result<Reply, Errno> {
    copy_call(call, Direction::FromRemote)
}

pub fn process_vm_writev(call: &mut Call<'_>) -> Result<Reply, Errno> {
    copy_call(call, Direction::ToRemote)
}

fn copy_call(call: &mut Call<'_>, direction: Direction) -> Result<Reply, Errno> {
    let [_, local, local_count, remote, remote_count, flags] = call.incoming.args;
    if flags != 0 {
        return Err(Errno::INVAL);
    }
    let local = parts(call, local, local_count, Whose::Caller)?;
    if total(&local) == 0 {
        return Ok(Reply::ZERO);
    }
    let remote = parts(call, remote, remote_count, Whose::Other)?;
    if total(&remote) == 0 {
        return Ok(Reply::ZERO);
    }
    let process = find(call, call.int(0))?;
    may_attach(call, &process)?;
    let (own, other) = (call.incoming.tid, process.pid);
    if total(&local).min(total(&remote)) > SHORT {
        return call.park(move |_| copy(own, other, &local, &remote, direction));
    }
    copy(own, other, &local, &remote, direction)
}

/// Copy until one side is full or cannot be reached. An error only if nothing was copied.
fn copy(
    own: i32,
    other: i32,
    local: &[Part],
    remote: &[Part],
    direction: Direction,
) -> Result<Reply, Errno> {
    let (mut near, mut far) = (Cursor::new(local), Cursor::new(remote));
    let mut block = vec![0; BLOCK];
    let mut copied = 0u64;
    while copied < MOST_BYTES {
        let (Some((near_at, near_left)), Some((far_at, far_left))) = (near.here(), far.here())
        else {
            break;
        };
        let length = near_left
            .min(far_left)
            .min(BLOCK as u64)
            .min(MOST_BYTES - copied) as usize;
        let (from, source, to, target) = match direction {
            Direction::FromRemote => (other, far_at, own, near_at),
            Direction::ToRemote => (own, near_at, other, far_at),
        };
        let moved = memory::read(from, source, &mut block[..length])
            .and_then(|got| memory::write_some(to, target, &block[..got]));
        match moved {
            Ok(count) => {
                copied += count as u64;
                if count < length {
                    break;
                }
                near.advance(count as u64);
                far.advance(count as u64);
            }
            Err(error) if copied == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(Reply::Value(copied as i64))
}

pub fn pidfd_getfd(call: &mut Call<'_>) -> Result<Reply, Errno> {
    if call.uint(2) != 0 {
        return Err(Errno::INVAL);
    }
    let pidfd = call.fd(call.int(0))?;
    let pid = super::signal::process_of_pidfd(call, &pidfd)?;
    // That is a host's pid; one of a process that ended is none any more.
    let process = call.kernel.thread(pid)?.process.clone();
    if super::signal::process_of_pidfd(call, &pidfd)? != process.pid {
        return Err(Errno::SRCH);
    }
    may_attach(call, &process)?;
    let number = call.int(1);
    if number < 0 {
        return Err(Errno::BADF);
    }
    let fd =
        caisson_sys::descriptor::pidfd_getfd(std::os::fd::AsFd::as_fd(&process.pidfd), number)?;
    Ok(Reply::Fd(fd, Cloexec::Yes))
}

/// The host's answer on the guests' host processes, which share what the guests share.
pub fn kcmp(call: &mut Call<'_>) -> Result<Reply, Errno> {
    const KCMP_SYSVSEM: u32 = 6;
    const KCMP_EPOLL_TFD: u32 = 7;
    let (first, second) = (find(call, call.int(0))?, find(call, call.int(1))?);
    may_look(call, &first)?;
    may_look(call, &second)?;
    let kind = call.uint(2);
    let (pids, indexes) = ([first.pid, second.pid], [call.arg(3), call.arg(4)]);
    let order = match kind {
        KCMP_EPOLL_TFD => {
            let slot = call.read(indexes[1])?;
            caisson_sys::process::compare_watched(pids, indexes[0], slot)?
        }
        0..=KCMP_SYSVSEM => caisson_sys::process::compare(pids, kind, indexes)?,
        _ => return Err(Errno::INVAL),
    };
    Ok(Reply::Value(order))
}

/// get_robust_list(2) of another thread. Of a process that is not the caller's, the list of its first thread.
pub fn get_robust_list(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let pid = call.int(0);
    let tid = if pid == call.thread.guest_tid {
        call.incoming.tid
    } else {
        let process = find(call, pid)?;
        may_look(call, &process)?;
        process.pid
    };
    let [head, size] = caisson_sys::process::robust_list(tid)?;
    call.write(call.arg(2), &size)?;
    call.write(call.arg(1), &head)?;
    Ok(Reply::ZERO)
}

fn find(call: &Call<'_>, guest_pid: i32) -> Result<Arc<Process>, Errno> {
    if guest_pid == call.process().guest_pid || guest_pid == call.thread.guest_tid {
        return Ok(call.process().clone());
    }
    super::signal::find_process(call, guest_pid)
}

/// As for attaching to it, and to read its memory: `PTRACE_MODE_ATTACH_REALCREDS`.
pub(super) fn may_attach(call: &Call<'_>, target: &Arc<Process>) -> Result<(), Errno> {
    may_look(call, target)
}

/// The same for one thread.
pub(super) fn may_attach_to(
    call: &Call<'_>,
    process: &Process,
    target: &Thread,
) -> Result<(), Errno> {
    let dumpable = process.dumpable.load(Ordering::Acquire);
    if permits(&call.credentials(), &target.credentials(), dumpable) {
        Ok(())
    } else {
        Err(Errno::PERM)
    }
}

/// `PTRACE_MODE_REALCREDS`: by the caller's real ids and permitted capabilities.
pub(super) fn may_look(call: &Call<'_>, target: &Arc<Process>) -> Result<(), Errno> {
    if Arc::ptr_eq(call.process(), target) {
        return Ok(());
    }
    let thread = call.kernel.table.thread_of(target.pid).ok_or(Errno::SRCH)?;
    may_attach_to(call, target, &thread)
}

fn permits(caller: &Credentials, target: &Credentials, dumpable: bool) -> bool {
    if caller.can(Capability::SysPtrace) {
        return true;
    }
    let same_user = [target.euid, target.suid, target.ruid]
        .iter()
        .all(|id| *id == caller.ruid);
    let same_group = [target.egid, target.sgid, target.rgid]
        .iter()
        .all(|id| *id == caller.rgid);
    let covered = target.caps.permitted & !caller.caps.permitted == 0;
    same_user && same_group && covered && dumpable
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: u32, permitted: u64) -> Credentials {
        Credentials::of(
            id,
            id,
            &[],
            caisson_wire::CapabilitySets {
                permitted,
                ..Default::default()
            },
        )
    }

    #[test]
    fn only_the_same_user_with_as_many_rights_may_look() {
        assert!(permits(&user(5, 0), &user(5, 0), true));
        assert!(!permits(&user(5, 0), &user(5, 0), false));
        assert!(!permits(&user(5, 0), &user(6, 0), true));
        assert!(!permits(&user(5, 0), &user(5, 1), true));
        assert!(permits(&user(5, 3), &user(5, 1), true));
        let set_user_id = Credentials {
            euid: 0,
            ..user(5, 0)
        };
        assert!(!permits(&user(5, 0), &set_user_id, true));
    }

    #[test]
    fn a_cursor_skips_empty_parts() {
        let mut cursor = Cursor::new(&[(100, 0), (200, 4), (300, 0), (400, 2)]);
        assert_eq!(cursor.here(), Some((200, 4)));
        cursor.advance(3);
        assert_eq!(cursor.here(), Some((203, 1)));
        cursor.advance(1);
        assert_eq!(cursor.here(), Some((400, 2)));
        cursor.advance(2);
        assert_eq!(cursor.here(), None);
    }
}
