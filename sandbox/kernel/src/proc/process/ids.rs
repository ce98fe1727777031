//! uid_map, gid_map and setgroups: the container's user namespace, the same for all processes of it. Each guest
//! process is in one more, in which every id means itself.

use nix::errno::Errno;

use super::node::Subject;

pub(super) fn uid_map(subject: &Subject<'_>) -> Result<Vec<u8>, Errno> {
    Ok(subject.context.system().ids.uid_map().into_bytes())
}

pub(super) fn gid_map(subject: &Subject<'_>) -> Result<Vec<u8>, Errno> {
    Ok(subject.context.system().ids.gid_map().into_bytes())
}

pub(super) fn setgroups(subject: &Subject<'_>) -> Result<Vec<u8>, Errno> {
    let word = if subject.context.system().ids.setgroups() {
        "allow\n"
    } else {
        "deny\n"
    };
    Ok(word.into())
}
