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

/// So many objects are known at least before those that are gone are looked for.
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
pub struct Objects(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    objects: HashMap<(Kind, i32), Object>,
    /// How many of them there were after the last sweep.
    swept: usize,
}

impl Objects {
    pub fn get(&self, kind: Kind, id: i32) -> Option<Object> {
        lock(&self.0).objects.get(&(kind, id)).copied()
    }

    pub fn put(&self, kind: Kind, id: i32, object: Object) {
        lock(&self.0).objects.insert((kind, id), object);
    }

    pub fn remove(&self, kind: Kind, id: i32) {
        lock(&self.0).objects.remove(&(kind, id));
    }

    /// Forget those that `exists` denies, when there are many, and twice as many as were left the last time: so each that is
    /// made costs no more than two looks.
    pub fn sweep(&self, exists: impl Fn(Kind, i32) -> bool) {
        let known: Vec<(Kind, i32)> = {
            let known = lock(&self.0);
            if known.objects.len() < SWEEP.max(2 * known.swept) {
                return;
            }
            known.objects.keys().copied().collect()
        };
        for (kind, id) in known {
            if !exists(kind, id) {
                self.remove(kind, id);
            }
        }
        let mut known = lock(&self.0);
        known.swept = known.objects.len();
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
    fn many_that_exist_are_not_looked_at_for_each_new_one() {
        let objects = Objects::default();
        let looks = std::cell::Cell::new(0);
        let made = 20_000;
        for id in 0..made {
            objects.sweep(|_, id| {
                looks.set(looks.get() + 1);
                id % 4 != 0
            });
            let object = Object::new(1, &user(1, &[], 0), 0o600);
            objects.put(Kind::Semaphores, id, object);
        }
        assert!(looks.get() < 3 * made, "{} looks", looks.get());
        assert_eq!(objects.get(Kind::Semaphores, 4), None);
        assert!(objects.get(Kind::Semaphores, 5).is_some());
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
