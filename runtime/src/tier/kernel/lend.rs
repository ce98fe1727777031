//! What `create` opens for a sandbox in a user namespace of the container's, to which the host's files may be closed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::message::Loan;
use crate::RuntimeError;
use crate::rootfs::Lent;
use crate::tier::Blueprint;

/// On `create`'s side.
pub(super) struct Opened {
    cgroups: Vec<OwnedFd>,
    tree: Lent,
}

impl Opened {
    pub(super) fn new(from: &Blueprint<'_>, user: &OwnedFd) -> Result<Opened, RuntimeError> {
        Ok(Opened {
            cgroups: from.state.cgroup.guest_files()?,
            tree: Lent::prepare(&from.state.spec, &from.state.bundle, user.as_fd())?,
        })
    }

    pub(super) fn describe(&self) -> Loan {
        Loan {
            cgroups: self.cgroups.len(),
            root: self.tree.root.is_some(),
            sources: self.tree.sources.keys().copied().collect(),
        }
    }

    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let tree = self.tree.root.iter().chain(self.tree.sources.values());
        self.cgroups.iter().chain(tree).map(AsFd::as_fd)
    }
}

/// On the sandbox' side. `None` if a descriptor is missing.
pub(super) fn receive(
    loan: &Loan,
    fds: &mut impl Iterator<Item = OwnedFd>,
) -> Option<(Vec<OwnedFd>, Lent)> {
    let cgroups: Vec<OwnedFd> = fds.take(loan.cgroups).collect();
    let root = if loan.root { Some(fds.next()?) } else { None };
    let sources = loan
        .sources
        .iter()
        .map(|index| Some((*index, fds.next()?)))
        .collect::<Option<_>>()?;
    (cgroups.len() == loan.cgroups).then_some((cgroups, Lent { root, sources }))
}
