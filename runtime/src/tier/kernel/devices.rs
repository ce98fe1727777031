//! The device rules of a container in the app kernel's terms.

use caisson_kernel::{DeviceAccess, DeviceKind, DeviceRule};

use crate::cgroup::devices::Rule;

/// The same rules in the same order: the last word counts.
pub(super) fn rules(rules: &[Rule]) -> Vec<DeviceRule> {
    rules.iter().flat_map(translate).collect()
}

fn translate(rule: &Rule) -> Vec<DeviceRule> {
    let kinds: &[DeviceKind] = match rule.kind {
        'b' => &[DeviceKind::Block],
        'c' => &[DeviceKind::Character],
        _ => &[DeviceKind::Block, DeviceKind::Character],
    };
    // `a` is about everything, whatever stands behind it.
    let all = rule.kind == 'a';
    let letters = [
        ('r', DeviceAccess::READ),
        ('w', DeviceAccess::WRITE),
        ('m', DeviceAccess::MKNOD),
    ];
    let named = |letter: char| all || rule.access.contains(letter);
    let access = letters
        .into_iter()
        .filter(|(letter, _)| named(*letter))
        .map(|(_, access)| access);
    let access: DeviceAccess = access.collect();
    let ours = |kind: &DeviceKind| DeviceRule {
        allow: rule.allow,
        kind: *kind,
        major: rule.major.filter(|_| !all),
        minor: rule.minor.filter(|_| !all),
        access,
    };
    kinds.iter().map(ours).collect()
}

#[cfg(test)]
mod tests {
    use caisson_kernel::device_allowed;
    use rustix::fs::makedev;

    use super::*;
    use crate::cgroup::devices::rules as of_spec;
    use crate::spec::types::DeviceCgroup;

    /// An entry: whether it allows, its type, major and minor number, and its access.
    type Entry = (bool, &'static str, Option<i64>, Option<i64>, &'static str);

    /// What a container with these entries of `linux.resources.devices` may do.
    fn allowed(list: &[Entry]) -> impl Fn(char, u64, DeviceAccess) -> bool {
        let mut spec = crate::spec::default::spec();
        let entries = list
            .iter()
            .map(|(allow, kind, major, minor, access)| DeviceCgroup {
                allow: *allow,
                kind: (*kind).into(),
                major: *major,
                minor: *minor,
                access: (*access).into(),
            });
        spec.linux.resources.devices = entries.collect();
        let rules = rules(&of_spec(&spec));
        move |kind, device, access| {
            let kind = if kind == 'b' {
                DeviceKind::Block
            } else {
                DeviceKind::Character
            };
            device_allowed(&rules, kind, device, access)
        }
    }

    const READ: DeviceAccess = DeviceAccess::READ;
    const WRITE: DeviceAccess = DeviceAccess::WRITE;

    #[test]
    fn what_is_denied_last_is_not_allowed_and_the_default_devices_are() {
        let may = allowed(&[
            (true, "c", Some(10), Some(200), "rwm"),
            (false, "", None, None, "rwm"),
        ]);
        assert!(!may('c', makedev(10, 200), READ));
        assert!(may('c', makedev(1, 3), READ | WRITE));
        assert!(!may('b', makedev(8, 0), READ));
        // mknod alone does not open.
        assert!(may('b', makedev(8, 0), DeviceAccess::MKNOD));
    }

    #[test]
    fn letters_are_told_apart_and_exceptions_from_wider_rules_hold() {
        let may = allowed(&[
            (true, "a", None, None, ""),
            (false, "b", Some(8), Some(0), "w"),
            (false, "c", Some(10), None, "rwm"),
            (true, "c", Some(10), Some(200), "r"),
        ]);
        assert!(may('b', makedev(8, 0), READ) && !may('b', makedev(8, 0), WRITE));
        assert!(may('b', makedev(8, 1), READ | WRITE));
        assert!(!may('c', makedev(10, 1), READ));
        assert!(may('c', makedev(10, 200), READ) && !may('c', makedev(10, 200), READ | WRITE));
    }
}
