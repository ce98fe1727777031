//! Device rules: `linux.resources.devices` and what every container may do besides.

mod program;

use std::fs::File;
use std::os::fd::AsFd;

use caisson_sys::device_filter;
use rustix::io::Errno;

use super::{Cgroup, CgroupError, Version, io};
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

/// The rules of a container in the order in which they apply: later ones win. That `linux.devices` makes a node allows
/// nothing, as in runc.
pub fn rules(spec: &Spec) -> Vec<Rule> {
    let asked = spec.linux.resources.devices.iter().map(translate);
    asked.chain(always()).collect()
}

/// What no rule is about is denied, as in runc: but for an ordinary user, who could not open more than the files' own
/// permissions allow anyway.
pub fn deny_by_default(spec: &mut Spec) {
    let deny = DeviceCgroup {
        access: "rwm".into(),
        ..DeviceCgroup::default()
    };
    spec.linux.resources.devices.insert(0, deny);
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

/// Tell the rules to Linux, for processes of the guest's that would open a device past the app kernel: by the devices
/// controller of v1, by a program on v2. Where there is neither the app kernel's own check stands alone.
pub fn apply(cgroup: &Cgroup, rules: &[Rule]) -> Result<(), CgroupError> {
    if cgroup.version == Version::V2 {
        return attach(cgroup, rules);
    }
    let Some(group) = cgroup.controller("devices") else {
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

fn attach(cgroup: &Cgroup, rules: &[Rule]) -> Result<(), CgroupError> {
    let Some(guests) = cgroup.guests() else {
        return Ok(());
    };
    let folder = File::open(&guests).map_err(io(&guests, "open"))?;
    match device_filter::attach(folder.as_fd(), &program::of(rules)) {
        // Not for ordinary users, not below a group that has it forbidden, not in every kernel.
        Ok(()) | Err(Errno::PERM | Errno::ACCESS | Errno::INVAL | Errno::NOSYS) => Ok(()),
        Err(errno) => Err(io(&guests, "attach the program for devices")(errno.into())),
    }
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

    /// A group of cgroup v2 of the test's own, where the host has that.
    fn group() -> Option<Cgroup> {
        let host = crate::cgroup::host::Host::discover().ok()?;
        let unified = host
            .hierarchies
            .iter()
            .find(|hierarchy| hierarchy.unified)?;
        let name = format!("caisson-devices-{}", std::process::id());
        let path = unified.mount.join(&name);
        // Ordinary users have none.
        std::fs::create_dir(&path).ok()?;
        std::fs::create_dir(path.join("guest")).expect("mkdir");
        Some(Cgroup {
            version: Version::V2,
            name,
            groups: vec![crate::cgroup::Group {
                name: "unified".into(),
                controllers: Vec::new(),
                path,
            }],
            scope: None,
        })
    }

    #[test]
    fn linux_takes_the_program_and_keeps_to_it() {
        let Some(cgroup) = group() else {
            eprintln!("no cgroup v2 to make a group in: not tested");
            return;
        };
        let mut spec = crate::spec::default::spec();
        spec.linux.resources.devices.push(DeviceCgroup {
            allow: true,
            kind: "c".into(),
            major: Some(1),
            minor: Some(11),
            access: "w".into(),
        });
        let applied = apply(&cgroup, &rules(&spec));
        let join = format!(
            "echo $$ > {}",
            cgroup
                .guest_dir(&cgroup.groups[0])
                .join("cgroup.procs")
                .display()
        );
        let opens = |how: &str| {
            let script = format!("{join}; : {how}");
            let shell = std::process::Command::new("sh")
                .args(["-c", &script])
                .output();
            shell.expect("sh").status.success()
        };
        // /dev/zero is everybody's, /dev/kmsg may be written.
        let told = ["< /dev/zero", "> /dev/kmsg", "< /dev/kmsg"].map(opens);
        let before = std::fs::File::open("/dev/kmsg").is_ok();
        cgroup.remove().expect("remove");
        applied.expect("apply");
        assert!(before, "outside of the group it can be read");
        assert_eq!(told, [true, true, false]);
    }
}
