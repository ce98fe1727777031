//! How execve(2) changes credentials: set-user-ID and set-group-ID files, file capabilities, root's
//! capabilities. The rules and their order are those of capabilities(7), "Transformation of
//! capabilities during execve()".

use rustix::io::Errno;

use super::credentials::{ALL_CAPABILITIES, Credentials, SecureBits};

/// What a file asks for. All empty when it sits on a nosuid mount.
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

/// What becomes of a process by an exec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AfterExec {
    pub credentials: Credentials,
    /// The program must distrust its environment: AT_SECURE, getauxval(3).
    pub secure: bool,
}

/// Credentials after executing a file (`cap_bprm_creds_from_file` of security/commoncap.c). `EPERM` for a file
/// whose capabilities the bounding set does not let it have and that says it needs them.
pub fn after_exec(
    old: &Credentials,
    file: FilePrivileges,
    no_new_privs: bool,
) -> Result<AfterExec, Errno> {
    let mut new = old.clone();
    if !no_new_privs {
        new.euid = file.setuid.unwrap_or(new.euid);
        new.egid = file.setgid.unwrap_or(new.egid);
    }
    let mut effective = false;
    new.caps.permitted = match file.capabilities {
        Some(capabilities) => {
            effective = capabilities.effective;
            from_file(old, capabilities)?
        }
        None => 0,
    };
    // A set-user-ID-root program with file capabilities run by an ordinary user gets only those.
    let capabilities_win = file.capabilities.is_some() && new.ruid != 0 && new.euid == 0;
    if !old.securebits.has(SecureBits::NOROOT) && !capabilities_win {
        if new.ruid == 0 || new.euid == 0 {
            new.caps.permitted = old.caps.bounding | old.caps.inheritable;
        }
        effective |= new.euid == 0;
    }
    let ids_changed = new.euid != old.euid || !old.in_group(new.egid);
    let gained = new.caps.permitted & !old.caps.permitted != 0;
    if (ids_changed || gained) && no_new_privs {
        // They get no more than they had, and maybe less.
        (new.euid, new.egid) = (new.ruid, new.rgid);
        new.caps.permitted &= old.caps.permitted;
    }
    (new.suid, new.fsuid, new.sgid, new.fsgid) = (new.euid, new.euid, new.egid, new.egid);
    if file.capabilities.is_some() || ids_changed {
        new.caps.ambient = 0;
    }
    new.caps.permitted |= new.caps.ambient;
    new.caps.effective = if effective {
        new.caps.permitted
    } else {
        new.caps.ambient
    };
    new.securebits = SecureBits(new.securebits.0 & !SecureBits::KEEP_CAPS);
    let grown = new.caps.permitted & !new.caps.ambient != 0;
    let secure = ids_changed
        || new.euid != old.ruid
        || new.egid != old.rgid
        || (new.ruid != 0 && (effective || grown));
    Ok(AfterExec {
        credentials: new,
        secure,
    })
}

/// `bprm_caps_from_vfs_caps`.
fn from_file(old: &Credentials, file: FileCapabilities) -> Result<u64, Errno> {
    let permitted =
        (old.caps.bounding & file.permitted) | (old.caps.inheritable & file.inheritable);
    // Programs that know nothing of capabilities must not run with some of them.
    if file.effective && file.permitted & ALL_CAPABILITIES & !permitted != 0 {
        return Err(Errno::PERM);
    }
    Ok(permitted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use caisson_wire::CapabilitySets;

    fn user(uid: u32, bounding: u64) -> Credentials {
        Credentials::of(
            uid,
            uid,
            &[],
            CapabilitySets {
                bounding,
                ..CapabilitySets::default()
            },
        )
    }

    #[test]
    fn a_setuid_root_file_gives_root_and_the_bounding_set() {
        let AfterExec {
            credentials: new,
            secure,
        } = after_exec(
            &user(1000, 0xff),
            FilePrivileges {
                setuid: Some(0),
                ..Default::default()
            },
            false,
        )
        .expect("nothing forbids it");
        assert_eq!((new.ruid, new.euid, new.suid, new.fsuid), (1000, 0, 0, 0));
        assert_eq!(new.caps.effective, 0xff);
        assert!(secure);
    }

    #[test]
    fn a_plain_file_leaves_a_user_without_capabilities() {
        let AfterExec {
            credentials: new,
            secure,
        } = after_exec(&user(1000, 0xff), FilePrivileges::default(), false)
            .expect("nothing forbids it");
        assert_eq!(new.caps.effective, 0);
        assert!(!secure);
    }

    #[test]
    fn root_keeps_its_bounding_set_and_gets_no_more() {
        let AfterExec {
            credentials: new,
            secure,
        } = after_exec(&user(0, 0b101), FilePrivileges::default(), false)
            .expect("nothing forbids it");
        assert_eq!((new.caps.permitted, new.caps.effective), (0b101, 0b101));
        assert!(!secure);
    }

    #[test]
    fn a_file_that_needs_more_than_it_can_get_is_not_executed() {
        let file = FileCapabilities {
            permitted: 0b11,
            inheritable: 0,
            effective: true,
        };
        let privileges = FilePrivileges {
            capabilities: Some(file),
            ..Default::default()
        };
        assert_eq!(
            after_exec(&user(1000, 0b01), privileges, false),
            Err(Errno::PERM)
        );
    }

    #[test]
    fn no_new_privs_gives_nothing() {
        let file = FilePrivileges {
            setuid: Some(0),
            setgid: Some(0),
            capabilities: Some(FileCapabilities {
                permitted: 0b1,
                inheritable: 0,
                effective: true,
            }),
        };
        let after = after_exec(&user(1000, 0xff), file, true).expect("an exec all the same");
        assert_eq!(
            (after.credentials.euid, after.credentials.egid),
            (1000, 1000)
        );
        assert_eq!(after.credentials.caps.permitted, 0);
        assert!(after.secure);
    }

    #[test]
    fn file_capabilities_are_bounded() {
        let file = FileCapabilities {
            permitted: 0b11,
            inheritable: 0,
            effective: false,
        };
        let AfterExec {
            credentials: new,
            secure,
        } = after_exec(
            &user(1000, 0b01),
            FilePrivileges {
                capabilities: Some(file),
                ..Default::default()
            },
            false,
        )
        .expect("nothing forbids it");
        assert_eq!((new.caps.permitted, new.caps.effective), (0b01, 0));
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
