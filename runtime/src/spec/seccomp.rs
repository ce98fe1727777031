//! `linux.seccomp`: a profile becomes part of the guests' filter, before the sandbox's own decision.
//!
//! What the profile forbids is forbidden as runc would have it; what it allows is still served, refused or native by
//! the syscall table. A listener, a log and a tracer have no place in a sandbox and are refused by name, as is a
//! profile under which no program could be started.

use std::collections::BTreeSet;

use caisson_abi::row_named;
use caisson_kernel::profile::{Argument, Comparison, Profile, ProfileRule, Verdict};

use super::SpecError;
use super::types::{Seccomp, SeccompArgument, SeccompRule, Spec};

/// Calls that the sandbox's loader and every program make to begin at all.
const NEEDED: [&str; 7] = [
    "close",
    "execve",
    "exit_group",
    "mmap",
    "munmap",
    "pread64",
    "write",
];

const EPERM: u64 = 1;
const ENOSYS: u16 = 38;

pub fn check(spec: &Spec) -> Result<(), SpecError> {
    profile(spec).map(drop)
}

/// The profile of a spec, in the filter's terms.
pub fn profile(spec: &Spec) -> Result<Option<Profile>, SpecError> {
    let Some(from) = &spec.linux.seccomp else {
        return Ok(None);
    };
    refuse(from)?;
    let field = "linux.seccomp.defaultAction";
    if from.default_action.is_empty() {
        return Err(SpecError::missing(field));
    }
    let default = verdict(&from.default_action, from.default_errno_ret, field)?;
    let mut profile = Profile {
        default,
        rules: Vec::new(),
    };
    for (index, rule) in from.syscalls.iter().enumerate() {
        add(&mut profile, index, rule)?;
    }
    startable(&profile)?;
    Ok(Some(profile))
}

fn refuse(from: &Seccomp) -> Result<(), SpecError> {
    for (field, value) in [
        ("linux.seccomp.listenerPath", &from.listener_path),
        ("linux.seccomp.listenerMetadata", &from.listener_metadata),
    ] {
        if !value.is_empty() {
            let reason = "the sandbox itself is the only listener";
            return Err(SpecError::unsupported(field, value, reason));
        }
    }
    const LOG: &str = "SECCOMP_FILTER_FLAG_LOG";
    // The others change nothing here: every filter of a guest is installed by its only thread, and mitigations stay.
    const HARMLESS: [&str; 3] = [
        "SECCOMP_FILTER_FLAG_TSYNC",
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    ];
    for (index, flag) in from.flags.iter().enumerate() {
        let field = format!("linux.seccomp.flags[{index}]");
        if flag == LOG {
            let reason = "denied calls are not logged";
            return Err(SpecError::unsupported(field, flag, reason));
        }
        if !HARMLESS.contains(&flag.as_str()) {
            return Err(SpecError::invalid(field, flag, "no such flag"));
        }
    }
    Ok(())
}

fn verdict(action: &str, errno: Option<u64>, field: &str) -> Result<Verdict, SpecError> {
    let number = u16::try_from(errno.unwrap_or(EPERM)).map_err(|_| {
        let value = errno.unwrap_or(0);
        SpecError::invalid(format!("{field}, errnoRet"), value, "not an error number")
    })?;
    Ok(match action {
        "SCMP_ACT_ALLOW" => Verdict::Pass,
        "SCMP_ACT_ERRNO" => Verdict::Errno(number),
        "SCMP_ACT_TRAP" => Verdict::Trap,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Verdict::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Verdict::KillProcess,
        // What Linux answers where no tracer is attached, and in a sandbox none can be.
        "SCMP_ACT_TRACE" => Verdict::Errno(ENOSYS),
        "SCMP_ACT_NOTIFY" => {
            let reason = "the sandbox itself is the only listener";
            return Err(SpecError::unsupported(field, action, reason));
        }
        "SCMP_ACT_LOG" => {
            let reason = "calls are not logged";
            return Err(SpecError::unsupported(field, action, reason));
        }
        other => return Err(SpecError::invalid(field, other, "no such action")),
    })
}

/// Names that are no calls of x86-64 are left out, as libseccomp does: profiles list those of all architectures.
fn add(profile: &mut Profile, index: usize, from: &SeccompRule) -> Result<(), SpecError> {
    let field = |name: &str| format!("linux.seccomp.syscalls[{index}].{name}");
    if from.names.is_empty() {
        return Err(SpecError::missing(field("names")));
    }
    let verdict = verdict(&from.action, from.errno_ret, &field("action"))?;
    let mut arguments = Vec::with_capacity(from.args.len());
    for (at, argument) in from.args.iter().enumerate() {
        arguments.push(compared(argument, &field(&format!("args[{at}]")))?);
    }
    // Conditions on one argument twice cannot all be meant; runc makes them alternatives.
    let indexes: BTreeSet<usize> = arguments.iter().map(|argument| argument.index).collect();
    let alternatives: Vec<Vec<Argument>> = if indexes.len() < arguments.len() {
        arguments
            .into_iter()
            .map(|argument| vec![argument])
            .collect()
    } else {
        vec![arguments]
    };
    for number in from
        .names
        .iter()
        .filter_map(|name| row_named(name))
        .map(|row| row.number)
    {
        let rules = alternatives.iter().map(|arguments| ProfileRule {
            number,
            arguments: arguments.clone(),
            verdict,
        });
        profile.rules.extend(rules);
    }
    Ok(())
}

