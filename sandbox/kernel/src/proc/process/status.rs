//! status: ids, capabilities and the like are the guest's, not those of the host process.

use std::fmt::Write;

use nix::errno::Errno;

use super::node::Subject;
use crate::proc::view::{Ids, ProcessFacts};

pub(super) fn status(subject: &Subject<'_>) -> Result<Vec<u8>, Errno> {
    let text = subject.guest_text("status")?;
    let facts = subject.facts()?;
    let name = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("Name:\t"))
        .unwrap_or("");
    let given = subject.context.given_name(subject.thread(), name);
    let changes = Changes {
        name: given,
        running: subject.is_reader(),
        filtered: subject.context.system().filtered,
        tracer: subject.context.guests.tracer(subject.thread()),
    };
    Ok(rewrite(&text, &changes, &facts).into_bytes())
}

/// What differs besides the credentials.
#[derive(Default)]
struct Changes {
    name: Option<String>,
    running: bool,
    /// By one filter, the configuration's: those of the sandbox are not the guest's.
    filtered: bool,
    /// 0 if no guest traces it.
    tracer: u32,
}

fn ids(ids: &Ids) -> String {
    format!(
        "{}\t{}\t{}\t{}",
        ids.real, ids.effective, ids.saved, ids.filesystem
    )
}

/// The guest's value of a line, `None` if the host's is right.
fn own(name: &str, facts: &ProcessFacts) -> Option<String> {
    let capabilities = &facts.capabilities;
    let mask = |mask: u64| format!("{mask:016x}");
    Some(match name {
        "Umask" => format!("{:04o}", facts.umask),
        "Uid" => ids(&facts.uid),
        "Gid" => ids(&facts.gid),
        // Linux ends the line with a blank, also where there are none.
        "Groups" => {
            let groups: Vec<String> = facts.groups.iter().map(u32::to_string).collect();
            groups.join(" ") + " "
        }
        "CapInh" => mask(capabilities.inheritable),
        "CapPrm" => mask(capabilities.permitted),
        "CapEff" => mask(capabilities.effective),
        "CapBnd" => mask(capabilities.bounding),
        "CapAmb" => mask(capabilities.ambient),
        "NoNewPrivs" => u32::from(facts.no_new_privs).to_string(),
        _ => return None,
    })
}

fn rewrite(text: &str, changes: &Changes, facts: &ProcessFacts) -> String {
    let mut made = String::with_capacity(text.len());
    for line in text.lines() {
        let (name, value) = line.split_once(":\t").unwrap_or((line, ""));
        let own = match name {
            "Name" => changes.name.clone(),
            // SECCOMP_MODE_FILTER.
            "Seccomp" => {
                Some((u32::from(changes.filtered) * libc::SECCOMP_MODE_FILTER).to_string())
            }
            "Seccomp_filters" => Some(u32::from(changes.filtered).to_string()),
            "State" if changes.running => Some("R (running)".to_owned()),
            "TracerPid" => Some(changes.tracer.to_string()),
            // Stopped by the app kernel, while it serves a call.
            "State" if value.starts_with('t') && changes.tracer == 0 => {
                Some("S (sleeping)".to_owned())
            }
            _ => own(name, facts),
        };
        let _ = match own {
            Some(value) => writeln!(made, "{name}:\t{value}"),
            None if value.is_empty() => writeln!(made, "{line}"),
            None => writeln!(made, "{name}:\t{value}"),
        };
    }
    made
}

#[cfg(test)]
mod tests {
    use super::{Changes, rewrite};
    use crate::proc::view::{CapabilityMasks, Ids, ProcessFacts};

    #[test]
    fn the_guests_credentials_replace_the_hosts() {
        let host = "Name:\tsh\nUmask:\t0000\nPid:\t7\nUid:\t65000\t65000\t65000\t65000\nGroups:\t \nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        let facts = ProcessFacts {
            uid: Ids {
                real: 1000,
                effective: 0,
                saved: 0,
                filesystem: 0,
            },
            groups: vec![4, 27],
            umask: 0o22,
            capabilities: CapabilityMasks {
                effective: 0xa804_25fb,
                ..CapabilityMasks::default()
            },
            ..ProcessFacts::default()
        };
        let wanted = "Name:\tsh\nUmask:\t0022\nPid:\t7\nUid:\t1000\t0\t0\t0\nGroups:\t4 27 \nCapEff:\t00000000a80425fb\nNoNewPrivs:\t0\nSeccomp:\t0\n";
        assert_eq!(rewrite(host, &Changes::default(), &facts), wanted);
        let alone = rewrite(
            "Groups:\t4 \n",
            &Changes::default(),
            &ProcessFacts::default(),
        );
        assert_eq!(alone, "Groups:\t \n");
    }
}
