//! Names of capabilities, capabilities(7).

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

/// A complaint about every name that is none: the specification wants a warning and no failure.
pub fn unknown(from: &Capabilities, field: &str) -> Vec<SpecError> {
    let kinds = [
        ("bounding", &from.bounding),
        ("effective", &from.effective),
        ("inheritable", &from.inheritable),
        ("permitted", &from.permitted),
        ("ambient", &from.ambient),
    ];
    let mut found = Vec::new();
    for (kind, names) in kinds {
        for (index, name) in names.iter().enumerate() {
            if bit(name).is_none() {
                let field = format!("{field}.{kind}[{index}]");
                let reason = "no such capability: ignored";
                found.push(SpecError::invalid(field, name, reason));
            }
        }
    }
    found
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
    fn an_unknown_name_grants_nothing_and_is_named_with_its_place() {
        let from = Capabilities {
            permitted: vec!["CAP_KILL".into(), "CAP_FLY".into()],
            ..Capabilities::default()
        };
        assert_eq!(sets(&from).permitted, 1 << 5);
        let found = unknown(&from, "process.capabilities");
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].to_string(),
            "process.capabilities.permitted[1]: \"CAP_FLY\": no such capability: ignored"
        );
    }
}
