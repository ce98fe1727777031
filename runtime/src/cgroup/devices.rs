//! Device rules: `linux.resources.devices` and what every container may do besides.

use super::{Cgroup, CgroupError, io};
use crate::spec::types::{DeviceCgroup, Spec};

/// One rule in the devices controller's terms; `None` is `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub allow: bool,
    /// `a`, `b` or `c`.
    pub kind: char,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub access: String,
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number =
            |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        write!(
            f,
            "{} {}:{} {}",
            self.kind,
            number(self.major),
            number(self.minor),
            self.access
        )
    }
}

fn always() -> Vec<Rule> {
    let rule = |major, minor, access: &str| Rule {
        allow: true,
        kind: 'c',
        major,
        minor,
        access: access.into(),
    };
    let mut rules = vec![
        rule(None, None, "m"),
        Rule {
            kind: 'b',
            ..rule(None, None, "m")
        },
    ];
    for (_, major, minor) in crate::rootfs::devices::DEFAULT {
        rules.push(rule(Some(major), Some(minor), "rwm"));
    }
    // The console, /dev/ptmx and the slaves of devpts.
    rules.extend(
        [(5, Some(1)), (5, Some(2)), (136, None)]
            .map(|(major, minor)| rule(Some(major), minor, "rwm")),
    );
    rules
}

/// The rules of a container in the order in which they apply: later ones win. A device that
/// `linux.devices` makes is allowed, as in runc.
pub fn rules(spec: &Spec) -> Vec<Rule> {
    let mut rules: Vec<Rule> = spec.linux.resources.devices.iter().map(translate).collect();
    rules.extend(always());
    for device in spec
        .linux
        .devices
        .iter()
        .filter(|device| device.kind != "p")
    {
        let kind = if device.kind == "b" { 'b' } else { 'c' };
        let number = |number: i64| u32::try_from(number).ok();
        let (major, minor) = (number(device.major), number(device.minor));
        rules.push(Rule {
            allow: true,
            kind,
            major,
            minor,
            access: "rwm".into(),
        });
    }
    rules
}

fn translate(rule: &DeviceCgroup) -> Rule {
    let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
    Rule {
        allow: rule.allow,
        kind: rule.kind.chars().next().unwrap_or('a'),
        major: number(rule.major),
        minor: number(rule.minor),
        access: if rule.access.is_empty() {
            "rwm".into()
        } else {
            rule.access.clone()
        },
    }
}

/// Write the rules to the devices controller of v1; without one the app kernel's own check stands alone.
pub fn apply(cgroup: &Cgroup, rules: &[Rule]) -> Result<(), CgroupError> {
    let Some(group) = cgroup
        .controller("devices")
        .filter(|_| cgroup.version == super::Version::V1)
    else {
        return Ok(());
    };
    let mut restricted = false;
    for rule in rules {
        let file = group.path.join(if rule.allow {
            "devices.allow"
        } else {
            "devices.deny"
        });
        // `a` is the whole list; numbers and access after it are not looked at by Linux.
        let text = if rule.kind == 'a' {
            "a".to_owned()
        } else {
            rule.to_string()
        };
        restricted |= !rule.allow;
        if restricted {
            std::fs::write(&file, text).map_err(io(&file, "write"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_keep_their_order_and_text() {
        let mut spec = crate::spec::default::spec();
        spec.linux.resources.devices.push(DeviceCgroup {
            allow: true,
            kind: "c".into(),
            major: Some(10),
            minor: None,
            access: "rw".into(),
        });
        let rules = rules(&spec);
        assert_eq!((rules[0].allow, rules[0].kind), (false, 'a'));
        assert_eq!(rules[1].to_string(), "c 10:* rw");
        assert!(
            rules
                .iter()
                .any(|rule| rule.to_string() == "c 1:3 rwm" && rule.allow)
        );
    }
}
