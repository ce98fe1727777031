//! How execve(2) changes credentials: set-user-ID and set-group-ID files, file capabilities, root's
//! capabilities. The rules and their order are those of capabilities(7), "Transformation of
//! capabilities during execve()".

use super::credentials::{ALL_CAPABILITIES, Credentials, SecureBits};

/// What a file asks for. All empty when it sits on a nosuid mount or no_new_privs is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilePrivileges {
    pub setuid: Option<u32>,
    pub setgid: Option<u32>,
    /// `security.capability`, when present.
    pub capabilities: Option<FileCapabilities>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileCapabilities {
    pub permitted: u64,
    pub inheritable: u64,
    pub effective: bool,
}

impl FileCapabilities {
    /// Parse `struct vfs_cap_data` (linux/capability.h), revisions 2 and 3. A revision 3 entry counts only
    /// when it was made for root of this user namespace.
    fn parse(xattr: &[u8]) -> Option<FileCapabilities> {
        let word = |index: usize| {
            xattr
                .get(index * 4..index * 4 + 4)
                .and_then(|b| b.try_into().ok())
                .map(u32::from_le_bytes)
        };
        let magic = word(0)?;
        match (magic >> 24, xattr.len()) {
            (2, 20) => {}
            (3, 24) if word(5) == Some(0) => {}
            _ => return None,
        }
        let set =
            |low: usize, high: usize| Some(u64::from(word(low)?) | u64::from(word(high)?) << 32);
        Some(FileCapabilities {
            permitted: set(1, 3)?,
            inheritable: set(2, 4)?,
            effective: magic & 1 != 0,
        })
    }
}

/// The value of a `security.capability` attribute; `None` when it does not count.
pub fn parse_file_capabilities(xattr: &[u8]) -> Option<FileCapabilities> {
    FileCapabilities::parse(xattr)
}

/// Credentials after executing a file, and whether the program must distrust its environment
/// (AT_SECURE, getauxval(3)).
pub fn after_exec(old: &Credentials, file: FilePrivileges) -> (Credentials, bool) {
    let mut new = old.clone();
    if let Some(uid) = file.setuid {
        new.euid = uid;
    }
    if let Some(gid) = file.setgid {
        new.egid = gid;
    }
    (new.suid, new.fsuid, new.sgid, new.fsgid) = (new.euid, new.euid, new.egid, new.egid);
    let ids_changed = new.euid != old.euid || new.egid != old.egid;

    let mut granted = file.capabilities.unwrap_or_default();
    let root_rules = !old.securebits.has(SecureBits::NOROOT) && (new.ruid == 0 || new.euid == 0);
    // A set-user-ID-root program with file capabilities run by an ordinary user gets only those.
    let capabilities_win = file.capabilities.is_some() && new.ruid != 0 && new.euid == 0;
    if root_rules && !capabilities_win {
        granted.permitted = ALL_CAPABILITIES;
        granted.inheritable = ALL_CAPABILITIES;
        granted.effective = new.euid == 0;
    }
    let privileged_file =
        file.capabilities.is_some() || file.setuid.is_some() || file.setgid.is_some();
    let caps = &mut new.caps;
    caps.ambient = if privileged_file && (ids_changed || file.capabilities.is_some()) {
        0
    } else {
        caps.ambient
    };
    caps.permitted = (caps.inheritable & granted.inheritable)
        | (granted.permitted & caps.bounding)
        | caps.ambient;
    caps.effective = if granted.effective {
        caps.permitted
    } else {
        caps.ambient
    };
    new.securebits = SecureBits(new.securebits.0 & !SecureBits::KEEP_CAPS);

    let gained = new.ruid != 0 && (new.caps.effective & !new.caps.ambient) != 0;
    let secure = new.euid != new.ruid || new.egid != new.rgid || gained;
    (new, secure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use caisson_wire::CapabilitySets;

    fn user(uid: u32, bounding: u64) -> Credentials {
        Credentials {
            ruid: uid,
            euid: uid,
            suid: uid,
            fsuid: uid,
            rgid: uid,
            egid: uid,
            sgid: uid,
            fsgid: uid,
            groups: [].into(),
            caps: CapabilitySets {
                bounding,
                ..CapabilitySets::default()
            },
            securebits: SecureBits::default(),
        }
    }

    #[test]
    fn a_setuid_root_file_gives_root_and_the_bounding_set() {
        let (new, secure) = after_exec(
            &user(1000, 0xff),
            FilePrivileges {
                setuid: Some(0),
                ..Default::default()
            },
        );
        assert_eq!((new.ruid, new.euid, new.suid, new.fsuid), (1000, 0, 0, 0));
        assert_eq!(new.caps.effective, 0xff);
        assert!(secure);
    }

    #[test]
    fn a_plain_file_leaves_a_user_without_capabilities() {
        let (new, secure) = after_exec(&user(1000, 0xff), FilePrivileges::default());
        assert_eq!(new.caps.effective, 0);
        assert!(!secure);
    }

    #[test]
    fn root_keeps_its_bounding_set_and_gets_no_more() {
        let (new, secure) = after_exec(&user(0, 0b101), FilePrivileges::default());
        assert_eq!((new.caps.permitted, new.caps.effective), (0b101, 0b101));
        assert!(!secure);
    }

    #[test]
    fn file_capabilities_are_bounded() {
        let file = FileCapabilities {
            permitted: 0b11,
            inheritable: 0,
            effective: true,
        };
        let (new, secure) = after_exec(
            &user(1000, 0b01),
            FilePrivileges {
                capabilities: Some(file),
                ..Default::default()
            },
        );
        assert_eq!(new.caps.effective, 0b01);
        assert!(secure);
    }

    #[test]
    fn file_capabilities_parse_as_the_kernel_lays_them_out() {
        let mut xattr = vec![1, 0, 0, 2];
        xattr.extend_from_slice(&0x400u32.to_le_bytes());
        xattr.extend_from_slice(&[0; 12]);
        let parsed = FileCapabilities::parse(&xattr).expect("revision 2");
        assert_eq!(
            parsed,
            FileCapabilities {
                permitted: 0x400,
                inheritable: 0,
                effective: true
            }
        );
        assert_eq!(FileCapabilities::parse(&xattr[..19]), None);
    }
}
