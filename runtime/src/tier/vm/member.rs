//! The sandbox process of a container that runs in the machine of its pod.

use std::os::fd::{AsFd, OwnedFd};

use caisson_wire::agent::{Ended, Opening};

use super::birth::{create_container, request};
use super::files::VISIBLE;
use super::life::{Life, Terminal};
use super::message::{Description, Down, Rootfs, Up};
use super::pod::Membership;
use super::session::{ANSWER_LIMIT, Session};
use crate::RuntimeError;
use crate::tier::life::watch;

/// From the description to the end of the container, which the machine outlives. The machine's end is its end.
pub(super) fn live(
    boot: &OwnedFd,
    description: &Description,
    membership: &Membership,
    control: OwnedFd,
    life_line: OwnedFd,
) -> Result<Ended, RuntimeError> {
    let link = description.folder.join(VISIBLE);
    std::os::unix::fs::symlink(membership.folder.join(VISIBLE), &link)
        .map_err(RuntimeError::file(&link, "link"))?;
    if let Rootfs::Image { .. } = description.rootfs {
        let message = "a further container of a pod cannot have its root file system as an image";
        return Err(RuntimeError::Sandbox {
            message: message.into(),
        });
    }
    caisson_wire::send(boot.as_fd(), &Up::Mounted, &[])?;
    let (Down::GoOn, _) = caisson_wire::receive::<Down>(boot.as_fd())? else {
        return Err(RuntimeError::SandboxDied);
    };
    create_container(description)?;
    let owner = membership.entry()?;
    for share in &description.shares {
        share.lend(&owner)?;
    }
    let terminal = description.terminal.map(Terminal::open).transpose()?;
    let mut create = request(description, None);
    create.joined.clone_from(&membership.joined);
    let session = Session::open(
        &description.folder,
        &Opening::Create(create),
        ANSWER_LIMIT,
        &mut || None,
    )?;
    let (master, slave) = terminal.map(|both| (both.master, both.slave)).unzip();
    let life = Life::begin(session, slave)?.counting(&description.folder);
    life.serve(control)?;
    watch(life_line)?;
    let fds: Vec<_> = master.iter().map(AsFd::as_fd).collect();
    caisson_wire::send(boot.as_fd(), &Up::Ready, &fds)?;
    drop(fds);
    drop(master);
    life.follow(None)
}
