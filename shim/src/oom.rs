//! Notices of the kernel's OOM killer, published as TaskOOM.
//!
//! The kernel also wakes us when the group is removed; then its files are gone already, which tells
//! that from a real notice.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use containerd_shim_protos::events::task::TaskOOM;
use rustix::event::epoll::EventFlags;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify;

use crate::cgroup::Cgroup;
use crate::events::Publisher;
use crate::poller::{Next, Poller, Source, Token};

struct Watch {
    /// An eventfd (v1) or an inotify descriptor (v2).
    notices: OwnedFd,
    /// The file with the line `oom_kill COUNT`.
    counter: PathBuf,
    seen: AtomicU64,
    /// v1 gives notice before it kills and counts; v2 afterwards, and of other events too.
    tells_before: bool,
    container_id: String,
    publisher: Arc<Publisher>,
}

/// Publish a TaskOOM for each time that a process of the group is killed, until the group is gone.
pub(crate) fn watch(
    cgroup: &Cgroup,
    container_id: &str,
    publisher: &Arc<Publisher>,
    poller: &Poller,
) -> io::Result<()> {
    let (notices, counter) = match cgroup {
        Cgroup::V1(folders) => {
            let folder = folders.get("memory").ok_or(io::ErrorKind::Unsupported)?;
            (subscribe_v1(folder)?, folder.join("memory.oom_control"))
        }
        Cgroup::V2(folder) => {
            let events = folder.join("memory.events");
            let notices =
                inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
            inotify::add_watch(&notices, &events, inotify::WatchFlags::MODIFY)?;
            (notices, events)
        }
    };
    let seen = AtomicU64::new(kills(&counter).unwrap_or(0));
    let watch = Arc::new(Watch {
        notices,
        counter,
        seen,
        tells_before: matches!(cgroup, Cgroup::V1(_)),
        container_id: container_id.to_owned(),
        publisher: Arc::clone(publisher),
    });
    poller.add(&watch.notices, EventFlags::IN, Arc::clone(&watch) as _)?;
    Ok(())
}

/// As the kernel's memcg documentation (v1) says: "<eventfd> <fd of memory.oom_control>".
fn subscribe_v1(folder: &Path) -> io::Result<OwnedFd> {
    let control = fs::File::open(folder.join("memory.oom_control"))?;
    let notices = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let order = format!("{} {}", notices.as_raw_fd(), control.as_raw_fd());
    fs::write(folder.join("cgroup.event_control"), order)?;
    Ok(notices)
}

/// The count of kills in the group's file; none when the group is gone.
fn kills(counter: &Path) -> Option<u64> {
    let text = fs::read_to_string(counter).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

impl Source for Watch {
    fn ready(&self, _poller: &Arc<Poller>, _token: Token) -> Next {
        let mut notice = [0; 512];
        while matches!(rustix::io::read(&self.notices, &mut notice), Ok(n) if n > 0) {}
        let Some(kills) = kills(&self.counter) else {
            return Next::Remove;
        };
        let more = kills > self.seen.swap(kills, Ordering::SeqCst);
        if more || self.tells_before {
            self.publisher.publish(&TaskOOM {
                container_id: self.container_id.clone(),
                ..TaskOOM::default()
            });
        }
        Next::Keep
    }
}
