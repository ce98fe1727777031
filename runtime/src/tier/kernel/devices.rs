//! The device rules of a container in the app kernel's terms: what a guest may open.

use caisson_kernel::{DeviceKind, DeviceRule};

use crate::RuntimeError;
use crate::cgroup::devices::Rule;
use crate::spec::SpecError;

/// The rules that allow opening, after all that is denied before and after them.
pub(super) fn openable(rules: &[Rule]) -> Result<Vec<DeviceRule>, RuntimeError> {
    let mut allowed: Vec<DeviceRule> = Vec::new();
    for rule in rules {
        let kinds: &[DeviceKind] = match rule.kind {
            'b' => &[DeviceKind::Block],
            'c' => &[DeviceKind::Character],
            _ => &[DeviceKind::Block, DeviceKind::Character],
        };
        let all = rule.kind == 'a';
        let (major, minor) = if all {
            (None, None)
        } else {
            (rule.major, rule.minor)
        };
        let opens = rule.access.contains(['r', 'w']);
        for kind in kinds {
            let ours = DeviceRule {
                kind: *kind,
                major,
                minor,
            };
            let covers = |known: &DeviceRule| {
                known.kind == *kind
                    && major.is_none_or(|_| major == known.major)
                    && minor.is_none_or(|_| minor == known.minor)
            };
            if rule.allow && opens {
                allowed.push(ours);
            } else if !rule.allow && opens {
                allowed.retain(|known| !covers(known));
                let overlaps = |known: &DeviceRule| {
                    known.kind == *kind
                        && (known.major.is_none() || known.major == major)
                        && (known.minor.is_none() || known.minor == minor || minor.is_none())
                };
                if let Some(wider) = allowed.iter().find(|known| overlaps(known)) {
                    let reason = format!(
                        "an exception from the wider rule {wider:?} is not implemented yet"
                    );
                    return Err(
                        SpecError::unsupported("linux.resources.devices", rule, reason).into(),
                    );
                }
            }
        }
    }
    Ok(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::devices::rules;
    use crate::spec::types::DeviceCgroup;

    fn allowed(list: Vec<DeviceCgroup>) -> Result<Vec<DeviceRule>, RuntimeError> {
        let mut spec = crate::spec::default::spec();
        spec.linux.resources.devices = list;
        openable(&rules(&spec))
    }

    fn rule(allow: bool, kind: &str, major: Option<i64>, minor: Option<i64>) -> DeviceCgroup {
        DeviceCgroup {
            allow,
            kind: kind.into(),
            major,
            minor,
            access: "rwm".into(),
        }
    }

    #[test]
    fn what_is_denied_last_is_not_allowed() {
        let rules = allowed(vec![
            rule(true, "c", Some(10), Some(200)),
            rule(false, "", None, None),
        ])
        .expect("rules");
        assert!(rules.iter().all(|rule| rule.major != Some(10)));
        assert!(
            rules
                .iter()
                .any(|rule| rule.covers(DeviceKind::Character, rustix::fs::makedev(1, 3)))
        );
        assert!(
            !rules
                .iter()
                .any(|rule| rule.covers(DeviceKind::Block, rustix::fs::makedev(8, 0)))
        );
    }

    #[test]
    fn mknod_alone_does_not_open_every_device() {
        let rules = allowed(vec![rule(false, "", None, None)]).expect("rules");
        assert!(!rules.iter().any(|rule| rule.major.is_none()));
    }

    #[test]
    fn privileged_means_all_and_exceptions_are_refused_by_name() {
        let rules = allowed(vec![rule(true, "a", None, None)]).expect("rules");
        assert!(
            rules
                .iter()
                .any(|rule| rule.covers(DeviceKind::Block, rustix::fs::makedev(8, 0)))
        );
        let error = allowed(vec![
            rule(true, "a", None, None),
            rule(false, "b", Some(8), Some(0)),
        ])
        .expect_err("exception");
        assert!(
            error.to_string().contains("linux.resources.devices")
                && error.to_string().contains("b 8:0"),
            "{error}"
        );
    }
}
