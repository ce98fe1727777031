//! Who may signal whom, kill(2): `kill_ok_by_cred` and `check_kill_permission` of kernel/signal.c.

use std::sync::Arc;

use super::target;
use crate::call::Call;
use crate::task::{Capability, Credentials, Process};

/// `_NSIG`, asm/signal.h.
const LAST_SIGNAL: i32 = 64;

/// Whether the caller may send this to every process of the container. Signals that do not exist reach
/// nobody: Linux says so before it looks at permission.
pub(super) fn unlimited(call: &Call<'_>, signal: i32) -> bool {
    !(0..=LAST_SIGNAL).contains(&signal) || call.credentials().can(Capability::Kill)
}

pub(super) fn may_signal(call: &Call<'_>, target: &Arc<Process>, signal: i32) -> bool {
    let sender = call.credentials();
    if target.pid == call.process().pid || sender.can(Capability::Kill) {
        return true;
    }
    let Some(receiver) = call.kernel.table.thread_of(target.pid) else {
        // It has ended meanwhile: a signal to it does nothing, and is no error before it has been waited for.
        return true;
    };
    by_ids(&sender, &receiver.credentials())
        || (signal == libc::SIGCONT && target::same_session(call, call.process(), target))
}

fn by_ids(sender: &Credentials, receiver: &Credentials) -> bool {
    [sender.euid, sender.ruid]
        .iter()
        .any(|id| *id == receiver.suid || *id == receiver.ruid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::SecureBits;

    fn ids(ruid: u32, euid: u32, suid: u32) -> Credentials {
        Credentials {
            ruid,
            euid,
            suid,
            fsuid: euid,
            rgid: 0,
            egid: 0,
            sgid: 0,
            fsgid: 0,
            groups: Vec::new().into(),
            caps: Default::default(),
            securebits: SecureBits::default(),
            no_new_privs: false,
        }
    }

    #[test]
    fn the_receivers_effective_id_does_not_count() {
        let sender = ids(1000, 1000, 1000);
        assert!(by_ids(&sender, &ids(1000, 0, 0)));
        assert!(by_ids(&sender, &ids(0, 0, 1000)));
        assert!(!by_ids(&sender, &ids(0, 1000, 0)));
        assert!(!by_ids(&sender, &ids(1001, 1001, 1001)));
    }

    #[test]
    fn either_of_the_senders_ids_will_do() {
        assert!(by_ids(&ids(5, 6, 7), &ids(6, 1, 1)));
        assert!(by_ids(&ids(5, 6, 7), &ids(1, 1, 5)));
        assert!(!by_ids(&ids(5, 6, 7), &ids(7, 7, 7)));
    }
}
