//! Credentials as guest state, credentials(7) and capabilities(7). The host processes behind a guest have
//! none of these rights.

use std::sync::Arc;

use caisson_wire::{CapabilitySets, ProcessSpec};

/// Capability numbers of linux/capability.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Capability {
    Chown = 0,
    DacOverride = 1,
    DacReadSearch = 2,
    Fowner = 3,
    Fsetid = 4,
    Kill = 5,
    Setgid = 6,
    Setuid = 7,
    Setpcap = 8,
    LinuxImmutable = 9,
    NetBindService = 10,
    NetAdmin = 12,
    NetRaw = 13,
    IpcOwner = 15,
    SysChroot = 18,
    SysPtrace = 19,
    SysAdmin = 21,
    SysNice = 23,
    SysResource = 24,
    Mknod = 27,
    Setfcap = 31,
}

impl Capability {
    pub const fn bit(self) -> u64 {
        1 << self as u32
    }
}

/// Every capability that Linux 6.18 knows (0..=40).
pub const ALL_CAPABILITIES: u64 = (1 << 41) - 1;

/// `SECBIT_*` of linux/securebits.h.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecureBits(pub u32);

impl SecureBits {
    pub const NOROOT: u32 = 1 << 0;
    pub const NO_SETUID_FIXUP: u32 = 1 << 2;
    pub const KEEP_CAPS: u32 = 1 << 4;
    pub const NO_CAP_AMBIENT_RAISE: u32 = 1 << 6;

    pub const fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub ruid: u32,
    pub euid: u32,
    pub suid: u32,
    pub fsuid: u32,
    pub rgid: u32,
    pub egid: u32,
    pub sgid: u32,
    pub fsgid: u32,
    pub groups: Arc<[u32]>,
    pub caps: CapabilitySets,
    pub securebits: SecureBits,
    /// PR_SET_NO_NEW_PRIVS: no exec gives it anything. Nothing but an end takes it off.
    pub no_new_privs: bool,
}

impl Credentials {
    /// One user and one group in all their roles, and no securebits.
    pub fn of(uid: u32, gid: u32, groups: &[u32], caps: CapabilitySets) -> Credentials {
        Credentials {
            ruid: uid,
            euid: uid,
            suid: uid,
            fsuid: uid,
            rgid: gid,
            egid: gid,
            sgid: gid,
            fsgid: gid,
            groups: groups.into(),
            caps,
            securebits: SecureBits::default(),
            no_new_privs: false,
        }
    }

    /// Credentials of a process that the runtime starts.
    pub fn initial(process: &ProcessSpec) -> Credentials {
        let (uid, gid) = (process.uid, process.gid);
        Credentials {
            no_new_privs: process.no_new_privileges,
            ..Credentials::of(uid, gid, &process.additional_gids, process.capabilities)
        }
    }

    /// Whether a process that goes over to `new` is not dumpable any more.
    pub fn changes_dumpable(&self, new: &Credentials) -> bool {
        let ids = |c: &Credentials| (c.euid, c.egid, c.fsuid, c.fsgid);
        ids(self) != ids(new) || new.caps.permitted & !self.caps.permitted != 0
    }

    /// Whether a file's group is one of the process' own: `in_group_p`.
    pub fn in_group(&self, gid: u32) -> bool {
        self.fsgid == gid || self.groups.contains(&gid)
    }

    /// Whether the effective set has `capability`.
    pub fn can(&self, capability: Capability) -> bool {
        self.caps.effective & capability.bit() != 0
    }
}
