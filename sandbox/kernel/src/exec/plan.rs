//! What the loader is told, and what changes in the app kernel once it has been told.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use super::Room;
use super::Strings;
use super::wire;
use crate::task::{Credentials, Fs, Spaces};

/// A checked exec that waits for its loader.
#[derive(Debug)]
pub struct Plan {
    /// Host thread that made the call.
    pub tid: i32,
    /// None once it has been handed out.
    pub program: Option<OwnedFd>,
    pub interpreter: Option<OwnedFd>,
    pub arguments: Strings,
    pub environment: Strings,
    /// AT_EXECFN: the path as it was given.
    pub filename: Vec<u8>,
    pub comm: [u8; 16],
    /// Guest path of the program's file.
    pub exe: Vec<u8>,
    pub credentials: Credentials,
    /// Where the thread is that made the call.
    pub fs: Arc<Mutex<Fs>>,
    pub spaces: Spaces,
    /// AT_SECURE.
    pub secure: bool,
    /// What PR_GET_DUMPABLE is after it.
    pub dumpable: bool,
    /// The limit of open files, raised for descriptors that the loader needs.
    pub room: Option<Room>,
    /// The header has been handed out; strings may still be asked for.
    pub taken: bool,
}

impl Plan {
    pub fn strings_bytes(&self) -> u64 {
        (self.arguments.bytes.len() + self.environment.bytes.len() + self.filename.len() + 1) as u64
    }

    /// All strings in the order in which they stand on the stack.
    pub fn strings(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.strings_bytes() as usize);
        all.extend_from_slice(&self.arguments.bytes);
        all.extend_from_slice(&self.environment.bytes);
        all.extend_from_slice(&self.filename);
        all.push(0);
        all
    }
}

/// The loader's header in bytes, for descriptors `program` and `interpreter` of the guest.
pub fn header(plan: &Plan, program: i32, interpreter: i32, awaited: bool) -> Vec<u8> {
    let c = &plan.credentials;
    let header = wire::Plan {
        argc: plan.arguments.count,
        envc: plan.environment.count,
        strings_bytes: plan.strings_bytes(),
        program,
        interpreter,
        uid: c.ruid,
        euid: c.euid,
        gid: c.rgid,
        egid: c.egid,
        secure: plan.secure.into(),
        awaited: awaited.into(),
        comm: plan.comm,
    };
    let mut bytes = Vec::with_capacity(size_of::<wire::Plan>());
    for word in [header.argc, header.envc, header.strings_bytes] {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    for word in [header.program, header.interpreter] {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    for word in [header.uid, header.euid, header.gid, header.egid] {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    for word in [header.secure, header.awaited] {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    bytes.extend_from_slice(&header.comm);
    debug_assert_eq!(bytes.len(), size_of::<wire::Plan>());
    bytes
}
