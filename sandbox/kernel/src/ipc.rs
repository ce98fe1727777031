//! Who owns the container's System V IPC objects, sysvipc(7).
//!
//! To the host all of them belong to the sandbox's host user, and every guest may use every one. Owners and modes
//! that guests see, and that decide who may do what, are kept here, as ipcperms() of ipc/util.c does it.

use std::collections::HashMap;
use std::sync::Mutex;

use caisson_sys::sysv::Kind;

use crate::task::{Capability, Credentials, lock};

/// `S_IRUGO`, `S_IWUGO`, `S_IXUGO`: what an operation needs.
pub const READ: u32 = 0o444;
pub const WRITE: u32 = 0o222;
pub const EXECUTE: u32 = 0o111;

/// Permission bits of a mode.
pub const MODE: u32 = 0o777;

/// So many objects are known before those that are gone are looked for.
const SWEEP: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    pub uid: u32,
    pub gid: u32,
    pub cuid: u32,
    pub cgid: u32,
    pub mode: u32,
    /// Guest pid of the maker.
    pub maker: i32,
}

impl Object {
    pub fn new(maker: i32, credentials: &Credentials, mode: u32) -> Object {
        Object {
            uid: credentials.euid,
            gid: credentials.egid,
            cuid: credentials.euid,
            cgid: credentials.egid,
            mode: mode & MODE,
            maker,
        }
    }

    /// Whether all of `wanted` is granted: permission bits, whose three classes are taken together.
    pub fn allows(&self, who: &Credentials, wanted: u32) -> bool {
        let wanted = wanted >> 6 | wanted >> 3 | wanted;
        let in_group = |gid: u32| gid == who.fsgid || who.groups.contains(&gid);
        let granted = if who.euid == self.cuid || who.euid == self.uid {
            self.mode >> 6
        } else if in_group(self.cgid) || in_group(self.gid) {
            self.mode >> 3
        } else {
            self.mode
        };
        wanted & !granted & 7 == 0 || who.can(Capability::IpcOwner)
    }

    /// Whether `who` may change or remove it.
    pub fn is_ruled_by(&self, who: &Credentials) -> bool {
        who.euid == self.uid || who.euid == self.cuid || who.can(Capability::SysAdmin)
    }
}

/// All objects that guests have made.
#[derive(Debug, Default)]
pub struct Objects(Mutex<HashMap<(Kind, i32), Object>>);

impl Objects {
    pub fn get(&self, kind: Kind, id: i32) -> Option<Object> {
        lock(&self.0).get(&(kind, id)).copied()
    }

    pub fn put(&self, kind: Kind, id: i32, object: Object) {
        lock(&self.0).insert((kind, id), object);
    }

    pub fn remove(&self, kind: Kind, id: i32) {
        lock(&self.0).remove(&(kind, id));
    }

    /// Forget those that `exists` denies, when there are many.
    pub fn sweep(&self, exists: impl Fn(Kind, i32) -> bool) {
        let known: Vec<(Kind, i32)> = {
            let objects = lock(&self.0);
            if objects.len() < SWEEP {
                return;
            }
            objects.keys().copied().collect()
        };
        for (kind, id) in known {
            if !exists(kind, id) {
                self.remove(kind, id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: u32, groups: &[u32], capabilities: u64) -> Credentials {
        Credentials::of(
            id,
            id,
            groups,
            caisson_wire::CapabilitySets {
                effective: capabilities,
                ..Default::default()
            },
        )
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let object = Object {
            uid: 2,
            ..Object::new(1, &user(1, &[], 0), 0o046)
        };
        assert!(!object.allows(&user(1, &[], 0), READ), "the maker");
        assert!(!object.allows(&user(2, &[], 0), READ), "the owner");
        assert!(object.allows(&user(3, &[1], 0), READ), "the group");
        assert!(!object.allows(&user(3, &[1], 0), READ | WRITE), "the group");
        assert!(object.allows(&user(3, &[], 0), READ | WRITE), "others");
        let mighty = user(1, &[], Capability::IpcOwner.bit());
        assert!(object.allows(&mighty, READ | WRITE | EXECUTE));
        assert!(object.allows(&user(1, &[], 0), 0), "nothing is wanted");
    }

    #[test]
    fn owner_and_maker_rule() {
        let object = Object {
            uid: 2,
            ..Object::new(1, &user(1, &[], 0), 0)
        };
        assert!(object.is_ruled_by(&user(1, &[], 0)));
        assert!(object.is_ruled_by(&user(2, &[], 0)));
        assert!(!object.is_ruled_by(&user(3, &[1], 0)));
        assert!(object.is_ruled_by(&user(3, &[], Capability::SysAdmin.bit())));
    }
}
