//! comm, and names that guests gave to threads through /proc.
//!
//! The host kernel lets only threads of the same process rename a thread, so such a name is kept here.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;

use super::node::Subject;

/// More names than this are forgotten together: they are only for show.
const MOST: usize = 4096;
/// TASK_COMM_LEN without the final zero.
const LONGEST: usize = 15;

/// Names by guest tid, each with the name that the host kernel had then: a rename by prctl(2) or exec wins.
#[derive(Debug, Default)]
pub struct ThreadNames(Mutex<HashMap<u32, (String, String)>>);

impl ThreadNames {
    fn set(&self, tid: u32, before: String, name: String) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= MOST {
            names.clear();
        }
        names.insert(tid, (before, name));
    }

    /// The name given to `tid`, if the host kernel's is still the one it replaced.
    pub fn given(&self, tid: u32, now: &str) -> Option<String> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match names.get(&tid) {
            Some((before, name)) if before == now => Some(name.clone()),
            Some(_) => {
                names.remove(&tid);
                None
            }
            None => None,
        }
    }
}

pub(super) fn comm(subject: &Subject<'_>) -> Result<Vec<u8>, Errno> {
    let comm = subject.guest_text("comm")?;
    let name = comm.trim_end_matches('\n');
    match subject.context.given_name(subject.thread(), name) {
        Some(given) => Ok(format!("{given}\n").into_bytes()),
        None => Ok(comm.into_bytes()),
    }
}

pub(super) fn rename(subject: &Subject<'_>, data: &[u8]) -> Result<(), Errno> {
    let before = subject
        .guest_text("comm")?
        .trim_end_matches('\n')
        .to_owned();
    let text = data.split(|&byte| byte == 0).next().unwrap_or_default();
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let name = String::from_utf8_lossy(&text[..text.len().min(LONGEST)]).into_owned();
    let names = subject.context.guests.thread_names();
    names
        .ok_or(Errno::ESRCH)?
        .set(subject.thread(), before, name);
    Ok(())
}
