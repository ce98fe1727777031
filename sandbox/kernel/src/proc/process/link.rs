//! What the links below /proc/PID lead to.

use nix::errno::Errno;

use super::node::entry;
use super::table::Source;
use super::{access, mounts};
use crate::proc::context::Context;
use crate::proc::host;
use crate::proc::inode::Node;
use crate::proc::outside::{Place, has_mount, is_path};
use crate::proc::tree::Caller;
use crate::proc::view::{MAGIC_LINK, MagicKind, MagicLink, WalkMode};

pub(crate) fn link(context: &Context, node: Node, caller: &Caller) -> Result<Vec<u8>, Errno> {
    let opener = access::opener(context, caller);
    let (pid, tid, kind) = match node {
        Node::Process {
            pid,
            tid,
            entry: index,
        } => {
            let kind = match entry(index)?.source {
                Source::Exe => MagicKind::Exe,
                Source::Cwd => MagicKind::Cwd,
                Source::Root => MagicKind::Root,
                Source::Namespace(name) => MagicKind::Namespace(name),
                _ => return Err(Errno::EINVAL),
            };
            (pid, if tid == 0 { pid } else { tid }, kind)
        }
        Node::Descriptor {
            pid,
            fd,
            info: false,
        } => {
            let leader = access::leader(context, &opener, pid)?;
            (leader, pid, MagicKind::Fd(fd))
        }
        _ => return Err(Errno::EINVAL),
    };
    // A process that walks to its own link is itself at this moment.
    if opener.pid != pid {
        access::inspect(context, &opener, pid)?;
    }
    match &caller.walker {
        Some(walker) if walker.mode() == WalkMode::Walk => {
            walker.report(MagicLink { pid, tid, kind });
            Err(MAGIC_LINK)
        }
        _ => link_text(context, (pid, tid), kind),
    }
}

fn link_text(context: &Context, (pid, tid): (u32, u32), kind: MagicKind) -> Result<Vec<u8>, Errno> {
    // One that has ended and waits to be waited for has none of them.
    let facts = |name: &str| {
        host::link(&*context.guest_proc()?, &format!("{pid}/{name}"))?;
        access::facts(context, pid, tid)
    };
    let text = match kind {
        MagicKind::Exe => facts("exe")?.exe,
        MagicKind::Cwd => facts("cwd")?.cwd,
        MagicKind::Root => facts("root")?.root,
        MagicKind::Fd(fd) => descriptor_text(context, pid, fd)?,
        MagicKind::Namespace(name) => match context.guests.namespace(pid, tid, name) {
            Some(inode) => format!("{name}:[{inode}]").into_bytes(),
            None => host::link(&*context.guest_proc()?, &format!("{pid}/ns/{name}"))?,
        },
    };
    // The host kernel refuses an empty target, as Linux has none for a kernel thread's exe.
    if text.is_empty() {
        Err(Errno::ENOENT)
    } else {
        Ok(text)
    }
}

/// Where a file lies that the container's maker had open is not for guests to know: a number stands in its place, as for
/// what has no name.
fn descriptor_text(context: &Context, pid: u32, fd: u32) -> Result<Vec<u8>, Errno> {
    let proc = context.guest_proc()?;
    let text = host::link(&*proc, &format!("{pid}/fd/{fd}"))?;
    let Some(outside) = context.guests.outside().filter(|outside| outside.is_some()) else {
        return Ok(text);
    };
    if !is_path(&text) {
        return Ok(text);
    }
    let place = Place::of(&host::text(&*proc, &format!("{pid}/fdinfo/{fd}"))?);
    match place {
        Some(Place { mount, inode })
            if outside.has(mount) && !has_mount(&mounts::table(context, pid)?, mount) =>
        {
            Ok(format!("host:[{inode}]").into_bytes())
        }
        _ => Ok(text),
    }
}