fn compared(from: &SeccompArgument, field: &str) -> Result<Argument, SpecError> {
    let index = from.index as usize;
    if index > 5 {
        let reason = "there are six arguments, 0 to 5";
        return Err(SpecError::invalid(
            format!("{field}.index"),
            from.index,
            reason,
        ));
    }
    let (comparison, value) = match from.op.as_str() {
        "SCMP_CMP_EQ" => (Comparison::Equal, from.value),
        "SCMP_CMP_NE" => (Comparison::NotEqual, from.value),
        "SCMP_CMP_LT" => (Comparison::Less, from.value),
        "SCMP_CMP_LE" => (Comparison::AtMost, from.value),
        "SCMP_CMP_GE" => (Comparison::AtLeast, from.value),
        "SCMP_CMP_GT" => (Comparison::Greater, from.value),
        "SCMP_CMP_MASKED_EQ" => (Comparison::Masked(from.value), from.value_two),
        other => {
            let field = format!("{field}.op");
            return Err(SpecError::invalid(field, other, "no such comparison"));
        }
    };
    Ok(Argument {
        index,
        comparison,
        value,
    })
}

fn startable(profile: &Profile) -> Result<(), SpecError> {
    for name in NEEDED {
        let Some(row) = row_named(name) else { continue };
        let mut rules = profile
            .rules
            .iter()
            .filter(|rule| rule.number == row.number);
        let passes = rules.any(|rule| rule.arguments.is_empty() && rule.verdict == Verdict::Pass);
        let touched = profile.rules.iter().any(|rule| rule.number == row.number);
        if !passes && (touched || profile.default != Verdict::Pass) {
            let reason = "no program could be started without it";
            return Err(SpecError::unsupported(
                "linux.seccomp",
                format!("forbids {name}"),
                reason,
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn outcome(profile: Value) -> Result<Profile, String> {
        let mut spec = Spec::default();
        spec.linux.seccomp = Some(serde_json::from_value(profile).expect("well-typed"));
        super::profile(&spec)
            .map(|profile| profile.expect("given"))
            .map_err(|error| error.to_string())
    }

    fn deny(names: &[&str], action: &str, args: Value) -> Value {
        json!({"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": names, "action": action, "errnoRet": 7, "args": args}]})
    }

    #[test]
    fn rules_are_translated_and_unknown_names_left_out() {
        let profile = outcome(deny(
            &["getcwd", "bdflush", "breakpoint"],
            "SCMP_ACT_ERRNO",
            json!([]),
        ))
        .expect("valid");
        assert_eq!(profile.default, Verdict::Pass);
        assert_eq!(profile.rules.len(), 1);
        assert_eq!(profile.rules[0].verdict, Verdict::Errno(7));
    }

    #[test]
    fn the_same_argument_twice_means_either() {
        let twice = json!([{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]);
        assert_eq!(
            outcome(deny(&["socket"], "SCMP_ACT_ERRNO", twice))
                .expect("valid")
                .rules
                .len(),
            2
        );
        let both = json!([{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 2, "op": "SCMP_CMP_EQ"}]);
        let profile = outcome(deny(&["socket"], "SCMP_ACT_ERRNO", both)).expect("valid");
        assert_eq!(profile.rules[0].arguments.len(), 2);
    }

    #[test]
    fn what_cannot_be_done_is_named() {
        let message = |profile: Value| outcome(profile).expect_err("refused");
        let rows = [
            (
                deny(&["getcwd"], "SCMP_ACT_NOTIFY", json!([])),
                "linux.seccomp.syscalls[0].action: \"SCMP_ACT_NOTIFY\"",
            ),
            (
                deny(&["getcwd"], "SCMP_ACT_SING", json!([])),
                "SCMP_ACT_SING",
            ),
            (deny(&["mmap"], "SCMP_ACT_ERRNO", json!([])), "forbids mmap"),
            (
                deny(
                    &["getcwd"],
                    "SCMP_ACT_ERRNO",
                    json!([{"index": 6, "op": "SCMP_CMP_EQ"}]),
                ),
                "linux.seccomp.syscalls[0].args[0].index",
            ),
            (json!({"defaultAction": "SCMP_ACT_ERRNO"}), "forbids close"),
            (
                json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"]}),
                "linux.seccomp.flags[0]",
            ),
        ];
        for (profile, part) in rows {
            let message = message(profile);
            assert!(message.contains(part), "{message}");
        }
    }
}
