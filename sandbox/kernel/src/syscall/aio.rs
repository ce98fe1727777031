//! Asynchronous input and output of the kernel, io_setup(2).
//!
//! What is submitted (reads, writes, syncs, polls) are operations that are native on their own, on descriptors that the
//! guest holds, and completions go to the guest's own memory: so all but the setup is native. A setup takes from
//! fs.aio-max-nr, which is one number for the whole host. Guests get no more of it than half, all sandboxes of the host
//! together, because what the host counts is what is looked at.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::audited;
use crate::call::Call;
use crate::reply::Reply;
use crate::task::{lock, read_proc};

/// For so long a setup that was let through may not be in the host's count yet.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// Setups that were let through of late: by host thread id, how many events and when. A thread makes one at a time.
#[derive(Debug, Default)]
pub struct Grants(Mutex<HashMap<i32, (u64, Instant)>>);

impl Grants {
    /// Let `tid` set up `events` if then no more than `limit` are taken, of which the host counts `taken` already.
    fn admit(&self, tid: i32, events: u64, taken: u64, limit: u64) -> bool {
        let mut grants = lock(&self.0);
        grants.retain(|other, (_, since)| *other != tid && since.elapsed() < UNDER_WAY);
        let under_way: u64 = grants.values().map(|(events, _)| events).sum();
        let admitted = taken.saturating_add(under_way).saturating_add(events) <= limit;
        if admitted {
            grants.insert(tid, (events, Instant::now()));
        }
        admitted
    }
}

pub fn io_setup(call: &mut Call<'_>) -> Result<Reply, Errno> {
    let events = u64::from(call.uint(0));
    let most = host_count(call, "aio-max-nr")?;
    // More than there can be is the host's to refuse, after it has looked at the pointer.
    if events <= most {
        let taken = host_count(call, "aio-nr")?;
        if !call
            .kernel
            .aio
            .admit(call.incoming.tid, events, taken, most / 2)
        {
            return Err(Errno::AGAIN);
        }
    }
    Ok(Reply::Continue(audited::aio_context()))
}

fn host_count(call: &Call<'_>, name: &str) -> Result<u64, Errno> {
    let text = read_proc(call.kernel.host_proc(), &format!("sys/fs/{name}"))?;
    text.trim().parse().map_err(|_| Errno::AGAIN)
}

#[cfg(test)]
mod tests {
    use super::Grants;

    #[test]
    fn what_is_under_way_counts_until_its_thread_comes_again() {
        let grants = Grants::default();
        assert!(grants.admit(1, 60, 0, 100));
        assert!(!grants.admit(2, 60, 0, 100));
        assert!(grants.admit(2, 40, 0, 100));
        assert!(!grants.admit(3, 1, 0, 100));
        // The first has been made and is in the count, or has failed.
        assert!(grants.admit(1, 20, 40, 100));
        assert!(!grants.admit(1, 21, 40, 100));
    }
}
