//! The few files of /proc/PID that can be written.

use nix::errno::Errno;

use super::node::Subject;
use super::table::ENTRIES;
use super::{access, comm};
use crate::proc::context::Context;
use crate::proc::host;
use crate::proc::inode::Node;
use crate::proc::tree::{Caller, Opener};

const CAP_SYS_RESOURCE: u32 = 24;

pub(super) fn is_writable(name: &str) -> bool {
    matches!(
        name,
        "comm" | "mem" | "oom_score_adj" | "oom_adj" | "coredump_filter" | "timerslack_ns"
    )
}

pub(crate) fn write(
    context: &Context,
    node: Node,
    opener: &Opener,
    _: &Caller,
    data: &[u8],
) -> Result<(), Errno> {
    let Node::Process { pid, tid, entry } = node else {
        return Err(Errno::EINVAL);
    };
    let name = ENTRIES.get(usize::from(entry)).ok_or(Errno::ESTALE)?.name;
    let subject = Subject {
        context,
        pid,
        tid,
        opener,
    };
    // As in Linux a NUL ends a number.
    let text = || {
        let number = data.split(|byte| *byte == 0).next().unwrap_or_default();
        std::str::from_utf8(number).map_err(|_| Errno::EINVAL)
    };
    match name {
        "comm" if opener.pid == pid => comm::rename(&subject, data),
        "comm" => Err(Errno::EINVAL),
        "oom_score_adj" => {
            let wanted: i32 = text()?.trim().parse().map_err(|_| Errno::EINVAL)?;
            adjust(&subject, wanted)
        }
        "oom_adj" => {
            let wanted: i32 = text()?.trim().parse().map_err(|_| Errno::EINVAL)?;
            if !(-17..=15).contains(&wanted) {
                return Err(Errno::EINVAL);
            }
            // As fs/proc/base.c scales it.
            adjust(
                &subject,
                if wanted == 15 {
                    1000
                } else {
                    wanted * 1000 / 17
                },
            )
        }
        "coredump_filter" | "timerslack_ns" => {
            access::inspect(context, opener, pid)?;
            host::write(&*context.guest_proc()?, &format!("{pid}/{name}"), data)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// A guest may make itself a better victim, and undo that; it may never fall below what its container was given.
fn adjust(subject: &Subject<'_>, wanted: i32) -> Result<(), Errno> {
    if !(-1000..=1000).contains(&wanted) {
        return Err(Errno::EINVAL);
    }
    let floor = subject.context.system().oom_score_adj;
    if wanted < floor {
        let privileged = subject.opener.capabilities & 1 << CAP_SYS_RESOURCE != 0;
        return Err(if privileged {
            Errno::EPERM
        } else {
            Errno::EACCES
        });
    }
    let proc = subject.context.guest_proc()?;
    host::write(
        &*proc,
        &format!("{}/oom_score_adj", subject.pid),
        wanted.to_string().as_bytes(),
    )
}
