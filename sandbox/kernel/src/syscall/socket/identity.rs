//! Who stands at the other end of a unix socket.
//!
//! Linux keeps the credentials of whoever called connect(2) or listen(2) with the socket, and gives them to
//! the peer (`SO_PEERCRED`, `SO_PEERGROUPS`). Here the app kernel makes those calls. It does so with the
//! guest's effective ids and groups, so that peers outside the sandbox see who it is as well, and hides the
//! guest's pid, which Linux would not take from us, among the groups: as one group id of a range that no
//! guest may carry into a socket by itself. In a user namespace that does not map that range the pid stays unknown:
//! peers then see the app kernel's, and guests 0.

use caisson_sys::socket::{EffectiveIds, Groups, with_effective_ids};
use caisson_sys::user_namespace::{GROUP_MARKS, Ids};
use rustix::io::Errno;

use crate::task::Credentials;

/// Group ids from here on carry pids.
const PID_MARK: u32 = GROUP_MARKS.inside;
const PID_MASK: u32 = GROUP_MARKS.count - 1;
/// `NGROUPS_MAX`, linux/limits.h.
const GROUPS_MAX: usize = 65536;

/// Run `work`, a connect or listen, in the name of a guest. The calling thread has taken on the same
/// credentials for files already.
pub(super) fn with<R>(
    own: &Ids,
    credentials: &Credentials,
    guest_pid: i32,
    work: impl FnOnce() -> R,
) -> Result<R, Errno> {
    let ids = EffectiveIds {
        uid: credentials.euid,
        gid: credentials.egid,
        fsuid: credentials.fsuid,
        fsgid: credentials.fsgid,
    };
    let during = if own.can_mark_groups() {
        marked_groups(credentials, guest_pid)
    } else {
        plain(&credentials.groups).collect()
    };
    let groups = own.setgroups().then_some(Groups {
        during: &during,
        after: &credentials.groups,
    });
    with_effective_ids(ids, groups, work)
}

fn marked_groups(credentials: &Credentials, guest_pid: i32) -> Vec<u32> {
    let mut groups: Vec<u32> = plain(&credentials.groups).take(GROUPS_MAX - 1).collect();
    groups.push(PID_MARK | guest_pid as u32 & PID_MASK);
    groups
}

/// Without those of the range that carries pids.
pub(super) fn plain(groups: &[u32]) -> impl Iterator<Item = u32> {
    groups.iter().copied().filter(|group| *group < PID_MARK)
}

/// The guest pid among the groups of a peer, if a guest's socket it is.
pub(super) fn guest_pid(groups: &[u32]) -> Option<i32> {
    let mark = groups.iter().find(|group| **group >= PID_MARK)?;
    Some((mark & PID_MASK) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_comes_back_and_cannot_be_forged_by_a_group() {
        let credentials = Credentials::of(
            1,
            1,
            &[4, PID_MARK | 1, 27, u32::MAX - 1],
            Default::default(),
        );
        let mut groups = marked_groups(&credentials, 4_194_303);
        groups.sort_unstable();
        assert_eq!(guest_pid(&groups), Some(4_194_303));
        assert_eq!(plain(&groups).collect::<Vec<_>>(), [4, 27]);
        assert_eq!(guest_pid(&[0, 27]), None);
    }
}
