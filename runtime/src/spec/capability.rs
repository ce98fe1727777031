//! Names of capabilities, capabilities(7).

use std::collections::BTreeSet;

use caisson_wire::CapabilitySets;

use super::SpecError;
use super::types::Capabilities;

/// In the order of their numbers, linux/capability.h.
pub const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The bit of the capability `name`; `CAP_` and case do not matter, as in runc.
pub fn bit(name: &str) -> Option<u64> {
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("CAP_") {
        upper
    } else {
        format!("CAP_{upper}")
    };
    NAMES
        .iter()
        .position(|known| *known == full)
        .map(|number| 1 << number)
}

/// The sets of a process. Names that this host does not know grant nothing: see [`unknown`].
pub fn sets(from: &Capabilities) -> CapabilitySets {
    let set = |names: &[String]| {
        names
            .iter()
            .filter_map(|name| bit(name))
            .fold(0, |bits, bit| bits | bit)
    };
    CapabilitySets {
        bounding: set(&from.bounding),
        effective: set(&from.effective),
        inheritable: set(&from.inheritable),
        permitted: set(&from.permitted),
        ambient: set(&from.ambient),
    }
}

/// The names that are none, each once: the specification wants a warning and no failure.
pub fn unknown(from: &Capabilities) -> BTreeSet<&str> {
    let sets = [
        &from.bounding,
        &from.effective,
        &from.inheritable,
        &from.permitted,
        &from.ambient,
    ];
    let names = sets.into_iter().flatten().map(String::as_str);
    names.filter(|name| bit(name).is_none()).collect()
}

/// capset(2): what is inheritable must be in the bounding set.
pub fn check(from: &Capabilities, field: &str) -> Result<(), SpecError> {
    let wanted = sets(from);
    let outside = |name: &&String| {
        bit(name).is_some_and(|bit| wanted.inheritable & bit & !wanted.bounding != 0)
    };
    match from.inheritable.iter().find(outside) {
        Some(name) => {
            let reason = "operation not permitted: it is not in the bounding set";
            Err(SpecError::invalid(
                format!("{field}.inheritable"),
                name,
                reason,
            ))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_linux_numbers() {
        assert_eq!(bit("CAP_CHOWN"), Some(1));
        assert_eq!(bit("cap_sys_admin"), Some(1 << 21));
        assert_eq!(bit("CHECKPOINT_RESTORE"), Some(1 << 40));
        assert_eq!(bit("CAP_"), None);
    }

    #[test]
    fn an_unknown_name_grants_nothing_and_is_told() {
        let from = Capabilities {
            permitted: vec!["CAP_KILL".into(), "CAP_FLY".into()],
            ..Capabilities::default()
        };
        assert_eq!(sets(&from).permitted, 1 << 5);
        assert_eq!(Vec::from_iter(unknown(&from)), ["CAP_FLY"]);
    }

    #[test]
    fn what_is_inheritable_is_bounding() {
        let from = |bounding: &[&str]| Capabilities {
            bounding: bounding.iter().map(|name| (*name).to_owned()).collect(),
            inheritable: vec!["CAP_KILL".into()],
            ..Capabilities::default()
        };
        check(&from(&["CAP_KILL"]), "c").expect("within");
        let error = check(&from(&["CAP_CHOWN"]), "c")
            .expect_err("outside")
            .to_string();
        assert!(error.contains("c.inheritable: \"CAP_KILL\""), "{error}");
    }
}
