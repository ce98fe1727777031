//! Threads that tracees have made, which the host traces as well, and of whom no tracer will ever be told.

use super::tracee::Tracee;
use super::tracees::{NativeCall, Tracees, signal_of};

/// Those by which a tracee tells of what it makes.
const MAKERS_TELL: i32 =
    libc::PTRACE_O_TRACEFORK | libc::PTRACE_O_TRACEVFORK | libc::PTRACE_O_TRACECLONE;

impl Tracees {
    /// Let a thread go that has been made by a tracee and that nobody traces: at once if it is in a stop already.
    pub(super) fn abandon(&mut self, tid: i32) {
        match self.early.remove(&tid) {
            Some(status) => self.detach(tid, signal_of(status), false),
            None => {
                self.kicked.insert(tid, false);
            }
        }
    }

    /// Let those go whose makers were killed before they could tell of them. On Linux their tracer would have them to
    /// trace.
    pub(super) fn abandon_orphans(&mut self) {
        if self.early.is_empty() {
            return;
        }
        let makers: Vec<i32> = self
            .by_tid
            .values()
            .filter(|tracee| self.may_be_making(tracee))
            .map(|tracee| tracee.pid)
            .collect();
        let orphans: Vec<i32> = self
            .early
            .keys()
            .copied()
            .filter(|tid| !makers.iter().any(|maker| self.may_have_made(*maker, *tid)))
            .collect();
        for tid in orphans {
            self.abandon(tid);
        }
    }

    /// Whether it may be in a call that makes a thread or process, and has not told of that.
    fn may_be_making(&self, tracee: &Tracee) -> bool {
        const MAKING: [i64; 4] = [
            libc::SYS_fork,
            libc::SYS_vfork,
            libc::SYS_clone,
            libc::SYS_clone3,
        ];
        tracee.options & MAKERS_TELL != 0
            && tracee.stop().is_none()
            && match self.native_call(tracee.tid) {
                Some(NativeCall::Unknown) => true,
                Some(NativeCall::Is(nr)) => MAKING.contains(&nr),
                None => false,
            }
    }

    /// Whether a thread of the process `maker` may have made the thread `tid`: as one of the process, as a child of it, or as
    /// a sibling (CLONE_PARENT).
    fn may_have_made(&self, maker: i32, tid: i32) -> bool {
        if self.ids(tid).is_ok_and(|ids| ids.tgid == maker) {
            return true;
        }
        let parent = self.parent_of(tid);
        parent.is_some() && (parent == Some(maker) || parent == self.parent_of(maker))
    }
}
